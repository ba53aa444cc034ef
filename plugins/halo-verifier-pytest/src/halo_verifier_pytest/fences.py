"""Markdown fences: split a text into the pieces within and outside fences. The time is linear in its length."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FENCE = re.compile(
    r"^(?P<margin>[ \t]{0,16}(?:(?:[-*+]|\d{1,3}[.)])[ \t]{1,4}|>[ \t]?)?)(?:```+|~~~+)(?P<info>[^\n`]*)$",
    re.MULTILINE,
)
_GLUED = re.compile(
    _FENCE.pattern
    + r"|(?P<close>(?<=[^\s`~])[ \t]{0,4}(?:`{3,8}|~{3,8})[ \t]{0,8}$)"
    + r"|(?P<open>(?<=[^\s`~])[ \t]{0,4}```(?P<word>\w+)[ \t]{0,8}$)",
    re.MULTILINE,
)
_AFTER_TEXT = re.compile(r"[^\s`~][ \t]{0,4}(?:```|~~~)")
_WORD = re.compile(r"\{?\.?(\w*)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text."""

    tag: str | None
    """First word after the opening fence, in lower case; None outside a fence."""
    text: str
    """Text, dedented by the indentation of its fence."""


def may_be_glued(text: str) -> bool:
    """Return True if a fence may end a line of code or prose."""
    return _AFTER_TEXT.search(text) is not None


def split(text: str, *, glued: bool = False) -> list[Piece]:
    """Split `text` at its fences; with `glued`, also at fences at the end of a line of code or prose."""
    pieces: list[Piece] = []
    start, tag, margin = 0, None, ""
    for fence in (_GLUED if glued else _FENCE).finditer(text):
        info = fence["info"]
        if info is None:
            if (fence["close"] is not None) != (tag is not None):
                continue
            info, indent = (fence["word"] or "").strip() if tag is None else "", ""
        else:
            indent = fence["margin"]
            if tag is not None and len(indent) > len(margin):
                continue  # a fence within a docstring, for example
        pieces.append(Piece(tag, _dedent(text[start : fence.start()], margin)))
        found = _WORD.match(info.strip().lower())
        word = found[1] if found else ""
        start, margin = fence.end() + 1, indent
        tag = word if tag is None or info.strip() else None
    pieces.append(Piece(tag, _dedent(text[start:], margin)))
    return pieces


def _dedent(text: str, margin: str) -> str:
    """Remove the margin of a fence, or white space of its length, from each line."""
    if not margin:
        return text
    quoted, width = margin.lstrip().startswith(">"), len(margin)
    lines = []
    for line in text.split("\n"):
        if line.startswith(margin):
            lines.append(line[width:])
        elif quoted and line.startswith(margin.rstrip()):
            lines.append(line[len(margin.rstrip()) :])
        else:
            lines.append(line[min(width, len(line) - len(line.lstrip(" \t"))) :])
    return "\n".join(lines)
