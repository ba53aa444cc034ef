"""Comparison of a result with the reference's: typed multisets of rows, ordered where the reference orders them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from halo_verifier_sql import cells
from halo_verifier_sql.gathered import Gathered, sort_cells

_MAX_CANDIDATES = 64
"""Maximum number of candidates compared with a row under a tolerance."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Floats a (actual) and e (expected) are equal if |a - e| <= absolute + relative * |e|."""

    relative: float = 0.0
    absolute: float = 0.0

    def __bool__(self) -> bool:
        return self.relative > 0.0 or self.absolute > 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Rows whose order among themselves the reference leaves open."""

    rows: tuple[str, ...]
    """All rows allowed at this place, each as canonical text."""
    count: int
    """Number of rows required at this place: fewer than `rows` if the reference's LIMIT cuts through ties."""


@dataclass(frozen=True, slots=True)
class Gold:
    """The reference's result on one database."""

    columns: tuple[str, ...]
    text: str
    """Canonical text of the rows, in the order in which the reference returned them."""
    groups: tuple[Group, ...]
    """The rows, grouped by their place in the order."""
    by_name: bool = False
    """Match columns by name instead of position."""
    gathered: Mapping[int, Gathered] = field(default_factory=dict)
    """Columns, by place, whose cells hold values in an open order. `text` and `groups` have them sorted."""

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(group.count for group in self.groups)

    @property
    def has_cut_ties(self) -> bool:
        """True if a LIMIT cuts through ties, so that several results are correct."""
        return any(group.count < len(group.rows) for group in self.groups)


def difference(gold: Gold, columns: Sequence[str], text: str, tolerance: Tolerance) -> str:
    """Return how a result differs from the reference's; empty if it does not."""
    if text == gold.text and len(columns) == len(gold.columns) and not gold.by_name:
        return ""
    if len(columns) != len(gold.columns):
        return f"expected {_count(len(gold.columns), 'column')}, got {len(columns)}"
    rows = cells.decode(text)
    if gold.by_name:
        places = _positions(gold.columns, columns)
        if places is None:
            return f"expected columns {', '.join(gold.columns)}; got {', '.join(columns)[:200]}"
        rows = [[row[place] for place in places] for row in rows]
    rows = sort_cells(rows, gold.gathered)
    if len(rows) != gold.count:
        return f"expected {_count(gold.count, 'row')}, got {len(rows)}"
    start = 0
    for group in gold.groups:
        actual = [cells.encode(row) for row in rows[start : start + group.count]]
        start += group.count
        surplus, missing = _unmatched(actual, group)
        if surplus and not (tolerance and _match(_decoded(surplus), _decoded(missing), tolerance)):
            return f"expected a row {missing[0][:160]}, got {surplus[0][:160]}"
    return ""


def _positions(wanted: Sequence[str], found: Sequence[str]) -> list[int] | None:
    names = [name.lower() for name in found]
    if sorted(names) != sorted(name.lower() for name in wanted):
        return None
    return [names.index(name.lower()) for name in wanted]


def _unmatched(rows: list[str], group: Group) -> tuple[list[str], list[str]]:
    """Return the rows that are not in the group, compared as multisets, and the group's unmatched rows."""
    missing, surplus = Counter(group.rows), []
    for row in rows:
        if missing[row] > 0:
            missing[row] -= 1
        else:
            surplus.append(row)
    return surplus, [*missing.elements()] if surplus else []


def _decoded(rows: list[str]) -> list[list[Any]]:
    return cells.decode(f"[{','.join(rows)}]")


def _match(rows: list[list[Any]], candidates: list[list[Any]], tolerance: Tolerance) -> bool:
    """Return True if each of `rows` can be paired with a different candidate that is close to it.

    Rows are only compared with candidates that are equal in everything but floats. They are processed in the
    order of their floats, each against the next few candidates only, which bounds the time for any result.
    """
    buckets: dict[str, list[list[float]]] = {}
    for candidate in candidates:
        exact, floats = _parts(candidate)
        buckets.setdefault(exact, []).append(floats)
    for bucket in buckets.values():
        bucket.sort()
    for exact, floats in sorted(map(_parts, rows)):
        waiting = buckets.get(exact, [])
        while waiting and waiting[0] < floats and not _close(floats[0], waiting[0][0], tolerance):
            del waiting[0]
        near = (
            at for at, other in enumerate(waiting[:_MAX_CANDIDATES]) if _all_close(floats, other, tolerance)
        )
        if (at := next(near, None)) is None:
            return False
        del waiting[at]
    return True


def _parts(row: list[Any]) -> tuple[str, list[float]]:
    """Split a row into the canonical text of its exact part and the floats that only need to be close."""
    loose = [type(cell) is float and math.isfinite(cell) for cell in row]
    exact = [["~"] if is_loose else cell for cell, is_loose in zip(row, loose, strict=True)]
    return cells.encode(exact), [cell for cell, is_loose in zip(row, loose, strict=True) if is_loose]


def _all_close(actual: list[float], expected: list[float], tolerance: Tolerance) -> bool:
    return all(_close(a, e, tolerance) for a, e in zip(actual, expected, strict=True))


def _close(actual: float, expected: float, tolerance: Tolerance) -> bool:
    return abs(actual - expected) <= tolerance.absolute + tolerance.relative * abs(expected)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
