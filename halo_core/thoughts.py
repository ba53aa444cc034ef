"""Reasoning before an answer is not part of it: thoughts between `<think>` and `</think>`, and channels but the final.

Every verifier drops it with `read_answer` before it looks for an answer, so that a guess within a thought is never
accepted, and an answer after a thought is found.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from halo_core.channels import final_text

TAGS = ("think", "thinking")
"""Tags of the reasoning models that are common in 2026; a verifier's option can name others."""

_ANSWER = re.compile(r"\s*<answer>(.*)</answer>\s*", re.IGNORECASE | re.DOTALL)
_LOOK_BACK = 400
"""Characters before a tag that are read to tell whether it is code; keeps the time linear."""
_QUOTES = "\"'`"
_COMMENT = re.compile(r"^[ \t]*(?://|#|/\*|--)|(?:[;{}),]|\s)[ \t]*(?://|/\*)|[)\]}\w\"'][ \t]+#[ \t]")


class AnswerText(NamedTuple):
    """The part of a completion in which its answer is."""

    text: str
    """The completion without its reasoning; empty if the completion ends within its reasoning."""
    unfinished: str = ""
    """The mark that began the reasoning within which the completion ends; empty if it does not."""

    @property
    def problem(self) -> str:
        """Why there is no answer, in one line; empty if the reasoning ends."""
        return f"the reasoning never ends: no answer after {self.unfinished}" if self.unfinished else ""


def read_answer(text: str, tags: Sequence[str] = TAGS) -> AnswerText:
    """Return the part of `text` in which the answer is, in one pass from left to right.

    - Of a completion with channels, only the final channel is read. Without one there is no answer.
    - An opening tag anywhere outside a code fence starts a thought, a closing tag ends it; thoughts may be nested.
    - A completion that ends within a thought was cut short: it has no answer, whatever precedes the thought.
    - A closing tag without an opening one belongs to a thought that the prompt opened: everything before it is dropped.
      Within a line, such a tag must be followed by white space or the end of the text.
    - Within a code fence that is not in a thought, tags are code, unless a closing tag is alone on its line. So are
      tags in a string, a code span or a comment on their line.
    - If all that remains is in one pair of `<answer>` tags, these are dropped, too.

    Tags are matched in any case. Returns `text` unchanged if it has neither tags nor channels.
    """
    if "<" not in text:
        return AnswerText(text)
    final = final_text(text)
    if final is None:
        return AnswerText("", "the channels before the final one")
    answer = _without_tags(final, tuple(tags))
    if (whole := _ANSWER.fullmatch(answer.text)) and "<answer>" not in whole[1].lower():
        return AnswerText(whole[1])
    return answer


def _without_tags(text: str, tags: tuple[str, ...]) -> AnswerText:
    patterns = _patterns(tags)
    if patterns is None or not patterns.tag.search(text):
        return AnswerText(text)
    answer = _scan(text, patterns, quoted=True)
    return _scan(text, patterns, quoted=False) if answer.unfinished else answer


class _Patterns(NamedTuple):
    """Patterns that start with a character and have no groups, because such are searched for several times faster."""

    tag: re.Pattern[str]
    tag_or_fence: re.Pattern[str]


@lru_cache(maxsize=64)
def _patterns(tags: tuple[str, ...]) -> _Patterns | None:
    """Return the patterns of the marks; None without tags."""
    if not tags:
        return None
    tag = rf"</?(?:{'|'.join(map(re.escape, tags))})\s*>"
    return _Patterns(re.compile(tag, re.IGNORECASE), re.compile(rf"```+|~~~+|{tag}", re.IGNORECASE))


def _scan(text: str, patterns: _Patterns, *, quoted: bool) -> AnswerText:
    """Return the text outside of thoughts.

    A closing tag within a thought is code if a quote is directly before it; with `quoted`, also if one is open.
    """
    kept: list[str] = []
    depth, start, end, fenced, opened, code = 0, 0, 0, False, "", -1
    while match := (patterns.tag if depth else patterns.tag_or_fence).search(text, end):
        place, end = match.span()
        if match[0][0] != "<":
            fenced ^= _starts_fence(text, place)
        elif match[0][1] != "/":
            if fenced or _is_code(text, place):
                code = end
                continue
            if depth == 0:
                kept.append(text[start:place])
                opened = "".join(match[0].lower().split())
            depth += 1
        elif depth:
            if not ((quoted or text[place - 1] in _QUOTES) and _is_code(text, place)):
                depth -= 1
                start = end
        elif 0 <= place - code < _LOOK_BACK and text.find("\n", code, place) < 0 <= code:
            code = -1  # the end of a pair of tags in code
        elif _ends_a_thought_of_the_prompt(text, match, fenced=fenced):
            kept.clear()
            start, fenced = end, False
    return AnswerText("", opened) if depth else AnswerText("".join([*kept, text[start:]]))


def _line_before(text: str, place: int) -> str:
    """Return the part of a line before `place`; its end if it is long."""
    first = max(0, place - _LOOK_BACK)
    return text[max(first, text.rfind("\n", first, place) + 1) : place]


def _starts_fence(text: str, place: int) -> bool:
    """Return whether only blanks are between `place` and the start of its line, or a tag's end."""
    before = _line_before(text, place).rstrip(" \t")
    return not before or before[-1] == ">"


def _is_code(text: str, place: int) -> bool:
    """Return whether a tag is in a string, in a code span or in a comment."""
    line = _line_before(text, place)
    if len(line) == _LOOK_BACK:
        return line[-1] in _QUOTES
    in_quotes = line.count('"') % 2 or line.replace("```", "").count("`") % 2 or line.endswith("'")
    return bool(in_quotes) or _COMMENT.search(line) is not None


def _ends_a_thought_of_the_prompt(text: str, match: re.Match[str], *, fenced: bool) -> bool:
    """Return whether a closing tag without an opening one is meant as a tag."""
    after = text[match.end() : match.end() + _LOOK_BACK].partition("\n")[0]
    if not after.strip() and not _line_before(text, match.start()).strip():
        return True
    return not fenced and (not after or after[0].isspace()) and not _is_code(text, match.start())
