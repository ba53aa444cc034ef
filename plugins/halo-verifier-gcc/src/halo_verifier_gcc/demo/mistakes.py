"""Beginners' mistakes: each takes a correct program and spoils it, the way the demo's authors sometimes do.

A mistake is a function of the program's text and a random generator; it returns None where it cannot be
made. `KINDS` groups them by what comes of it, with how often an author makes one of that kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mistake = Callable[[str, random.Random], str | None]


def _swap(pattern: str, replacement: str | Callable[[re.Match[str]], str]) -> Mistake:
    """Make a mistake that replaces one match of `pattern`, chosen at random."""
    compiled = re.compile(pattern, re.MULTILINE)

    def make(code: str, rng: random.Random) -> str | None:
        found = list(compiled.finditer(code))
        if not found:
            return None
        match = rng.choice(found)
        new = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        return code[: match.start()] + new + code[match.end() :]

    return make


SYNTAX: tuple[Mistake, ...] = (
    _swap(r";$", ""),  # missing semicolon
    _swap(r";$", ""),
    _swap(r"^(    )int (\w+) = ", r"\1\2 = "),  # undeclared variable
    _swap(r"\(int (\w+) = ", r"(\1 = "),
    _swap(r"^    int [\w, ]+;\n", ""),
    _swap(r"^ *\}\n", ""),  # unclosed brace
    _swap(r"\);$", ";"),  # unclosed parenthesis
    _swap(r'" ?\)|",', lambda m: m[0][1:]),  # unclosed string
    _swap(r"\bprintf\(", "print("),  # misspelt function
    _swap(r"\bscanf\(", "scan("),
    _swap(r'(printf\("[^"]*"),', r"\1"),  # missing comma
    _swap(r"\b(if|while) \((.+)\)( \{)?$", r"\1 \2:"),  # another language
    _swap(r"(printf\(.*, )(\w+)\);$", r"\1value);"),  # undeclared name
)
WARNING: tuple[Mistake, ...] = (
    _swap(r"^    scanf", "    int tmp;\n    scanf"),  # unused variable
    _swap(r'(printf\("[^"]*)%d', r"\1%f"),  # wrong format
    _swap(r'(printf\("[^"]*)%d', r"\1%s"),
    _swap(r'(scanf\("[^"]*)%d', r"\1%f"),
    _swap(r"if \((.*[^=!<>]) == ", r"if (\1 = "),  # assignment for comparison
)
CRASH: tuple[Mistake, ...] = (
    _swap(r"return 0;", "return 1;"),
    _swap(r"^(    scanf.*)&(\w+\);)$", r"\1\2"),  # missing address
    _swap(r" % \w+", " % 0"),
)
WRONG: tuple[Mistake, ...] = (
    _swap(r" <= ", " < "),  # off by one
    _swap(r" < ", " <= "),
    _swap(r"(int \w+) = 0;", r"\1 = 1;"),
    _swap(r" > (\w+)", r" < \1"),
    _swap(r" >= (\w+)", r" > \1"),
    _swap(r"(\w+) ([-/]) (\w+)", r"\3 \2 \1"),  # swapped operands
    _swap(r" \+ ", " - "),  # wrong operator
    _swap(r" \* ", " + "),
    _swap(r" == ", " != "),
    _swap(r"\? (\S+) : (\S+)\)", r"? \2 : \1)"),  # swapped answers
)

KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "syntax": (SYNTAX, 0.36),
    "warning": (WARNING, 0.08),
    "crash": (CRASH, 0.04),
    "wrong": (WRONG, 0.24),
}


def spoil(code: str, kind: str, rng: random.Random) -> str:
    """Return `code` with one mistake of `kind`, or as it is when none of them can be made."""
    options = list(KINDS[kind][0])
    rng.shuffle(options)
    return next((bad for mistake in options if (bad := mistake(code, rng)) not in (None, code)), code)


def careless(code: str, rng: random.Random) -> str:
    """Return `code` as a beginner would have written it: each kind of mistake at its own rate."""
    for kind, (_, rate) in KINDS.items():
        if rng.random() < rate:
            code = spoil(code, kind, rng)
    return code
