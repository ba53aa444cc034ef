"""Reasoning before an answer: text between `<think>` and `</think>` is not part of the answer.

Every verifier drops it with `without_thoughts` before it looks for an answer, so that a guess within a thought is never
accepted, and an answer after a thought is found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

TAGS = ("think",)
"""Tags of the reasoning models that are common in 2026; a verifier's option can name others."""


def without_thoughts(text: str, tags: Sequence[str] = TAGS) -> str:
    """Return `text` without its thoughts, in one pass from left to right.

    - An opening tag anywhere outside a code fence starts a thought, a closing tag ends it; thoughts may be nested.
    - A thought without an end has no answer after it: everything from its opening tag on is dropped.
    - A closing tag without an opening one belongs to a thought that the prompt opened: everything before it is dropped.
      Within a line, such a tag must be followed by white space or the end of the text.
    - Within a code fence that is not in a thought, tags are code, unless a closing tag is alone on its line.

    Tags are matched in any case. Returns `text` unchanged if it has no tag.
    """
    names = "|".join(map(re.escape, tags))
    if not names or not re.search(rf"</?(?:{names})\s*>", text, re.IGNORECASE):
        return text
    token = re.compile(
        rf"(?P<fence>(?:^|(?<=>))[ \t]*(?:`{{3,}}|~{{3,}}))|(?P<open><(?:{names})\s*>)"
        rf"|(?P<alone>^[^\S\n]*</(?:{names})\s*>(?=[^\S\n]*$))|(?P<close></(?:{names})\s*>)",
        re.IGNORECASE | re.MULTILINE,
    )
    kept: list[str] = []
    depth, start, fenced = 0, 0, False
    for match in token.finditer(text):
        if match["fence"]:
            fenced = not fenced if depth == 0 else fenced
        elif match["open"]:
            if fenced:
                continue
            if depth == 0:
                kept.append(text[start : match.start()])
            depth += 1
        elif depth:
            depth -= 1
            start = match.end()
        elif _ends_a_thought_of_the_prompt(text, match, fenced=fenced):
            kept.clear()
            start, fenced = match.end(), False
    if depth == 0:
        kept.append(text[start:])
    return "".join(kept)


def unfinished_thought(text: str, answer: str, tags: Sequence[str] = TAGS) -> str:
    """Return the tag of the thought within which `text` ends, or an empty string; `answer` is `text` without thoughts.

    Such a completion was cut short before its answer, whatever stands before the thought.
    """
    for tag in tags:
        if f"<{tag}" not in text.lower():
            continue
        if not answer.strip() or without_thoughts(f"{text}\n</{tag}>\n.", tags).startswith(answer):
            opened, closed = (text.lower().rfind(f"{mark}{tag}") for mark in ("<", "</"))
            if opened > closed or answer.strip():
                return tag
    return ""


def _ends_a_thought_of_the_prompt(text: str, match: re.Match[str], *, fenced: bool) -> bool:
    """Return whether a closing tag without an opening one is meant as a tag."""
    after = text[match.end() : match.end() + 1]
    return match["alone"] is not None or (not fenced and (not after or after.isspace()))
