"""Finding the JSON of a completion: in the final channel, in one place, in one pass.

The final channel is what follows the model's thoughts. In it the JSON is the whole text, or what one fenced
block holds, or what stands between `<tool_call>` tags. JSON elsewhere (in a thought, in a sentence) is not
looked for, and two candidates are none.
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
"""Tags around thoughts, as models write them; a group matches something in those that end one."""
_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_FENCES = ("```", "~~~")


class NoAnswerError(Exception):
    """There is no JSON where an answer belongs, or more than one. Says why in one line."""


@dataclass(frozen=True, slots=True)
class _Block:
    tag: str
    content: str


def find(text: str, *, within: Within = "auto", thinking: Thinking = "auto", tags: bool = False) -> list[str]:
    """Return the JSON texts of `text`: one, or with `tags` one for each `<tool_call>`.

    `within` says where to look: the whole final channel, its only fenced block, or (auto) the latter when
    there is one. With `thinking` `open` the prompt has begun a thought, which must be closed before anything
    counts. Raises `NoAnswerError`. Takes time linear in the text.
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
        raise NoAnswerError("a thought among the answer")
    named = [block for block in blocks if block.tag == "json"]
    candidates = named or [block for block in blocks if not block.tag]
    if len(candidates) != 1:
        raise NoAnswerError(f"{len(candidates)} fenced blocks of JSON instead of one")
    return [candidates[0].content]


def _after_thoughts(text: str, thinking: Thinking) -> str:
    """Return what follows the thought that `text` begins with, if it does."""
    first = _THOUGHT.search(text)
    before = text[: first.start()].lstrip() if first else text
    if thinking == "open":
        depth = 1
    elif first is None or before.startswith(("{", "[")):
        return text
    elif _ends(first):
        depth = 1  # the prompt began it
    elif not before:
        depth = 0
    else:
        return text
    for tag in _THOUGHT.finditer(text):
        depth += -1 if _ends(tag) else 1
        if depth == 0:
            return text[tag.end() :]
    raise NoAnswerError("the thought never ends")


def _ends(tag: re.Match[str]) -> bool:
    return any(tag.groups())


def _fenced(text: str) -> tuple[list[_Block], str]:
    """Split Markdown into its fenced blocks and the rest. A block that is not closed ends with the text."""
    blocks: list[_Block] = []
    prose: list[str] = []
    content: list[str] = []
    fence = tag = ""
    for line in text.split("\n"):
        bare = line.strip()
        if not fence and bare.startswith(_FENCES):
            fence = bare[: len(bare) - len(bare.lstrip(bare[0]))]
            tag = (bare[len(fence) :].split() or [""])[0].lower()
        elif fence and bare.startswith(fence) and not bare.strip(fence[0]):
            blocks.append(_Block(tag, "\n".join(content)))
            fence, content = "", []
        else:
            (content if fence else prose).append(line)
    if fence:
        blocks.append(_Block(tag, "\n".join(content)))
    return blocks, "\n".join(prose)


def _tagged(text: str) -> list[str]:
    """Return what stands between each `<tool_call>` and the `</tool_call>` after it."""
    before, *sections = text.split(_OPEN)
    prose, found = [before], []
    for section in sections:
        call, closed, after = section.partition(_CLOSE)
        if not closed:
            raise NoAnswerError("a tool call that never ends")
        found.append(call)
        prose.append(after)
    outside = "\n".join(prose)
    if _CLOSE in outside or _THOUGHT.search(outside) or any(fence in outside for fence in _FENCES):
        raise NoAnswerError("tool calls amid thoughts, fences or stray tags")
    return found
