"""Comparing a result with the reference's: typed multisets of rows, in order where the reference orders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from halo_verifier_sql import cells

_NEAR = 64
"""Candidates that a row is held against, where there is a tolerance."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """When two floats a (actual) and e (expected) are the same: |a - e| <= absolute + relative * |e|."""

    relative: float = 0.0
    absolute: float = 0.0

    def __bool__(self) -> bool:
        return self.relative > 0.0 or self.absolute > 0.0


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that the reference leaves in no particular order among themselves."""

    rows: tuple[str, ...]
    """All rows that may stand here, each as canonical text."""
    count: int
    """How many of them must: fewer than there are where the reference's LIMIT cuts through ties."""


@dataclass(frozen=True, slots=True)
class Gold:
    """The reference's result on one database."""

    columns: tuple[str, ...]
    text: str
    """Canonical text of the rows in the order in which the reference returned them."""
    groups: tuple[Group, ...]
    """The rows by the places where they belong."""
    by_name: bool = False
    """Columns are found by name instead of position."""

    @property
    def count(self) -> int:
        """The number of rows."""
        return sum(group.count for group in self.groups)

    @property
    def cut(self) -> bool:
        """Whether a LIMIT cuts through ties, so that several results are right."""
        return any(group.count < len(group.rows) for group in self.groups)


def difference(gold: Gold, columns: Sequence[str], text: str, tolerance: Tolerance) -> str:
    """Say how a result differs from the reference's; empty when it does not."""
    if text == gold.text and len(columns) == len(gold.columns) and not gold.by_name:
        return ""
    if len(columns) != len(gold.columns):
        return f"expected {_many(len(gold.columns), 'column')}, got {len(columns)}"
    rows = cells.decode(text)
    if gold.by_name:
        places = _places(gold.columns, columns)
        if places is None:
            return f"expected columns {', '.join(gold.columns)}; got {', '.join(columns)[:200]}"
        rows = [[row[place] for place in places] for row in rows]
    if len(rows) != gold.count:
        return f"expected {_many(gold.count, 'row')}, got {len(rows)}"
    start = 0
    for group in gold.groups:
        actual = [cells.encode(row) for row in rows[start : start + group.count]]
        start += group.count
        surplus, missing = _unmatched(actual, group)
        if surplus and not (tolerance and _matched(_decoded(surplus), _decoded(missing), tolerance)):
            return f"expected a row {missing[0][:160]}, got {surplus[0][:160]}"
    return ""


def _places(wanted: Sequence[str], found: Sequence[str]) -> list[int] | None:
    names = [name.lower() for name in found]
    if sorted(names) != sorted(name.lower() for name in wanted):
        return None
    return [names.index(name.lower()) for name in wanted]


def _unmatched(rows: list[str], group: Group) -> tuple[list[str], list[str]]:
    """Return the rows that have no place in the group, taken as a multiset, and the group's that have not come."""
    missing, surplus = Counter(group.rows), []
    for row in rows:
        if missing[row] > 0:
            missing[row] -= 1
        else:
            surplus.append(row)
    return surplus, [*missing.elements()] if surplus else []


def _decoded(rows: list[str]) -> list[list[Any]]:
    return cells.decode(f"[{','.join(rows)}]")


def _matched(rows: list[list[Any]], candidates: list[list[Any]], tolerance: Tolerance) -> bool:
    """Whether each of `rows` is close to a candidate of its own.

    Rows that differ in anything but floats never meet. The others are gone through in order of their floats,
    and each row looks at the next few candidates only, so that no result takes long to compare.
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
        near = (at for at, other in enumerate(waiting[:_NEAR]) if _all_close(floats, other, tolerance))
        if (at := next(near, None)) is None:
            return False
        del waiting[at]
    return True


def _parts(row: list[Any]) -> tuple[str, list[float]]:
    """Split a row into the canonical text of what must be equal and the floats that need only be close."""
    loose = [type(cell) is float and math.isfinite(cell) for cell in row]
    exact = [["~"] if is_loose else cell for cell, is_loose in zip(row, loose, strict=True)]
    return cells.encode(exact), [cell for cell, is_loose in zip(row, loose, strict=True) if is_loose]


def _all_close(actual: list[float], expected: list[float], tolerance: Tolerance) -> bool:
    return all(_close(a, e, tolerance) for a, e in zip(actual, expected, strict=True))


def _close(actual: float, expected: float, tolerance: Tolerance) -> bool:
    return abs(actual - expected) <= tolerance.absolute + tolerance.relative * abs(expected)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
