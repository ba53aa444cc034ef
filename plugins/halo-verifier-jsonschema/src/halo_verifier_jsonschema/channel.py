"""Extraction of a completion's JSON from its final channel.

The final channel is the text without the model's reasoning. Its JSON is the whole text, maybe after a line that
announces it, the content of one fenced block, or the content of `<tool_call>` tags. JSON elsewhere (in reasoning, in a
sentence) is ignored, and two candidates count as no answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from halo_core.channels import Message, final_text, messages
from halo_verifier_jsonschema import rivals
from halo_verifier_jsonschema.scan import (
    CALL,
    CALL_END,
    Segment,
    UnfinishedThoughtError,
    count_quotes,
    is_closing,
    scan,
    thought_pattern,
)

Within = Literal["auto", "text", "fence"]
Thinking = Literal["auto", "open"]

_JOINT = "\n<reasoning/>\n"
"""Joins the texts before and after a thought. It is not JSON, so no value extends across a thought."""
_LEAD_IN = re.compile(r"\s*([^\n]{1,200}:)[ \t]*\n\s*(?=[\[{])")
"""A line such as "Here is the JSON:" before an object or an array."""
_INTRODUCTION = re.compile(r"\s*([^\n\[{]{1,200}:)[*_]*[ \t]*(?=[\[{])")
_MAY_ANSWER = re.compile(r"[\[{\"0-9]|\b(?:true|false|null)\b")


class NoAnswerError(Exception):
    """The final channel holds no JSON, or several candidates. The message is a one-line reason."""


def find(
    text: str,
    *,
    within: Within = "auto",
    thinking: Thinking = "auto",
    tags: bool = False,
    thought_tags: Sequence[str] = (),
) -> list[str]:
    """Return the JSON texts of `text`: one, or with `tags` one for each `<tool_call>`.

    `within` selects the place: the whole final channel, its only fenced block, or (auto) the fenced block if
    there is one and the whole final channel otherwise. `thinking="open"` means that the prompt opened the
    reasoning, which must be closed before any JSON counts. `thought_tags` are recognised in addition to the tags of
    known models. Of a completion with channels, the final one counts, and with `tags` the calls in the others. Raises
    `NoAnswerError`. Runs in linear time.
    """
    if thinking == "auto" and within != "fence" and not _has_marks(text):
        return [_without_lead_in(text, within)]
    if found := messages(text):
        final = final_text(text)
        if tags and (calls := _calls_of(found)):
            if rivals.has_other_call(calls, final or ""):
                raise NoAnswerError("tool calls beside a different one in the final channel")
            return calls
        if final is None:
            raise NoAnswerError("the completion ends before its final channel")
        text, thinking = final, "auto"
    thoughts = thought_pattern(tuple(thought_tags))
    rest = _after_one_thought(text, thoughts) if thinking == "auto" else None
    if rest is not None and (simple := _find_simple(rest, within, tags=tags)) is not None:
        return simple
    try:
        segments = scan(text, thoughts, opened=thinking == "open", calls=tags and CALL in text)
    except UnfinishedThoughtError as error:
        raise NoAnswerError(
            f"the reasoning never ends: no answer after {str(error) or 'its start'}"
        ) from None
    if any(segment.calls or segment.is_malformed for segment in segments):
        return _tagged(segments)
    if within == "text" or (within == "auto" and not any(segment.blocks for segment in segments)):
        return [_bare([segment.text for segment in segments], within)]
    return [_fenced(segments)]


def _calls_of(found: Iterable[Message]) -> list[str]:
    """Return the calls among the messages of channels, as JSON; the text of a message is the arguments."""
    return [
        f'{{"name": {json.dumps(message.recipient.removeprefix("functions."))}, "arguments": {message.text}}}'
        for message in found
        if message.recipient
    ]


def _has_marks(text: str) -> bool:
    """Return whether `text` may have tags or fences. A quick check for the most common form, bare JSON."""
    return "<" in text or "```" in text or "~~~" in text or "◁" in text or "k]" in text or "K]" in text


def _after_one_thought(text: str, thoughts: re.Pattern[str]) -> str | None:
    """Return `text` without the thought that it starts with, if any; None unless it has no other tags."""
    if (opening := thoughts.search(text)) is None:
        return text
    if is_closing(opening) or text[: opening.start()].strip():
        return None
    closing = thoughts.search(text, opening.end())
    if closing is None or not is_closing(closing) or thoughts.search(text, closing.end()):
        return None
    return text[closing.end() :]


def _find_simple(text: str, within: Within, *, tags: bool) -> list[str] | None:
    """Return what `find` returns for a text without thoughts in a usual form; None for other forms."""
    fences = text.count("```") + text.count("~~~")
    if tags and CALL in text:
        return None if fences else _simple_calls(text)
    if within == "text" or (not fences and within == "auto"):
        return [_bare([text], within)]
    return _simple_block(text) if fences == 2 and "~~~" not in text else None


def _simple_calls(text: str) -> list[str] | None:
    prose, *sections = text.split(CALL)
    contents = []
    for section in sections:
        content, closed, after = section.partition(CALL_END)
        if not closed or CALL_END in after or count_quotes(content) % 2:
            return None
        contents.append(content)
        prose += after
    return None if "{" in prose else contents


def _simple_block(text: str) -> list[str] | None:
    before, _, rest = text.partition("```")
    info, _, rest = rest.partition("\n")
    content, closing, after = rest.partition("```")
    if (before and not before.rstrip(" \t").endswith("\n")) or before.lstrip().startswith(("{", "[")):
        return None
    if info.strip().lower() not in ("", "json") or not closing or after.partition("\n")[0].strip():
        return None
    return [content]


def _without_lead_in(text: str, within: Within) -> str:
    """Return `text` without a first line that announces the JSON, and so cannot be an answer itself."""
    lead_in = _LEAD_IN.match(text) if within == "auto" else None
    return text if lead_in is None or _MAY_ANSWER.search(lead_in[1]) else text[lead_in.end() :]


def without_introduction(text: str) -> str:
    """Return `text` without the words before an object or array on the same line, as in "Here is the JSON: {}"."""
    found = _INTRODUCTION.match(text)
    return text if found is None or _MAY_ANSWER.search(found[1]) else text[found.end() :]


def _bare(texts: Iterable[str], within: Within) -> str:
    if within == "fence":
        raise NoAnswerError("no fenced block of JSON")
    found = [text for text in texts if text.strip()]
    while len(found) > 1 and not _MAY_ANSWER.search(found[0]):
        del found[0]  # prose before a thought
    return _without_lead_in(_JOINT.join(found), within)


def _fenced(segments: Sequence[Segment]) -> str:
    """Return the content of the only block of JSON."""
    blocks = [block for segment in segments for block in segment.blocks]
    named = [block for block in blocks if block.tag == "json"]
    candidates = named or [block for block in blocks if not block.tag]
    if len(candidates) != 1:
        raise NoAnswerError(f"{len(candidates)} fenced blocks of JSON instead of one")
    content = candidates[0].content
    if rivals.differs_from_start(content, "".join(piece for segment in segments for piece in segment.prose)):
        raise NoAnswerError("a fenced block of JSON after a different answer")
    return content


def _tagged(segments: Sequence[Segment]) -> list[str]:
    """Return the content of the tags, which must be in one segment."""
    prose = "\n".join(piece for segment in segments for piece in segment.prose)
    if any(segment.is_malformed for segment in segments):
        raise NoAnswerError("an unclosed tool call, or one within a fence")
    if CALL_END in prose or any(segment.blocks for segment in segments):
        raise NoAnswerError("tool calls mixed with fences or stray tags")
    found = [segment.calls for segment in segments if segment.calls]
    if len(found) > 1:
        raise NoAnswerError("tool calls mixed with reasoning")
    if rivals.has_other_call(found[0], prose):
        raise NoAnswerError("tool calls beside a different one without tags")
    return found[0]
