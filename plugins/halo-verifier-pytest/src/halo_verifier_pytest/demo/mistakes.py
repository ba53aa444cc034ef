"""Beginners' mistakes: each takes a correct program and spoils it, the way the demo's authors sometimes do.

A mistake is a function of the program's text and a random generator; it returns None where it cannot be
made. `KINDS` groups them by what comes of it, with how often an author makes one of that kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mistake = Callable[[str, random.Random], str | None]


def _swap(pattern: str, replacement: str) -> Mistake:
    """Make a mistake that replaces one match of `pattern`, chosen at random."""
    compiled = re.compile(pattern, re.MULTILINE)

    def make(code: str, rng: random.Random) -> str | None:
        found = list(compiled.finditer(code))
        if not found:
            return None
        match = rng.choice(found)
        return code[: match.start()] + match.expand(replacement) + code[match.end() :]

    return make


SYNTAX: tuple[Mistake, ...] = (
    _swap(r":$", ""),  # missing colon
    _swap(r"[)\]}]$", ""),  # unclosed bracket
    _swap(r" in ", " "),  # missing word
    _swap(r" == ", " = "),  # assignment for comparison
    _swap(r"^(    +\w.*\n)    return ", r"\1   return "),  # indentation
    _swap(r"^(\s+)return (.*)$", r"\1return \2;}"),  # another language
    _swap(r" if (.*?)([)\]}])", r" where \1\2"),
    _swap(r'"(.)"', r'"\1'),  # unclosed string
)
CRASH: tuple[Mistake, ...] = (
    _swap(r"\bfor (\w+) in\b", "for j in"),  # undefined name
    _swap(r"return (r|result|out)$", "return total"),
    _swap(r"\bstr\(n\)", "n"),  # an integer is not iterable
    _swap(r"range\(1, n \+ 1\)", "n"),
    _swap(r"\.append\(", ".push("),
    _swap(r"map\(len, s.split\(\)\)", "len(s.split())"),
    _swap(r"\bsum\(|\bsorted\(", "total("),
)
WRONG: tuple[Mistake, ...] = (
    _swap(r" > ", " >= "),  # off by one
    _swap(r" < ", " <= "),
    _swap(r"range\(1, n \+ 1\)", "range(1, n)"),
    _swap(r"range\(1, n \+ 1\)", "range(n + 1)"),
    _swap(r" == 0", " != 0"),
    _swap(r" if [^:\n]*?(?=[)\]}])", ""),  # forgotten condition
    _swap(r"(\w) [+*-] (\d)", r"\1 - \2"),  # wrong operator
    _swap(r"\bmax\(", "min("),
    _swap(r"\bmin\(", "max("),
    _swap(r"^(\s+)return (r|result|out)$", r"\1    return \2"),  # too early
    _swap(r"\bsorted\(", "list("),
    _swap(r"\breturn \[(.*)\]$", r"return [\1][1:]"),  # without the first
    _swap(r" not in ", " in "),
    _swap(r"\.upper\(\)", ".lower()"),
)

KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "syntax": (SYNTAX, 0.28),
    "crash": (CRASH, 0.10),
    "wrong": (WRONG, 0.22),
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
