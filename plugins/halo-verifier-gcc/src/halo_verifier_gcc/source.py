"""What can be read off a completion's text before any compiler runs, in time linear in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from halo_verifier_gcc import lexer

Language = Literal["c", "c++"]

_FENCE = re.compile(r"^[ \t]*(?:```+|~~~+)[ \t]*([^\s`]*)[^\n]*$", re.MULTILINE)
_CPP_TAGS = frozenset({"cpp", "c++", "cc", "cxx", "hpp"})
_CPP_CODE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*<\w+>|\bstd::|\busing\s+namespace\b", re.MULTILINE)

_PRAGMA = re.compile(r"\bpragma\b")
_MUZZLE = re.compile(r"\b(?:diagnostic|system_header)\b")
_LINE = r"^[^\S\n]*(?:#|%:|\?\?=)[^\S\n]*"
_SYSTEM_LINE_MARKER = re.compile(
    _LINE + r'\d+[^\S\n]*"(?:\\.|[^"\\\n])*"[^\n]*\b3\b', re.MULTILINE | re.ASCII
)
_LINE_DIRECTIVE = re.compile(_LINE + r"(?:line\b|\d)", re.MULTILINE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Source:
    """A program found in a completion."""

    code: str
    language: Language


def extract(text: str, language: Language | None = None, *, function: str = "main") -> Source:
    """Return the program in `text`, which is Markdown with fences or nothing but the program.

    Of several pieces the last one that defines `function` counts, so that a corrected version wins over the
    first attempt; a fence that was opened in the prompt, or never closed, is understood. `language` overrides
    what the fence's tag or else the code itself says.
    """
    pieces = _pieces(text)
    definition = re.compile(rf"\b{re.escape(function)}\s*\([^;{{}}]{{0,200}}\)\s*\{{")
    defining = [piece for piece in pieces if definition.search(piece[1])]
    fenced = pieces[1::2]
    tag, code = (defining or fenced or pieces)[-1]
    code = code.encode(errors="replace").decode()  # half characters cannot be written to a file
    return Source(code.strip("\n") + "\n", language or _language(tag, code))


def _pieces(text: str) -> list[tuple[str, str]]:
    """Split `text` at fence lines into (tag, piece): outside a fence at even places, inside at odd ones."""
    pieces, start, tag = [], 0, ""
    for fence in _FENCE.finditer(text):
        pieces.append((tag, text[start : fence.start()]))
        start, tag = fence.end(), fence[1]
    return [*pieces, (tag, text[start:])]


def _language(tag: str, code: str) -> Language:
    """Trust the fence's tag; without one, look for what only C++ has (a header without `.h`, `std::`)."""
    if tag.lower() in _CPP_TAGS:
        return "c++"
    if tag.lower() in {"c", "h"}:
        return "c"
    return "c++" if _CPP_CODE.search(code) else "c"


def muzzles(code: str) -> int:
    """Count the directives in `code` that would keep the compiler from warning.

    These are pragmas of a program that mentions `diagnostic` or `system_header`, and line markers that
    declare what follows a system header. The `_Pragma` operator needs no count: the verifier defines it
    away. The test is meant to err towards counting: an ordinary program has no use for any of them.
    """
    return max(_muzzles(spliced) for spliced in lexer.splicings(code))


def _muzzles(spliced: str) -> int:
    pragmas = len(_PRAGMA.findall(spliced)) if _MUZZLE.search(spliced) else 0
    return pragmas + max(len(_SYSTEM_LINE_MARKER.findall(text)) for text in lexer.without_comments(spliced))


def renames_lines(code: str) -> bool:
    """Whether `code` has a directive that says which file and line the compiler should think it is reading."""
    readings = (text for spliced in lexer.splicings(code) for text in lexer.without_comments(spliced))
    return any(_LINE_DIRECTIVE.search(text) for text in readings)
