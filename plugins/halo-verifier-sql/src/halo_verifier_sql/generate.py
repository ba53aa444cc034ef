"""Copies of a database that are bound by nothing but what the schema declares.

All rows are new: values repeat in every column that is not declared unique, NULLs stand wherever they are
allowed, rows agree in all columns or in all but one, some rows are referred to by many others and some by none, and
columns refer to missing rows unless a foreign key forbids it. Some copies have more rows, in which each value that the
reference compares a column with, its neighbours and NULL meet those of the other columns: a condition that treats NULL
as false, or moves a boundary, shows in one of these rows. Others have few rows, so that a single one decides, or one
value in each column that is compared, so that a narrow condition keeps all rows or none.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from halo_verifier_sql.assignments import Assignment
from halo_verifier_sql.domains import Domain
from halo_verifier_sql.tables import ForeignKey, Table, parents_first

_ROWS = (9, 15)
"""Smallest and largest number of rows in a table that refers to no other: few, so that values meet in joins."""
_CHILD_ROWS = (12, 20)
_FEW_ROWS = (1, 3)
_FEWEST_DENSE = 2
_CROSSED = 0.7
"""Share of the copies of the usual size with rows in which compared values meet."""
_EXACT = 0.5
"""Share of the copies on which only the compared values themselves meet, so that more of them meet in joins."""
_MOST_CROSSED = 48
"""Maximum number of rows of a table in which compared values meet."""
_MOST_REFERRING = 90
"""Maximum number of such rows if they refer to others: they are repeated, so that each meets several of those."""
_MOST_COMPARED = 6
"""Maximum number of compared values of a column that meet others on one copy."""
_NULLS = (0.0, 0.1, 0.2, 0.2, 0.3)
"""Shares of NULLs that a column can have on a copy."""
_VARIETY = (2, 3, 4, 6, 12)
"""Numbers of different values that a column can have on a copy."""
_DIFFERENT = 0.2
"""Share of the columns that repeat no value on a copy, so that some copies have no ties."""
_EQUAL, _ALIKE = 0.12, 0.25
"""Shares of the rows that repeat another one except in unique columns, and that differ from it in one more column."""
_KNOWN = 0.75
"""Share of the values in columns without repetitions that are those of the given rows, if any are left."""
_TRIES = 12
"""Attempts to make a row whose unique columns differ from those of all other rows."""
_ANY = object()
"""Stands for any value of a column."""
_FINEST = 4
"""Floats are multiples of its inverse, so that their sums do not depend on the order of rows."""
_LARGEST_EXACT = 2.0**40


Kind = Literal["mixed", "crossed", "few", "dense"]
"""Copies of the usual size, such copies in which compared values meet for certain, copies of a few rows, and copies of
any size with one value in each compared column."""
Copy = dict[str, tuple[list[str], list[list[Any]]]]
"""The columns and rows of each table."""


def generate(
    tables: Mapping[str, Table], rng: random.Random, kind: Kind = "mixed", assigned: Assignment | None = None
) -> Copy:
    """Return new contents for all tables, deterministically for equal states of `rng`.

    A copy of the kind `dense` has the values of `assigned` in its columns.
    """
    made: dict[str, list[list[Any]]] = {}
    crossed = kind == "crossed" or (kind == "mixed" and rng.random() < _CROSSED)
    exact = rng.random() < _EXACT
    for name in parents_first(tables):
        made[name] = []
        maker = _Maker(name, tables[name], made, rng, kind, assigned or {}, exact=exact)
        low, high = _FEW_ROWS if kind == "few" else _CHILD_ROWS if tables[name].foreign_keys else _ROWS
        maker.fill(_FEWEST_DENSE if kind == "dense" else low, high)
        if crossed:
            maker.cross()
    return {name: (list(tables[name].columns), rows) for name, rows in made.items()}


def generate_all(
    tables: Mapping[str, Table],
    make_rng: Callable[[int], random.Random],
    numbers: Mapping[Kind, int],
    assigned: Sequence[Assignment],
) -> list[Copy]:
    """Return the numbers of copies of each kind, then one dense copy for each of `assigned`.

    `make_rng` returns the random numbers of the copy with a number.
    """
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    copies = [generate(tables, make_rng(number), kind) for number, kind in enumerate(kinds)]
    return copies + [
        generate(tables, make_rng(number), "dense", each) for number, each in enumerate(assigned, len(kinds))
    ]


def richness(tables: Mapping[str, Table], copy: Mapping[str, tuple[list[str], list[list[Any]]]]) -> int:
    """Return in how many ways a copy uses the freedom of its schema: repeated values, NULLs, rows without referrers."""
    found = 0
    for name, (_, rows) in copy.items():
        for values in zip(*rows, strict=True):
            present = [value for value in values if value is not None]
            found += (len(set(present)) < len(present)) + (len(present) < len(values))
            if len(set(map(type, present))) == 1:
                found += any(present.count(best(present)) > 1 for best in (min, max))
        for key in tables[name].foreign_keys:
            used = {tuple(row[place] for place in key.places) for row in rows}
            found += any(tuple(row[place] for place in key.targets) not in used for row in copy[key.table][1])
    return found


@dataclass(slots=True)
class _Source:
    """Where the values of a column come from on one copy."""

    domain: Domain
    palette: list[Any]
    weights: list[float]
    nulls: float

    def draw(self, rng: random.Random) -> Any:
        if rng.random() < self.nulls or not self.palette:
            return None
        return rng.choices(self.palette, self.weights)[0]


class _Maker:
    """Makes the rows of one table. `made` has the rows of the tables before it, and gets the new ones."""

    def __init__(
        self,
        name: str,
        table: Table,
        made: Mapping[str, list[list[Any]]],
        rng: random.Random,
        kind: Kind,
        assigned: Assignment,
        *,
        exact: bool,
    ) -> None:
        self._name, self._table, self._made, self._rng = name, table, made, rng
        self._few, self._exact, self._assigned = kind == "few", exact, assigned
        self._rows = made[name]
        self._taken: list[set[tuple[Any, ...]]] = [set() for _ in table.unique]
        self._distinct = {places[0] for places in table.unique if len(places) == 1}
        if kind == "mixed":
            self._distinct |= {place for place in range(len(table.columns)) if rng.random() < _DIFFERENT}
        self._redrawn = self._distinct.union(*table.unique)
        self._sources = [self._source(place) for place in range(len(table.columns))]
        self._popularity: dict[ForeignKey, list[float]] = {}
        self._weighted = True

    def fill(self, low: int, high: int) -> None:
        """Make between `low` and `high` rows."""
        for _ in range(self._rng.randint(low, high)):
            self._insert(self._row())

    def cross(self) -> None:
        """Make rows in which the values that columns are compared with, and NULL, meet those of other columns."""
        classes = [self._classes(place) for place in range(len(self._table.columns))]
        combinations = self._combinations(classes)
        repeated = _MOST_REFERRING // max(len(combinations), 1) if self._table.foreign_keys else 1
        self._popularity = {}
        self._weighted = False
        for chosen in combinations * max(1, min(repeated, 4)):
            row: list[Any] = [self._value(place) for place in range(len(classes))]
            self._refer(row, set(range(len(classes))))
            for place, index in chosen.items():
                if classes[place][index] is not _ANY:
                    row[place] = classes[place][index]
            self._insert(row if self._is_complete(row) else None)

    def _combinations(self, classes: list[list[Any]]) -> list[dict[int, int]]:
        """Return choices of values by place: all combinations if they are few, otherwise all pairs if possible."""
        domains = self._table.domains
        compared = [place for place, values in enumerate(classes) if values and domains[place].compared]
        free = [place for place, values in enumerate(classes) if len(values) > 1 and place not in compared]
        for places in ([*compared, *free], compared):
            if places and math.prod(len(classes[place]) for place in places) <= _MOST_CROSSED:
                indices = itertools.product(*(range(len(classes[place])) for place in places))
                return [dict(zip(places, each, strict=True)) for each in indices]
        pairs = [
            (one, other, index, another)
            for one, other in itertools.combinations([*compared, *free], 2)
            if one in compared or not compared
            for index in range(len(classes[one]))
            for another in range(len(classes[other]))
        ]
        self._rng.shuffle(pairs)
        chosen: list[dict[int, int]] = []
        while pairs and len(chosen) < _MOST_CROSSED:
            chosen.append({})
            left = []
            for pair in pairs:
                one, other, index, another = pair
                if chosen[-1].get(one, index) == index and chosen[-1].get(other, another) == another:
                    chosen[-1][one], chosen[-1][other] = index, another
                else:
                    left.append(pair)
            pairs = left
        return chosen

    def _classes(self, place: int) -> list[Any]:
        """Return the values of a column that meet those of others; none if it may not repeat a value."""
        table, domain = self._table, self._table.domains[place]
        if place in self._distinct or any(place in places for places in table.unique):
            return []
        nulls = [] if table.required[place] else [None]
        if any(place in key.places for key in table.foreign_keys):
            return [*nulls, _ANY]
        known = domain.exact if self._exact else domain.compared
        compared = self._rng.sample(known, min(len(known), _MOST_COMPARED))
        others = [value for value in self._sources[place].palette if value not in compared][:1]
        return [*nulls, *map(_exact, compared), *(others or ([] if compared else [_ANY]))]

    def _insert(self, row: list[Any] | None) -> None:
        """Add a row, with other values in its unique columns if it repeats another there."""
        for _ in range(_TRIES):
            if row is None or self._accept(row):
                break
            for place in self._redrawn:
                row[place] = self._value(place)
            self._refer(row, self._redrawn)

    def _row(self) -> list[Any] | None:
        """Return a row: a new one, or an earlier one with new values in some columns; None if it is impossible."""
        everywhere = set(range(len(self._table.columns)))
        kind = self._rng.random()
        if not self._rows or kind > _EQUAL + _ALIKE:
            row: list[Any] = [None] * len(everywhere)
            changed = everywhere
        else:
            row = list(self._rng.choice(self._rows))
            changed = set(self._redrawn)
            if kind > _EQUAL and everywhere - changed:
                changed.add(self._rng.choice(sorted(everywhere - changed)))
        for place in changed:
            row[place] = self._value(place)
        self._refer(row, changed)
        return row if self._is_complete(row) else None

    def _is_complete(self, row: list[Any]) -> bool:
        required = zip(row, self._table.required, strict=True)
        return not any(value is None and is_required for value, is_required in required)

    def _refer(self, row: list[Any], changed: set[int]) -> None:
        """Set the foreign keys among `changed` to keys of existing rows, or to NULL."""
        for key in self._table.foreign_keys:
            if changed.isdisjoint(key.places):
                continue
            targets = self._targets(key)
            optional = not any(self._table.required[place] for place in key.places)
            source = self._sources[key.places[0]]
            if not targets or (optional and self._rng.random() < max(source.nulls, 0.05)):
                target: Sequence[Any] = [None] * len(key.places)
            else:
                target = self._rng.choices(targets, self._weights(key, len(targets)))[0]
            for place, value in zip(key.places, target, strict=True):
                row[place] = value

    def _targets(self, key: ForeignKey) -> list[list[Any]]:
        rows = self._made.get(key.table, [])
        found = [[row[place] for place in key.targets] for row in rows]
        targets = [target for target in found if None not in target]
        source = self._sources[key.places[0]]
        if (self._name, key.places[0]) in self._assigned:
            return [target for target in targets if target[0] in source.palette] or targets
        return targets

    def _weights(self, key: ForeignKey, count: int) -> list[float]:
        """Return how often each row is referred to: some often, and some never."""
        weights = self._popularity.setdefault(key, [])
        while len(weights) < count:
            weights.append(self._rng.choice([0.0, 1.0, 1.0, 4.0]) if self._weighted else 1.0)
        return weights[:count] if any(weights[:count]) else [1.0] * count

    def _value(self, place: int) -> Any:
        source = self._sources[place]
        if place not in self._distinct:
            return source.draw(self._rng)
        if self._rng.random() < source.nulls:
            return None
        taken = {row[place] for row in self._rows}
        known = [
            value
            for value in (*map(_exact, source.domain.values), *source.domain.hints)
            if value not in taken
        ]
        if known and self._rng.random() < _KNOWN:
            return self._rng.choice(known)
        value = _exact(source.domain.fresh(self._rng, taken))
        return source.draw(self._rng) if value is None or value in taken else value

    def _accept(self, row: list[Any]) -> bool:
        """Add a row, unless it repeats what must be unique."""
        keys = [tuple(row[place] for place in places) for places in self._table.unique]
        if any(None not in key and key in taken for key, taken in zip(keys, self._taken, strict=True)):
            return False
        for key, taken in zip(keys, self._taken, strict=True):
            taken.add(key)
        self._rows.append(row)
        return True

    def _source(self, place: int) -> _Source:
        domain, rng = self._table.domains[place], self._rng
        size = rng.choice(_VARIETY)
        hints = rng.sample(domain.hints, min(len(domain.hints), max(1, size // 2)))
        if (self._name, place) in self._assigned:
            return _Source(domain, [_exact(self._assigned[self._name, place])], [1.0], 0.0)
        if self._few and domain.compared:
            compared = domain.exact if self._exact else domain.compared
            hints = rng.sample(compared, min(len(compared), rng.choice((1, 1, 2))))
            size = len(hints) + (rng.random() < 0.3)
        known = rng.sample(domain.values, min(len(domain.values), max(0 if hints else 1, size - len(hints))))
        palette = list(dict.fromkeys([*hints, *map(_exact, known)]))
        while len(palette) < size and (value := _exact(domain.fresh(rng, palette))) not in (None, *palette):
            palette.append(value)
        weights = [rng.choice([1.0, 1.0, 3.0]) for _ in palette]
        nulls = 0.0 if self._table.required[place] else rng.choice(_NULLS)
        if place in self._distinct and rng.random() < 0.5:
            nulls = 0.0
        return _Source(domain, palette, weights, nulls)


def _exact(value: Any) -> Any:
    """Return a float as a number of few binary digits."""
    if type(value) is not float or not abs(value) < _LARGEST_EXACT:
        return value
    return round(value * _FINEST) / _FINEST
