"""Properties of a completion's text that need no compiler, found in time linear in the text."""

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
_SILENCING_WORD = re.compile(r"\b(?:diagnostic|system_header)\b")
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
    """Return the program in `text`, which is either Markdown with fenced code or the bare program.

    The last piece that defines `function` is used, so that a corrected version replaces the first attempt. A
    fence may be opened in the prompt or never closed. `language` overrides the language given by the fence's
    tag or, without a tag, by the code.
    """
    pieces = _pieces(text)
    definition = re.compile(rf"\b{re.escape(function)}\s*\([^;{{}}]{{0,200}}\)\s*\{{")
    defining = [piece for piece in pieces if definition.search(piece[1])]
    fenced = pieces[1::2]
    tag, code = (defining or fenced or pieces)[-1]
    code = code.encode(errors="replace").decode()  # lone surrogates cannot be written to a file
    return Source(code.strip("\n") + "\n", language or _language(tag, code))


def _pieces(text: str) -> list[tuple[str, str]]:
    """Split `text` at fence lines into (tag, piece): even indices are outside a fence, odd ones inside."""
    pieces, start, tag = [], 0, ""
    for fence in _FENCE.finditer(text):
        pieces.append((tag, text[start : fence.start()]))
        start, tag = fence.end(), fence[1]
    return [*pieces, (tag, text[start:])]


def _language(tag: str, code: str) -> Language:
    """Return the language of the fence's tag, or else C++ if `code` has a header without `.h` or `std::`."""
    if tag.lower() in _CPP_TAGS:
        return "c++"
    if tag.lower() in {"c", "h"}:
        return "c"
    return "c++" if _CPP_CODE.search(code) else "c"


def count_silencing_directives(code: str) -> int:
    """Return the number of directives in `code` that could suppress compiler warnings.

    Counted are all pragmas of a program that mentions `diagnostic` or `system_header`, and line markers that
    declare the following lines a system header. The `_Pragma` operator is not counted: the verifier defines
    it away. The count errs on the high side, because ordinary programs need none of these directives.
    """
    return max(_count_silencing_directives(spliced) for spliced in lexer.spliced_variants(code))


def _count_silencing_directives(spliced: str) -> int:
    pragmas = len(_PRAGMA.findall(spliced)) if _SILENCING_WORD.search(spliced) else 0
    return pragmas + max(len(_SYSTEM_LINE_MARKER.findall(text)) for text in lexer.without_comments(spliced))


def has_line_directive(code: str) -> bool:
    """Return True if `code` has a directive that sets the file name or line number for the compiler."""
    readings = (text for spliced in lexer.spliced_variants(code) for text in lexer.without_comments(spliced))
    return any(_LINE_DIRECTIVE.search(text) for text in readings)
