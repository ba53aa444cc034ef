"""Copies of a database that resemble it: rows shuffled, dropped and added, values changed.

New values come from the same column, from nearby ones and from the constants of the reference query. Columns whose
values are unique or without NULLs stay so even if the schema does not declare it, and most foreign keys match a row.
Rows that violate a constraint are skipped when the copy is built.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_verifier_sql.domains import Domain
from halo_verifier_sql.tables import Table

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
_KEY = re.compile(r"(^|_)(id|key|code|no)$")
"""Names of columns that identify rows or refer to them."""


@dataclass(slots=True)
class _Column:
    """Properties of a column, inferred from its values."""

    domain: Domain
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


def perturb(tables: Mapping[str, Table], rng: random.Random) -> dict[str, tuple[list[str], list[list[Any]]]]:
    """Return different contents for the same tables, deterministically for equal states of `rng`."""
    keys = {
        value
        for table in tables.values()
        if table.rows and len({row[0] for row in table.rows if row}) == len(table.rows)
        for value in (row[0] for row in table.rows if row)
    }
    bounded, reassigned = rng.random() < 0.5, rng.random() < 0.75
    columns = {
        name: [_column(table, place, keys, reassigned, bounded) for place in range(len(table.columns))]
        for name, table in tables.items()
    }
    referenced = {
        value for each in columns.values() for column in each if column.refers for value in column.pool
    }
    return {
        name: (list(table.columns), _perturbed_rows(table.rows, columns[name], referenced, rng))
        for name, table in tables.items()
    }


def _column(table: Table, place: int, keys: set[Any], reassigned: bool, bounded: bool) -> _Column:
    domain, values = table.domains[place], [row[place] for row in table.rows]
    distinct = list(dict.fromkeys(value for value in values if value is not None))
    unique = len(distinct) == len(values)
    named = _KEY.search(table.columns[place].lower()) is not None
    declared = any(place in key.places for key in table.foreign_keys)
    refers = declared or (named and not unique and keys.issuperset(distinct))
    pool = distinct + ([] if refers or unique else list(domain.hints))
    numbers = [value for value in pool if type(value) in (int, float) and math.isfinite(value)] or [0]
    if len(distinct) < len(values) and None in values:
        pool.append(None)
    key = unique and (place == 0 or refers or named)
    return _Column(
        domain,
        pool,
        [] if key or refers else list(domain.hints),
        unique,
        key,
        refers,
        domain.is_quantity and not refers,
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
        if column.domain.is_number and column.is_quantity and not column.bounded and not column.key:
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
    nearby = column.domain.near(value, rng)
    if column.bounded and type(nearby) in (int, float):
        return type(nearby)(min(max(nearby, column.low), column.high))
    return nearby


def _new_maximum(column: _Column, rng: random.Random) -> Any:
    """Return a number larger than all others if there is one, so that the maximum differs between copies."""
    value = column.domain.fresh(rng, column.taken)
    if value is None:
        return column.high
    column.high = max(column.high, value)
    column.taken.add(value)
    return value


def _unused_value(column: _Column, value: Any, rng: random.Random) -> Any:
    """Return a value that is not yet taken; `value` if there is none, and its row then violates a constraint."""
    new = column.domain.fresh(rng, column.taken)
    column.taken.add(new)
    return value if new is None else new
