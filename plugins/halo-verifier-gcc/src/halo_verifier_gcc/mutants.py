"""Programs a small change away from one that is right: another operator, another constant, one turn of a
loop more or less, a statement left out. They should fail; a prompt under which one passes has too few tests.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from halo_verifier_gcc import lexer
from halo_verifier_gcc.oracles import Task
from halo_verifier_gcc.source import extract

_EACH = 3
"""Mutants of one kind at most."""
_OPERATORS = {
    "+": "*", "-": "+", "*": "+", "/": "*", "%": "+",
    "==": "!=", "!=": "==", "<": ">=", "<=": ">", ">": "<=", ">=": "<", "&&": "||", "||": "&&",
    "+=": "-=", "-=": "+=", "*=": "+=", "/=": "*=",
}  # fmt: skip
_BOUNDS = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
_OPERATOR = re.compile(
    r"(?<=[\w)\]] )(?:[<>]=?)(?= [\w(*!-])|(?:(?<=[\w)\]])|(?<=[\w)\]] ))(?:[-+*/]=?|%|[=!]=|&&|\|\|)(?= ?[\w(])"
)
"""Between operands only; < and > between blanks only, for they may be brackets."""
_LOOP = re.compile(r"\b(?:for|while)\b[^\n{]*")
_NUMBER = re.compile(r"(?<![\w.\[])\d+(?![\w.\]])")
_STATEMENT = re.compile(
    r"^[ \t]*(?:\w+(?:\[\w+\])? [-+*/%]?= |\w+(?:\+\+|--);|\w+\.?\w*\()[^\n]*;$", re.MULTILINE
)
_LEAVES = re.compile(r"\breturn\s*$")


def of(task: Task) -> list[str]:
    """Return the mutants of the task's solution, the same on each call; none without a solution."""
    if not task.reference.solution:
        return []
    code = extract(task.reference.solution, function=(task.reference.names or ("main",))[0]).code
    text = lexer.masked(code)
    kinds = (_operators(text), _constants(text), _bounds(text), _statements(text))
    made = [code[:at] + new + code[end:] for kind in kinds for at, end, new in _spread(list(kind))]
    return list(dict.fromkeys([*made, *_constant(task)]))


Edit = tuple[int, int, str]


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
        if not _LEAVES.search(text, 0, found.start()):
            yield (*found.span(), f"{found[0]}7")


def _statements(text: str) -> Iterator[Edit]:
    for found in _STATEMENT.finditer(text):
        yield (*found.span(), "")


def _spread(edits: list[Edit]) -> list[Edit]:
    """Choose a few, from beginning to end."""
    if len(edits) <= _EACH:
        return edits
    return [edits[n * (len(edits) - 1) // (_EACH - 1)] for n in range(_EACH)]


def _constant(task: Task) -> list[str]:
    """Return a program that prints what the first test wants, whatever it is given."""
    if task.harness or not task.tests:
        return []
    said = "".join(f"\\{byte:03o}" for byte in task.tests[0].stdout)
    return [f'#include <stdio.h>\nint main(void) {{ fputs("{said}", stdout); return 0; }}\n']
