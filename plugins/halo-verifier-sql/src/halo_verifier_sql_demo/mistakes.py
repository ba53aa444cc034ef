"""Beginners' mistakes: each turns a correct query into a wrong one, as the demo's authors sometimes do.

`KINDS` groups them by effect, with the rate at which an author makes a mistake of that kind.
"""

from __future__ import annotations

import re
from functools import partial

from halo_core.demo.mistakes import Mistake, MistakeInjector, swap

_swap = partial(swap, flags=re.IGNORECASE)

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

careless = MistakeInjector(KINDS)
spoil = careless.inject
