"""Copies of a database with other contents: rows shuffled, left out, added, values changed.

A copy stays plausible. New values come from the same column, from near numbers and from the constants of the
reference query; columns without repeated values stay so, columns without NULLs too, and references mostly
meet their keys. What a constraint forbids is left out where the copy is built.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Contents = Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]]]]
Hints = Mapping[str, Sequence[Any]]
"""Values worth trying, by column name in small letters."""

_KEPT = 0.85
"""Share of the rows that stay."""
_CHANGED = 0.4
"""Share of the values that change."""
_VARIED = 4
"""From so many different values on, a number is a quantity, and numbers near it are as plausible."""
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(.*)", re.DOTALL)


@dataclass(slots=True)
class _Column:
    """What can be told of a column from its values."""

    pool: list[Any]
    """Its distinct values, and hints of their types."""
    unique: bool
    key: bool
    """Rows are referred to by it: left alone, but for new rows."""
    varied: bool


def perturb(
    contents: Contents, rng: random.Random, hints: Hints
) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return other contents for the same tables. The same generator gives the same contents."""
    keys = {
        value
        for _, rows in contents.values()
        if rows and len({row[0] for row in rows if row}) == len(rows)
        for value in (row[0] for row in rows if row)
    }
    copy = {}
    for table, (names, rows) in contents.items():
        columns = [_column(place, name, rows, hints, keys) for place, name in enumerate(names)]
        copy[table] = (list(names), _rows(rows, columns, rng))
    return copy


def _column(place: int, name: str, rows: Sequence[Sequence[Any]], hints: Hints, keys: set[Any]) -> _Column:
    values = [row[place] for row in rows]
    present = [value for value in values if value is not None]
    distinct = list(dict.fromkeys(present))
    types = {type(value) for value in present}
    unique = len(distinct) == len(values)
    key = unique and (place == 0 or re.search(r"(^|_)(id|key|code|no)$", name.lower()) is not None)
    refers = not unique and set(distinct) <= keys and re.search(r"id|key|code|_no$", name.lower()) is not None
    more = [hint for hint in hints.get(name.lower(), ()) if type(hint) in types and hint not in distinct]
    pool = distinct + ([] if refers or unique else more)
    if len(distinct) < len(values) and None in values:
        pool.append(None)
    number = types <= {int, float} and bool(types)
    return _Column(pool, unique, key, number and not refers and len(distinct) >= _VARIED)


def _rows(rows: Sequence[Sequence[Any]], columns: list[_Column], rng: random.Random) -> list[list[Any]]:
    if not rows:
        return []
    kept = [list(row) for row in rows if len(rows) <= 2 or rng.random() < _KEPT] or [list(rng.choice(rows))]
    for place, column in enumerate(columns):
        if column.unique:
            _swap(kept, place, column, rng)
            continue
        for row in kept:
            if rng.random() < _CHANGED:
                row[place] = _other(column, row[place], rng)
    for _ in range(1 + len(rows) // 4):
        row = list(rng.choice(rows))
        kept.append(
            [
                _added(column, value, place, kept, rng)
                for place, (column, value) in enumerate(zip(columns, row, strict=True))
            ]
        )
    rng.shuffle(kept)
    return kept


def _swap(rows: list[list[Any]], place: int, column: _Column, rng: random.Random) -> None:
    """Change a column whose values do not repeat: exchange some between rows, give some numbers new ones."""
    if column.key or len(rows) < 2:
        return
    for row in rows:
        if rng.random() >= _CHANGED:
            continue
        near = _near(row[place], rng) if column.varied else None
        if near is not None and all(other[place] != near for other in rows) and near not in column.pool:
            row[place] = near
        else:
            other = rng.choice(rows)
            row[place], other[place] = other[place], row[place]


def _other(column: _Column, value: Any, rng: random.Random) -> Any:
    if column.varied and value is not None and rng.random() < 0.4:
        return _near(value, rng)
    return rng.choice(column.pool) if column.pool else value


def _near(value: Any, rng: random.Random) -> Any:
    """Return a number near `value`, of its type and with as many decimals; None for what is no number."""
    step = rng.choice([-3, -2, -1, 1, 2, 3])
    if type(value) is int:
        near = value + step * rng.choice([1, 1, max(1, abs(value) // 10)])
        return abs(near) if value >= 0 else near
    if isinstance(value, float):
        decimals = min(len(f"{value!r}".partition(".")[2]), 6)
        close = round(value + step * rng.choice([0.5, 1.0, abs(value) / 10]), decimals)
        return abs(close) if value >= 0 else close
    return None


def _added(column: _Column, value: Any, place: int, rows: list[list[Any]], rng: random.Random) -> Any:
    """Return a value of a new row."""
    if not column.unique:
        return _other(column, value, rng)
    return _fresh(value, {row[place] for row in rows} | set(column.pool), rng)


def _fresh(value: Any, taken: set[Any], rng: random.Random) -> Any:
    """Return a value like `value` that is not yet taken."""
    if type(value) in (int, float):
        numbers = [other for other in taken if type(other) in (int, float)]
        return max([*numbers, value]) + 1
    if isinstance(value, str):
        date = _DATE.fullmatch(value)
        for number in range(2, 1000):
            month, day = rng.randint(1, 12), rng.randint(1, 28)
            new = f"{date[1]}-{month:02}-{day:02}{date[4]}" if date else f"{value} {number}"
            if new not in taken:
                return new
    if isinstance(value, bytes):
        return value + rng.randbytes(4)
    return value
