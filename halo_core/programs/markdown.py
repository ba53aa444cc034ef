"""The fences of a completion, read as people and renderers read them, in time linear in the text.

Beyond CommonMark, a closing fence may be glued to the last line of code, an opening one to a line of prose, a fence may
be opened in the prompt, never be closed, or be closed by another kind of fence, and a fence with a tag always opens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from halo_core.programs.languages import Language

_FENCE = re.compile(
    r"(?P<lead>[ \t]*(?:>[ \t]*)*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?)(?P<run>`{3,}|~{3,})[ \t]*(?P<info>[^`\n]*)"
)
_TAG = re.compile(r"[\w+#./-]+")
_ATTRIBUTE = re.compile(r"[\w-]=|^[{.#]")
_QUOTE = re.compile(r"[ \t]*(?:>[ \t]?)+")
_SHORTEST = 3
"""Characters of a fence."""
_MAX_RESTARTS = 50
_MAX_GLUED = 8


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a completion: the content of a fence, or the text between two fences."""

    text: str
    fenced: bool
    tag: str = ""
    """The first word of the fence's info string, in lower case."""


def split(text: str, language: Language, *, nested: bool = False) -> list[Piece]:
    """Return the pieces of `text` in order, with at least one. Markdown in a fence is split in turn, once."""
    lines = text.split("\n")
    pieces: list[Piece] = []
    position = restarts = 0
    if end := _opened_by_the_prompt(lines, language):
        position = end[0] - 1
        pieces.append(Piece(end[1], True))
        lines[position] = end[2]
    start = position
    while position < len(lines):
        opening = _opening(lines[position], language)
        if opening is None:
            position += 1
            continue
        before, run, quoted, tag = opening
        pieces.append(Piece("\n".join([*lines[start:position], before]), False))
        content, position, rest, complete = _content(
            lines, position + 1, run, language, quoted=quoted, lenient=restarts < _MAX_RESTARTS
        )
        restarts += not complete
        inner = (
            not nested
            and "```" in content
            and (tag in ("markdown", "md") or (not tag and len(run) > _SHORTEST))
        )
        pieces += split(content, language, nested=True) if inner else [Piece(content, True, tag)]
        start = position
        if rest is not None:
            lines[position - 1] = rest
            start = position = position - 1
    return [*pieces, Piece("\n".join(lines[start:]), False)]


def _opened_by_the_prompt(lines: list[str], language: Language) -> tuple[int, str, str] | None:
    """Return (line after the fence, code, text after the fence) if `lines` start within a fence."""
    first = next((line for line in lines if line.strip()), "")
    if not language.starts_program(first):
        return None
    for number, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if fence and not _tag(fence["info"], language):
            return number + 1, "\n".join(lines[:number]), fence["info"]
        if fence:
            return None
        if (glued := _glued(line)) and not glued[2]:
            code = "\n".join([*lines[:number], glued[0]])
            return None if language.ends_in_text(code) else (number + 1, code, "")
    return None


def _opening(line: str, language: Language) -> tuple[str, str, bool, str] | None:
    """Return (text before it, fence, whether it is in a quotation, tag) if `line` opens a fence."""
    if fence := _FENCE.fullmatch(line):
        return (
            "",
            fence["run"],
            ">" in fence["lead"],
            _tag(fence["info"], language) or _first_word(fence["info"]),
        )
    glued = _glued(line)
    if glued and "`" not in glued[0] and (not glued[2] or language.is_known(glued[2])):
        return glued[0], glued[1], False, glued[2]
    return None


def _glued(line: str) -> tuple[str, str, str] | None:
    """Return (text, fence, tag) if `line` is text with a fence of backticks at its end, and perhaps a tag."""
    end = line.rfind("`") + 1
    text, tag = line[:end].rstrip("`"), line[end:].strip().lower()
    if end - len(text) < _SHORTEST or not text.strip() or (tag and not _TAG.fullmatch(tag)):
        return None
    return text, line[len(text) : end], tag


def _content(
    lines: list[str], first: int, run: str, language: Language, *, quoted: bool, lenient: bool
) -> tuple[str, int, str | None, bool]:
    """Return a fence's content, the line after it, text to read again from the line before that, and completeness.

    The content ends at a fence of the same kind, at a fence with a tag, or at a fence glued to code, as three backticks
    are not code in any language outside comments and literals. Without one, and if `lenient`, it ends at the first
    fence of another kind; else with the text.
    """
    content: list[str] = []
    other: tuple[int, int, str | None] | None = None
    glued_lines = 0
    for number in range(first, len(lines)):
        line = _QUOTE.sub("", lines[number], count=1) if quoted else lines[number]
        fence = _FENCE.fullmatch(line)
        if fence:
            same = fence["run"].startswith(run)
            if same and not _tag(fence["info"], language):
                return "\n".join(content), number + 1, fence["info"] or None, True
            if same and other and lenient:
                break
            if same:
                return "\n".join(content), number + 1, line, True
            if other is None:
                other = (len(content), number + 1, line if fence["info"].strip() else None)
        elif glued_lines < _MAX_GLUED and run in line:
            glued_lines += 1
            before, _, after = line.partition(run)
            code = "\n".join([*content, before])
            if before.strip() and not language.ends_in_text(code):
                return code, number + 1, after.lstrip("`") or None, True
        content.append(line)
    if other and lenient:
        return "\n".join(content[: other[0]]), other[1], other[2], False
    return "\n".join(content), len(lines), None, True


def _tag(info: str, language: Language) -> str:
    """Return the tag in an info string, or an empty string if it has none or is a sentence."""
    word, rest = _first_word(info), info.strip().partition(" ")[2]
    return word if not rest or language.is_own(word) or _ATTRIBUTE.search(rest) else ""


def _first_word(info: str) -> str:
    """Return the first word of an info string without the marks around it: `cpp` for `{.cpp .numberLines}`."""
    found = _TAG.match(info.lower().lstrip("{. "))
    return found[0].rstrip(".,:") if found else ""
