"""Random databases on which `mutate_sql.py` decides whether two queries are equivalent."""

from __future__ import annotations

import random
import re
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import cross_sql  # type: ignore[import-not-found]
from cross_sql import WORDS, Tables

_STEPS = (-20, -5, -1, 0, 1, 2, 5, 7, 20)
"""Distances from the constants of a query at which a changed constant can lie."""
_SEARCHED = 3000
"""Databases on which a difference between two queries is searched for."""


def random_rows(
    tables: Tables, queries: str, rng: random.Random, *, narrow: bool = False
) -> dict[str, list[list[object]]]:
    """Return rows that satisfy the declared constraints, of the queries' constants, their neighbours and NULLs.

    With `narrow`, there are few other values, so that rows satisfy many conditions at once.
    """
    words, numbers = _values(queries, rng, narrow=narrow)
    rows: dict[str, list[list[object]]] = {}
    share = rng.choice((0.0, 0.2, 0.5))
    for name, columns in tables.items():
        some = [rng.sample(each, min(len(each), rng.randint(1, 6))) for each in (words, numbers)]
        rows[name] = [
            [
                place,
                *(
                    None
                    if not c.required and rng.random() < share
                    else rng.choice(rows[c.target])[0]
                    if c.target
                    else rng.choice(some[c.is_number])
                    for c in columns
                ),
            ]
            for place in rng.sample(range(1, 60), rng.choice((1, 2, 5, 12, 20)))
        ]
    return rows


def _values(queries: str, rng: random.Random, *, narrow: bool) -> tuple[list[str], list[int]]:
    """Return words and numbers that tables may contain."""
    texts = re.findall(r"'([^']*)'", queries)
    given = [int(text) for text in re.findall(r"\b\d+\b", queries)]
    plain = [text for text in texts if text.isalpha()]
    filled = [text.replace("%", "").replace("_", "o") for text in texts if not text.isalpha()]
    if narrow:
        other = f"{rng.choice('ax')}{rng.choice([*plain, *filled, 'none'])}{rng.choice('ex')}"
        return sorted({*plain, *filled, "none", other}), sorted(
            {*given, *(number + rng.choice(_STEPS) for number in given), 0}
        )
    words = [*plain, *rng.sample(WORDS, 3), "none", "", "abe", "xer", *filled]
    words += [each for word in words[:2] for each in (f"{word[:3]}ic", word[:-1])]
    return words, [*(number + step for number in given for step in _STEPS), 0, 99]


def _result(db: sqlite3.Connection, query: str) -> Counter[str]:
    """Return a result as a multiset of rows; 1 and 1.0 differ."""
    return Counter(map(repr, db.execute(query)))


class Databases:
    """Random databases, with the result of a reference on each."""

    def __init__(self, tables: Tables, reference: str, rng: random.Random, count: int) -> None:
        self._open = [cross_sql.connect(tables, random_rows(tables, reference, rng)) for _ in range(count)]
        self._results = [_result(db, reference) for db in self._open]
        self._reference = reference

    def close(self) -> None:
        """Close the connections."""
        for db in self._open:
            db.close()

    def tell_apart(self, answer: str) -> bool:
        """Return True if an answer differs from the reference on one of the databases, or does not run."""
        try:
            return any(
                _result(db, answer) != wanted for db, wanted in zip(self._open, self._results, strict=True)
            )
        except sqlite3.Error:
            return True

    def search(self, answer: str, tables: Tables) -> bool:
        """Return True if an answer differs from the reference on a database made for both. Takes a second or two."""
        rng = random.Random(f"{self._reference} {answer}")
        for _ in range(_SEARCHED):
            rows = random_rows(tables, f"{self._reference} {answer}", rng, narrow=True)
            with closing(cross_sql.connect(tables, rows)) as db:
                if _result(db, answer) != _result(db, self._reference):
                    return True
        return False
