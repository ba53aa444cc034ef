"""Beginners' mistakes: each takes a right query and spoils it, the way the demo's authors sometimes do.

A mistake is a function of the query's text and a random generator; it returns None where it cannot be made.
`KINDS` groups them by what comes of it, with how often an author makes one of that kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mistake = Callable[[str, random.Random], str | None]


def _swap(pattern: str, replacement: str) -> Mistake:
    """Make a mistake that replaces one match of `pattern`, chosen at random."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def make(query: str, rng: random.Random) -> str | None:
        found = list(compiled.finditer(query))
        if not found:
            return None
        match = rng.choice(found)
        return query[: match.start()] + match.expand(replacement) + query[match.end() :]

    return make


SYNTAX: tuple[Mistake, ...] = (
    _swap(r" FROM ", " FORM "),  # misspelt keyword
    _swap(r" FROM (\w+)", ""),  # forgotten table
    _swap(r"'(?= |$|;)", ""),  # unclosed string
    _swap(r"\)", ""),  # unclosed parenthesis
    _swap(r"GROUP BY ", "GROUP "),
    _swap(r"ORDER BY ", "ORDER "),
    _swap(r" = ", " is equal "),
    _swap(r"(SELECT \w+), ", r"\1 and "),
    _swap(r" WHERE ", " WHERE WHERE "),
    _swap(r"s(?= WHERE| GROUP| ORDER|$|;)", ""),  # misspelt table
)
WRONG: tuple[Mistake, ...] = (
    _swap(r" > (?=\d)", " < "),  # wrong comparison
    _swap(r" < (?=\d)", " > "),
    _swap(r" >= ", " > "),
    _swap(r" <= ", " < "),
    _swap(r" > (?=\d)", " >= "),
    _swap(r" = '", " <> '"),
    _swap(r" (<>|!=) '", " = '"),
    _swap(r" AND ", " OR "),
    _swap(r" OR ", " AND "),
    _swap(r"NOT ", ""),
    _swap(r" WHERE .*?(?= GROUP| ORDER|$|;)", ""),  # forgotten clause
    _swap(r" DESC", ""),
    _swap(r"DISTINCT ", ""),
    _swap(r" LIMIT \d", ""),
    _swap(r" ORDER BY (\w+)$", r" ORDER BY \1 DESC"),
    _swap(r"MAX\(", "MIN("),
    _swap(r"MIN\(", "MAX("),
    _swap(r"AVG\(", "SUM("),
    _swap(r"SUM\((?=\w+ ?\w{2})", "AVG("),
    _swap(r"(SELECT \w+), \w+(?= FROM)", r"\1"),  # forgotten column
    _swap(r"(?<=LIMIT )2|(?<=LIMIT )3", "1"),
    _swap(r"(?<=> )1", "2"),
)

KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {"syntax": (SYNTAX, 0.28), "wrong": (WRONG, 0.34)}


def spoil(query: str, kind: str, rng: random.Random) -> str:
    """Return `query` with one mistake of `kind`, or as it is when none of them can be made."""
    options = list(KINDS[kind][0])
    rng.shuffle(options)
    return next((bad for mistake in options if (bad := mistake(query, rng)) not in (None, query)), query)


def careless(query: str, rng: random.Random) -> str:
    """Return `query` as a beginner would have written it: each kind of mistake at its own rate."""
    for kind, (_, rate) in KINDS.items():
        if rng.random() < rate:
            query = spoil(query, kind, rng)
    return query
