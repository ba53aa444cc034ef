"""Values for copies that hold one value in each compared column, so that a narrow condition keeps all rows or none."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_verifier_sql.tables import Table

Assignment = Mapping[tuple[str, int], Any]
"""A table and the place of a column -> the value that all its rows hold."""
_MOST_LISTED = 4096
"""Combinations are drawn without repetition if they are no more than this."""
_EXACT = 0.4
"""Share of the assignments of the very values that the reference compares columns with."""


def assignments(tables: Mapping[str, Table], rng: random.Random, number: int) -> list[Assignment]:
    """Return up to `number` combinations of the values that columns are compared with.

    Some are of the very values of the literals, and repeat if these are few; the others differ from each other. None if
    fewer than two columns are compared: other copies have rows that such a condition keeps.
    """
    places = [
        (name, place)
        for name, table in tables.items()
        for place, domain in enumerate(table.domains)
        if domain.compared
    ]
    if len(places) < 2:
        return []
    domains = [tables[name].domains[place] for name, place in places]
    exact = itertools.cycle(_drawn([domain.exact or domain.compared for domain in domains], rng))
    others = _drawn([domain.compared for domain in domains], rng)
    first = round(_EXACT * number)
    chosen = [*itertools.islice(exact, first), *itertools.islice(others, number - first)]
    return [dict(zip(places, values, strict=True)) for values in chosen]


def _drawn(values: Sequence[Sequence[Any]], rng: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield combinations of one value from each sequence in random order: all of them, or endless ones if many."""
    if math.prod(map(len, values)) <= _MOST_LISTED:
        combinations = list(itertools.product(*values))
        rng.shuffle(combinations)
        yield from combinations
    else:
        while True:
            yield tuple(map(rng.choice, values))
