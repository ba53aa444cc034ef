"""Extraction of a completion's JSON from its final channel, in one pass.

The final channel is the text after the model's reasoning. Its JSON is the whole text, the content of one fenced
block, or the content of `<tool_call>` tags. JSON elsewhere (in reasoning, in a sentence) is ignored, and two
candidates count as no answer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Within = Literal["auto", "text", "fence"]
Thinking = Literal["auto", "open"]

_THOUGHT = re.compile(
    r"<(/?)(?:\w{1,20}:)?(?:think|thinking|thought|reasoning|reflection|analysis|scratchpad)\b[^<>]*>"
    r"|\[(/?)think\]|◁(/?)think▷|<\|(?:begin|(end))_of_thought\|>",
    re.IGNORECASE,
)
"""Reasoning tags of known models; in a closing tag, one of the groups is not empty."""
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_FENCES = ("```", "~~~")


class NoAnswerError(Exception):
    """The final channel holds no JSON, or several candidates. The message is a one-line reason."""


@dataclass(frozen=True, slots=True)
class _Block:
    tag: str
    content: str


def find(text: str, *, within: Within = "auto", thinking: Thinking = "auto", tags: bool = False) -> list[str]:
    """Return the JSON texts of `text`: one, or with `tags` one for each `<tool_call>`.

    `within` selects the place: the whole final channel, its only fenced block, or (auto) the fenced block if
    there is one and the whole final channel otherwise. `thinking="open"` means that the prompt opened the
    reasoning, which must be closed before any JSON counts. Raises `NoAnswerError`. Runs in linear time.
    """
    final = _after_thoughts(text, thinking)
    if tags and _OPEN in final:
        return _tagged(final)
    if within == "text" or (within == "auto" and not any(fence in final for fence in _FENCES)):
        return [final]
    blocks, prose = _fenced(final)
    if not blocks and within == "auto":
        return [final]
    if _THOUGHT.search(prose):
        raise NoAnswerError("a reasoning tag within the answer")
    named = [block for block in blocks if block.tag == "json"]
    candidates = named or [block for block in blocks if not block.tag]
    if len(candidates) != 1:
        raise NoAnswerError(f"{len(candidates)} fenced blocks of JSON instead of one")
    return [candidates[0].content]


def _after_thoughts(text: str, thinking: Thinking) -> str:
    """Return `text` without the reasoning that it starts with, if any."""
    first = _THOUGHT.search(text)
    before = text[: first.start()].lstrip() if first else text
    if thinking == "open":
        depth = 1
    elif first is None or before.startswith(("{", "[")):
        return text
    elif _is_closing(first):
        depth = 1  # the prompt opened it
    elif not before:
        depth = 0
    else:
        return text
    for tag in _THOUGHT.finditer(text):
        depth += -1 if _is_closing(tag) else 1
        if depth == 0:
            return text[tag.end() :]
    raise NoAnswerError("the reasoning never ends")


def _is_closing(tag: re.Match[str]) -> bool:
    return any(tag.groups())


def _fenced(text: str) -> tuple[list[_Block], str]:
    """Split Markdown into its fenced blocks and the rest. An unclosed block extends to the end of the text."""
    blocks: list[_Block] = []
    prose: list[str] = []
    content: list[str] = []
    fence = tag = ""
    for line in text.split("\n"):
        stripped = line.strip()
        if not fence and stripped.startswith(_FENCES):
            fence = stripped[: len(stripped) - len(stripped.lstrip(stripped[0]))]
            tag = (stripped[len(fence) :].split() or [""])[0].lower()
        elif fence and stripped.startswith(fence) and not stripped.strip(fence[0]):
            blocks.append(_Block(tag, "\n".join(content)))
            fence, content = "", []
        else:
            (content if fence else prose).append(line)
    if fence:
        blocks.append(_Block(tag, "\n".join(content)))
    return blocks, "\n".join(prose)


def _tagged(text: str) -> list[str]:
    """Return the text between each `<tool_call>` and the next `</tool_call>`."""
    before, *sections = text.split(_OPEN)
    prose, found = [before], []
    for section in sections:
        call, closed, after = section.partition(_CLOSE)
        if not closed:
            raise NoAnswerError("an unclosed tool call")
        found.append(call)
        prose.append(after)
    outside = "\n".join(prose)
    if _CLOSE in outside or _THOUGHT.search(outside) or any(fence in outside for fence in _FENCES):
        raise NoAnswerError("tool calls mixed with reasoning, fences or stray tags")
    return found
