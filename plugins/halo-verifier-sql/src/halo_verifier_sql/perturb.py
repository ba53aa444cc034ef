"""Copies of a database with different contents: rows shuffled, dropped and added, values changed.

A copy stays plausible. New values come from the same column, from nearby numbers and from the constants of the
reference query; unique columns stay unique, columns without NULLs stay without NULLs, and most foreign keys
match a row. Rows that violate a constraint are skipped when the copy is built.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Contents = Mapping[str, tuple[Sequence[str], Sequence[Sequence[Any]], Sequence[str]]]
"""Contents by table: its columns, its rows, and those of its columns that are foreign keys."""
Hints = Mapping[str, Sequence[Any]]
"""Values to try, by column name in lower case."""

_KEPT_ROWS = 0.85
"""Share of the rows that are kept."""
_KEPT_REFERENCED = 0.95
"""Share of the rows that are kept among referenced rows; dropping one may drop the rows that refer to it."""
_CHANGED_VALUES = 0.4
"""Share of the values that change."""
_CHANGED_REFERENCES = 0.2
"""Share of the foreign keys that change."""
_REASSIGNED_KEYS = 0.8
"""Share of the rows that get the key of another row."""
_MAX_ADDED = 16
"""Rows added to a small table at most: the larger a table, the fewer queries are correct on it by luck."""
_MIN_DISTINCT = 4
"""Distinct numbers from which on a column is a quantity, for which nearby numbers are plausible too."""
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})(.*)", re.DOTALL)


@dataclass(slots=True)
class _Column:
    """Properties of a column, inferred from its values."""

    pool: list[Any]
    """Distinct values; also hints unless the column is unique."""
    hints: list[Any]
    """Hints that are not among the values."""
    unique: bool
    key: bool
    """Identifies rows: values are kept but may move to other rows."""
    refers: bool
    """Refers to rows: changed less often, so that most references are kept."""
    is_quantity: bool
    low: float
    high: float
    """Smallest and largest number."""
    taken: set[Any]
    """Values that a new row must not have, if the column is unique."""
    reassigned: bool
    """On this copy rows get other keys. Not on every copy: if rows refer to rows of their own table, reassigned
    keys turn chains of references into cycles, which constraints may reject."""
    bounded: bool
    """On this copy no number leaves the original range, as a CHECK may require."""


def perturb(
    contents: Contents, rng: random.Random, hints: Hints
) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return different contents for the same tables, deterministically for equal states of `rng`."""
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
    referenced = {
        value for each in columns.values() for column in each if column.refers for value in column.pool
    }
    return {
        table: (list(names), _perturbed_rows(rows, columns[table], referenced, rng))
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
    is_quantity = number and not refers and len(distinct) >= _MIN_DISTINCT
    key = unique and (first or refers or named)
    numbers = [value for value in pool if type(value) in (int, float) and math.isfinite(value)] or [0]
    return _Column(
        pool,
        [] if key or refers else more,
        unique,
        key,
        refers,
        is_quantity,
        min(numbers),
        max(numbers),
        set(distinct),
        reassigned,
        bounded,
    )


def _perturbed_rows(
    rows: Sequence[Sequence[Any]], columns: list[_Column], referenced: set[Any], rng: random.Random
) -> list[list[Any]]:
    if not rows:
        return []
    keep_all = len(rows) <= 2
    kept = [
        list(row)
        for row in rows
        if keep_all or rng.random() < (_KEPT_REFERENCED if row[0] in referenced else _KEPT_ROWS)
    ]
    kept = kept or [list(rng.choice(rows))]
    for place, column in enumerate(columns):
        if column.unique:
            _change_unique(kept, place, column, rng)
            continue
        for row in kept:
            if rng.random() < (_CHANGED_REFERENCES if column.refers else _CHANGED_VALUES):
                row[place] = _new_value(column, row[place], rng)
    for place, column in enumerate(columns):
        if column.is_quantity and not column.bounded and not column.key:
            rng.choice(kept)[place] = _new_maximum(column, rng)
    for _ in range(rng.randint(1, 1 + max(len(rows) // 3, min(2 * len(rows), _MAX_ADDED)))):
        row = list(rng.choice(rows))
        kept.append(
            [
                _unused_value(column, value, rng) if column.unique else _new_value(column, value, rng)
                for column, value in zip(columns, row, strict=True)
            ]
        )
    rng.shuffle(kept)
    return kept


def _change_unique(rows: list[list[Any]], place: int, column: _Column, rng: random.Random) -> None:
    """Change a unique column: swap some values between rows, replace some numbers."""
    if column.key:
        _reassign(rows, place, column, rng)
        return
    for row in rows:
        if rng.random() >= _CHANGED_VALUES:
            continue
        nearby = _nearby(column, row[place], rng) if column.is_quantity else None
        if nearby is not None and nearby not in column.taken:
            row[place] = nearby
            column.taken.add(nearby)
        else:
            other = rng.choice(rows)
            row[place], other[place] = other[place], row[place]
    for hint in rng.sample(column.hints, min(2, len(column.hints))):
        if hint not in column.taken:
            rng.choice(rows)[place] = hint
            column.taken.add(hint)


def _reassign(rows: list[list[Any]], place: int, column: _Column, rng: random.Random) -> None:
    """Give most rows the key of another row, so that keys identify different rows than on the given database."""
    if not column.reassigned:
        return
    moved = [row for row in rows if rng.random() < _REASSIGNED_KEYS]
    keys = [row[place] for row in moved]
    rng.shuffle(keys)
    for row, key in zip(moved, keys, strict=True):
        row[place] = key


def _new_value(column: _Column, value: Any, rng: random.Random) -> Any:
    if column.is_quantity and value is not None and rng.random() < 0.5:
        return _nearby(column, value, rng)
    return rng.choice(column.pool) if column.pool else value


def _nearby(column: _Column, value: Any, rng: random.Random) -> Any:
    """Return a number near `value`, of the same type and with the same number of decimals (at most 6)."""
    if not math.isfinite(value):
        return value
    step = rng.choice([-3, -2, -1, 1, 2, 3])
    scale = rng.choice([1, 1, abs(value) / 10])
    nearby = value + step * scale
    if column.bounded:
        nearby = min(max(nearby, column.low), column.high)
    elif value >= 0:
        nearby = abs(nearby)
    if isinstance(value, int):
        return round(nearby)
    return round(float(nearby), min(len(f"{value!r}".partition(".")[2]), 6))


def _new_maximum(column: _Column, rng: random.Random) -> Any:
    """Return a number larger than all others, so that the maximum differs between copies."""
    column.high += rng.randint(3, 9)
    column.taken.add(column.high)
    return column.high


def _unused_value(column: _Column, value: Any, rng: random.Random) -> Any:
    """Return a value similar to `value` that is not yet taken."""
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
