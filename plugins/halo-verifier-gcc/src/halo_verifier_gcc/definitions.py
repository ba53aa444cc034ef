"""The functions and types that a piece of code defines, found in time linear in the code and without a compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator

from halo_verifier_gcc import lexer

_TOKEN = re.compile(r"[(){}]|<%|%>|[A-Za-z_]\w*")
_LOOKAHEAD = 2000
"""Characters read after a parameter list, for what may stand between it and the body."""
_OPENING = re.compile(r"\{|<%|\?\?<")
_BEFORE_BODY = re.compile(
    r"""\s*(?:$ | ->  | \[\[ | : (?!:) |
    (?:noexcept|throw|const|volatile|override|final|try|requires|__attribute__|__attribute|asm|__asm__|__asm|_?[A-Z][A-Z_\d]+)\b)""",
    re.VERBOSE,
)
_OLD_PARAMETERS = re.compile(r"\s*[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*\s*")
_OLD_DECLARATIONS = re.compile(r"\s*[A-Za-z_][^;{}=]*;(?:[^;{}=]*;)*\s*")
_TYPE = re.compile(r"\b(?:struct|class|union|enum)\s+([A-Za-z_]\w*)[^;{}()=]{0,80}\{")
_KEYWORDS = frozenset(["if", "for", "while", "switch", "return", "sizeof", "catch", "do", "else"])

_DOTS = r"(?:\.\.\.|…)"
_ELLIPSIS_LINE = re.compile(rf"(?:[{{}};]|\A)\s*{_DOTS}\s*(?:[}};]|$)", re.MULTILINE)
_ELLIPSIS_BODY = re.compile(rf"\s*(?:(?://[^\n]*{_DOTS}[^\n]*|/\*[^*]*{_DOTS}[^*]*\*/)\s*)+\}}")


def functions(code: str, *, top_level: bool = False) -> dict[str, int]:
    """Return the names of the functions that `code` defines, with the position after each body's opening brace.

    With `top_level`, only those outside braces. Definitions may have a trailing return type, attributes, comments
    anywhere, or declarations of the parameters before the body, as before C89.
    """
    return dict(_functions(lexer.masked(code), top_level))


def overloads(code: str) -> bool:
    """Return True if `code` defines two functions of one name outside braces, as C does not allow."""
    found = [name for name, _ in _functions(lexer.masked(code), True)]
    return len(found) != len(set(found))


def _functions(text: str, top_level: bool) -> Iterator[tuple[str, int]]:
    opened: list[tuple[str, int]] = []
    depth, previous = 0, ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == "(":
            opened.append((previous if depth == 0 or not top_level else "", token.end()))
        elif mark == ")" and opened:
            name, parameters = opened.pop()
            body = _body(text, parameters, token.start()) if name and name not in _KEYWORDS else 0
            if body:
                yield name, body
        elif mark in ("{", "<%"):
            depth += 1
        elif mark in ("}", "%>"):
            depth = max(0, depth - 1)
        previous = mark if mark[0].isalpha() or mark[0] == "_" else ""


def names(code: str) -> set[str]:
    """Return the names of the functions and types that `code` defines outside braces."""
    text = lexer.masked(code)
    return {*(name for name, _ in _functions(text, True)), *_TYPE.findall(text)}


def is_excerpt(code: str, body: int) -> bool:
    """Return True if dots stand for something left out of `code`, or for the whole body that starts at `body`."""
    return bool(_ELLIPSIS_LINE.search(lexer.masked(code)) or _ELLIPSIS_BODY.match(code, body))


def _body(text: str, parameters: int, close: int) -> int:
    """Return the position after the `{` of the body that belongs to a parameter list, or 0 if it has none."""
    after = text[close + 1 : close + 1 + _LOOKAHEAD]
    brace = _OPENING.search(after)
    if not brace:
        return 0
    between = after[: brace.start()]
    if ";" in between:
        old = _OLD_PARAMETERS.fullmatch(text, parameters, close) and _OLD_DECLARATIONS.fullmatch(between)
    else:
        old = _BEFORE_BODY.match(between)
    return close + 1 + brace.end() if old else 0
