"""Copies of a database with other contents: rows shuffled, left out, added, values changed.

A copy stays plausible. New values come from the same column, from near numbers and from the constants of the
reference query; columns without repeated values stay so, columns without NULLs too, and references mostly
meet their keys. What a constraint forbids is left out where the copy is built.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Contents = Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]], Sequence[str]]]
"""By table, its columns, its rows, and which of the columns refer to other rows."""
Hints = Mapping[str, Sequence[Any]]
"""Values worth trying, by column name in small letters."""

_KEPT = 0.85
"""Share of the rows that stay."""
_HELD = 0.95
"""Share of the rows that stay of those that others refer to, and may have to go with."""
_CHANGED = 0.4
"""Share of the values that change."""
_MOVED = 0.2
"""Share of the references that change."""
_REKEYED = 0.8
"""Share of the rows that get the key of another."""
_FEW = 16
"""Up to so many rows are added to a small table: the larger a table, the less is right on it by luck."""
_VARIED = 4
"""From so many different values on, a number is a quantity, and numbers near it are as plausible."""
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(.*)", re.DOTALL)


@dataclass(slots=True)
class _Column:
    """What can be told of a column from its values."""

    pool: list[Any]
    """Its distinct values, and hints unless it is unique."""
    hints: list[Any]
    """Hints that are not among them."""
    unique: bool
    key: bool
    """Rows are referred to by it: its values stay, though of other rows."""
    refers: bool
    """It refers to rows: changed less often, so that most references stay what they were."""
    varied: bool
    low: float
    high: float
    """The smallest and the largest number."""
    taken: set[Any]
    """What the values of a new row must not be, where they do not repeat."""
    reassigned: bool
    """On this copy rows get other keys. Not on every one: where rows refer to rows of their own table, chains of
    references turn into circles, which constraints may not let in."""
    bounded: bool
    """On this copy no number becomes smaller or larger than all were, as a CHECK may demand."""


def perturb(
    contents: Contents, rng: random.Random, hints: Hints
) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return other contents for the same tables. The same generator gives the same contents."""
    keys = {
        value
        for _, rows, _ in contents.values()
        if rows and len({row[0] for row in rows if row}) == len(rows)
        for value in (row[0] for row in rows if row)
    }
    bounded, reassigned = rng.random() < 0.5, rng.random() < 0.75
    columns = {
        table: [
            _column(
                name,
                [row[place] for row in rows],
                hints,
                name in references,
                keys,
                reassigned,
                bounded,
                place == 0,
            )
            for place, name in enumerate(names)
        ]
        for table, (names, rows, references) in contents.items()
    }
    referred = {
        value for each in columns.values() for column in each if column.refers for value in column.pool
    }
    return {
        table: (list(names), _rows(rows, columns[table], referred, rng))
        for table, (names, rows, _) in contents.items()
    }


def _column(
    name: str,
    values: list[Any],
    hints: Hints,
    declared: bool,
    keys: set[Any],
    reassigned: bool,
    bounded: bool,
    first: bool,
) -> _Column:
    present = [value for value in values if value is not None]
    distinct = list(dict.fromkeys(present))
    types = {type(value) for value in present}
    unique = len(distinct) == len(values)
    named = re.search(r"(^|_)(id|key|code|no)$", name.lower()) is not None
    refers = declared or (named and not unique and keys.issuperset(distinct))
    more = [hint for hint in hints.get(name.lower(), ()) if type(hint) in types and hint not in distinct]
    pool = distinct + ([] if refers or unique else more)
    if len(distinct) < len(values) and None in values:
        pool.append(None)
    number = types <= {int, float} and bool(types)
    varied = number and not refers and len(distinct) >= _VARIED
    key = unique and (first or refers or named)
    numbers = [value for value in pool if type(value) in (int, float) and math.isfinite(value)] or [0]
    return _Column(
        pool,
        [] if key or refers else more,
        unique,
        key,
        refers,
        varied,
        min(numbers),
        max(numbers),
        set(distinct),
        reassigned,
        bounded,
    )


def _rows(
    rows: Sequence[Sequence[Any]], columns: list[_Column], referred: set[Any], rng: random.Random
) -> list[list[Any]]:
    if not rows:
        return []
    few = len(rows) <= 2
    kept = [list(row) for row in rows if few or rng.random() < (_HELD if row[0] in referred else _KEPT)]
    kept = kept or [list(rng.choice(rows))]
    for place, column in enumerate(columns):
        if column.unique:
            _swap(kept, place, column, rng)
            continue
        for row in kept:
            if rng.random() < (_MOVED if column.refers else _CHANGED):
                row[place] = _other(column, row[place], rng)
    for place, column in enumerate(columns):
        if column.varied and not column.bounded and not column.key:
            rng.choice(kept)[place] = _extreme(column, rng)
    for _ in range(rng.randint(1, 1 + max(len(rows) // 3, min(2 * len(rows), _FEW)))):
        row = list(rng.choice(rows))
        kept.append(
            [
                _fresh(column, value, rng) if column.unique else _other(column, value, rng)
                for column, value in zip(columns, row, strict=True)
            ]
        )
    rng.shuffle(kept)
    return kept


def _swap(rows: list[list[Any]], place: int, column: _Column, rng: random.Random) -> None:
    """Change a column whose values do not repeat: exchange some between rows, give some numbers new ones."""
    if column.key:
        _reassign(rows, place, column, rng)
        return
    for row in rows:
        if rng.random() >= _CHANGED:
            continue
        near = _near(column, row[place], rng) if column.varied else None
        if near is not None and near not in column.taken:
            row[place] = near
            column.taken.add(near)
        else:
            other = rng.choice(rows)
            row[place], other[place] = other[place], row[place]
    for hint in rng.sample(column.hints, min(2, len(column.hints))):
        if hint not in column.taken:
            rng.choice(rows)[place] = hint
            column.taken.add(hint)


def _reassign(rows: list[list[Any]], place: int, column: _Column, rng: random.Random) -> None:
    """Give most rows the key of another, so that a key stands for another row than on the given database."""
    if not column.reassigned:
        return
    moved = [row for row in rows if rng.random() < _REKEYED]
    keys = [row[place] for row in moved]
    rng.shuffle(keys)
    for row, key in zip(moved, keys, strict=True):
        row[place] = key


def _other(column: _Column, value: Any, rng: random.Random) -> Any:
    if column.varied and value is not None and rng.random() < 0.5:
        return _near(column, value, rng)
    return rng.choice(column.pool) if column.pool else value


def _near(column: _Column, value: Any, rng: random.Random) -> Any:
    """Return a number near `value`, of its type and with as many decimals."""
    if not math.isfinite(value):
        return value
    step = rng.choice([-3, -2, -1, 1, 2, 3])
    scale = rng.choice([1, 1, abs(value) / 10])
    near = value + step * scale
    if column.bounded:
        near = min(max(near, column.low), column.high)
    elif value >= 0:
        near = abs(near)
    if isinstance(value, int):
        return round(near)
    return round(float(near), min(len(f"{value!r}".partition(".")[2]), 6))


def _extreme(column: _Column, rng: random.Random) -> Any:
    """Return a number larger than all, so that the largest is not the same on every copy."""
    column.high += rng.randint(3, 9)
    column.taken.add(column.high)
    return column.high


def _fresh(column: _Column, value: Any, rng: random.Random) -> Any:
    """Return a value like `value` that is not yet taken."""
    if type(value) in (int, float):
        column.high = type(value)(column.high + 1)
        while column.high in column.taken:
            column.high += 1
        column.taken.add(column.high)
        return column.high
    if isinstance(value, str):
        date = _DATE.fullmatch(value)
        for number in range(2, 1000):
            month, day = rng.randint(1, 12), rng.randint(1, 28)
            new = f"{date[1]}-{month:02}-{day:02}{date[4]}" if date else f"{value} {number}"
            if new not in column.taken:
                column.taken.add(new)
                return new
    return value + rng.randbytes(4) if isinstance(value, bytes) else value
