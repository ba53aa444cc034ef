"""A program's source, and the directives in it, found in time linear in the text."""

from __future__ import annotations

import re
from dataclasses import dataclass

from halo_verifier_gcc import lexer
from halo_verifier_gcc.languages import Language

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
