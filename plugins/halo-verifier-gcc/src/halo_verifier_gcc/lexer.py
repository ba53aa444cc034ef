"""Telling code from comments and literals, as C and C++ do; every function takes time linear in the text.

What is a comment depends on the dialect: 1'a/*' opens one where ' may separate digits, and none elsewhere.
So what matters is looked for under each of `DIALECTS`, and what is found under any of them counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_RAW = r'(?P<raw> (?:u8|[uUL])?R"(?P<delimiter>[^()\\\s"]{0,16})\(.*?(?:\)(?P=delimiter)"|\Z) ) |'
_SEPARATOR = r"'(?=\w) |"


def _dialect(raw: str, separator: str) -> re.Pattern[str]:
    """Return what matches a token. Those for numbers and words keep what is inside one from beginning another."""
    return re.compile(
        rf"""(?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) ) | {raw}
        (?P<literal> "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? ) |
        \.?\d(?: [eEpP][+-] | {separator} [\w.] )* |
        [A-Za-z_$][\w$]*""",
        re.VERBOSE | re.DOTALL | re.ASCII,
    )


MODERN = _dialect(_RAW, _SEPARATOR)
"""C++ since 2014."""
DIALECTS = (MODERN, _dialect(_RAW, ""), _dialect("", _SEPARATOR), _dialect("", ""))

_DIFFER = re.compile(r"""\w'|R\"""")
"""Without a match the dialects agree."""
_SPLICE = re.compile(r"\\[ \t]*\r?\n")
_TRIGRAPH_SPLICE = re.compile(r"(?:\\|\?\?/)[ \t]*\r?\n")
_DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_NOT_NEWLINE = re.compile(r"[^\n]")


def splicings(code: str) -> set[str]:
    r"""Return `code` with lines that end in \ joined with the next: with and without trigraphs."""
    return {_SPLICE.sub("", code), _TRIGRAPH_SPLICE.sub("", code)}


def without_comments(code: str) -> set[str]:
    """Return the readings of `code` with a space for each comment."""
    return _readings(code, lambda found: " " if found["comment"] else found[0])


def bare(code: str) -> set[str]:
    """Return the readings of `code` with a space for each comment, and `""` or `''` for each literal."""
    return _readings(code, _emptied)


def _readings(code: str, replace: Callable[[re.Match[str]], str]) -> set[str]:
    dialects = DIALECTS if _DIFFER.search(code) else (MODERN,)
    return {dialect.sub(replace, code) for dialect in dialects}


def masked(code: str) -> str:
    """Return `code` with blanks for comments, literals and directives; what is left keeps its position."""
    return _DIRECTIVE.sub(_blank, MODERN.sub(_blanked, code))


def _emptied(found: re.Match[str]) -> str:
    groups = found.groupdict()
    if groups["comment"]:
        return " "
    if groups.get("raw"):
        return '""'
    return 2 * groups["literal"][0] if groups["literal"] else found[0]


def _blanked(found: re.Match[str]) -> str:
    return _blank(found) if any(found.groupdict().values()) else found[0]


def _blank(found: re.Match[str]) -> str:
    return _NOT_NEWLINE.sub(" ", found[0])
