"""Mutants of a correct program: another operator, another constant, one loop iteration more or less, a statement
removed. They should fail; if one passes, its prompt has too few tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_MAX_PER_KIND = 3
_OPERATORS = {
    "+": "*", "-": "+", "*": "+", "/": "*", "%": "+",
    "==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "&&": "||", "||": "&&",
    "+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=",
}  # fmt: skip
_BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_OPERATOR = re.compile(
    r"(?<=[\w)\]] )(?:[<>]=?)(?= [\w(*!-])|(?:(?<=[\w)\]])|(?<=[\w)\]] ))(?:[-+*/]=?|%|[=!]=|&&|\|\|)(?= ?[\w(])"
)
"""An operator between operands; < and > only between blanks, because elsewhere they may be brackets."""
_LOOP = re.compile(r"\b(?:for|while)\b[^\n{]*")
_NUMBER = re.compile(r"(?<![\w.\[])\d+(?![\w.\]])")
_STATEMENT = re.compile(
    r"^[ \t]*(?:\w+(?:\[\w+\])? [-+*/%]?= |\w+(?:\+\+|--);|\w+\.?\w*\()[^\n]*;$", re.MULTILINE
)
Edit = tuple[int, int, str]
_RETURN = re.compile(r"\breturn\s*$")


def mutants(code: str, masked: str) -> list[str]:
    """Return mutants of the program `code`, in a language with operators as in C; the same on each call.

    `masked` is the code with blanks for comments and literals, as `Language.masked` returns it.
    """
    kinds = (_operators(masked), _constants(masked), _bounds(masked), _statements(masked))
    edited = (code[:at] + new + code[end:] for kind in kinds for at, end, new in _spread(list(kind)))
    return list(dict.fromkeys(edited))


def _operators(text: str) -> Iterator[Edit]:
    for found in _OPERATOR.finditer(text):
        yield (*found.span(), _OPERATORS[found[0]])


def _bounds(text: str) -> Iterator[Edit]:
    for loop in _LOOP.finditer(text):
        for found in _OPERATOR.finditer(text, *loop.span()):
            if found[0] in _BOUNDS:
                yield (*found.span(), _BOUNDS[found[0]])


def _constants(text: str) -> Iterator[Edit]:
    for found in _NUMBER.finditer(text):
        if not _RETURN.search(text, 0, found.start()):
            yield (*found.span(), f"{found[0]}7")


def _statements(text: str) -> Iterator[Edit]:
    for found in _STATEMENT.finditer(text):
        yield (*found.span(), "")


def _spread(edits: list[Edit]) -> list[Edit]:
    """Return at most `_MAX_PER_KIND` edits, evenly spaced."""
    if len(edits) <= _MAX_PER_KIND:
        return edits
    return [edits[n * (len(edits) - 1) // (_MAX_PER_KIND - 1)] for n in range(_MAX_PER_KIND)]
