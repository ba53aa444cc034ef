"""Separation of C and C++ code from comments and literals. Every function takes time linear in the text.

Where a comment starts depends on the dialect: 1'a/*' opens one where ' may separate digits, and not elsewhere.
Checks therefore read the code under each of `DIALECTS`; a match under any of them counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_RAW = r'(?P<raw> (?:u8|[uUL])?R"(?P<delimiter>[^()\\\s"]{0,16})\(.*?(?:\)(?P=delimiter)"|\Z) ) |'
_SEPARATOR = r"'(?=\w) |"


def _dialect(raw: str, separator: str) -> re.Pattern[str]:
    """Return a pattern that matches one token.

    The alternatives for numbers and words keep a quote or an R inside one from starting a literal.
    """
    return re.compile(
        rf"""(?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z) ) | {raw}
        (?P<literal> "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'? ) |
        \.?\d(?: [eEpP][+-] | {separator} [\w.] )* |
        [A-Za-z_$][\w$]*""",
        re.VERBOSE | re.DOTALL | re.ASCII,
    )


MODERN = _dialect(_RAW, _SEPARATOR)
"""C++14 and later."""
DIALECTS = (MODERN, _dialect(_RAW, ""), _dialect("", _SEPARATOR), _dialect("", ""))

_DIALECTS_MAY_DIFFER = re.compile(r"""\w'|R\"""")
"""Without a match all dialects read the code alike."""
_SPLICE = re.compile(r"\\[ \t]*\r?\n")
_TRIGRAPH_SPLICE = re.compile(r"(?:\\|\?\?/)[ \t]*\r?\n")
_DIRECTIVE = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_NOT_NEWLINE = re.compile(r"[^\n]")


def spliced_variants(code: str) -> set[str]:
    r"""Return `code` with each line that ends in \ joined to the next, without and with trigraphs."""
    return {_SPLICE.sub("", code), _TRIGRAPH_SPLICE.sub("", code)}


def without_comments(code: str) -> set[str]:
    """Return the readings of `code` with a space in place of each comment."""
    return readings(code, lambda found: " " if found["comment"] else found[0])


def without_comments_and_literals(code: str) -> set[str]:
    """Return the readings of `code` with a space for each comment and `""` or `''` for each literal."""
    return readings(code, _without_content)


def readings(code: str, replace: Callable[[re.Match[str]], str]) -> set[str]:
    """Return `code` with `replace` applied to its tokens, under each dialect."""
    dialects = DIALECTS if _DIALECTS_MAY_DIFFER.search(code) else (MODERN,)
    return {dialect.sub(replace, code) for dialect in dialects}


def without_text(code: str) -> str:
    """Return `code` with blanks for comments and literals; the rest keeps its position."""
    return MODERN.sub(_mask, code)


def masked(code: str) -> str:
    """Return `code` with blanks for comments, literals and directives; the rest keeps its position."""
    return _DIRECTIVE.sub(_blanks, without_text(code))


def ends_in_text(code: str) -> bool:
    """Return True if `code` ends within a comment or a literal."""
    return not MODERN.sub(_mask, code + "\0").endswith("\0")


def _without_content(found: re.Match[str]) -> str:
    groups = found.groupdict()
    if groups["comment"]:
        return " "
    if groups.get("raw"):
        return '""'
    return 2 * groups["literal"][0] if groups["literal"] else found[0]


def _mask(found: re.Match[str]) -> str:
    return _blanks(found) if any(found.groupdict().values()) else found[0]


def _blanks(found: re.Match[str]) -> str:
    return _NOT_NEWLINE.sub(" ", found[0])
