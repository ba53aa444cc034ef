"""A second look at an answer that has passed: on copies made for the constants and columns of the answer itself.

The copies of a prompt contain the constants of the reference, and are those on which mutants of the reference show. An
answer that compares with other constants, such as `name NOT IN ('', 'none')` or `age <> 17`, or reads a column that
the reference does not read, can differ from the reference where no copy has a row that shows it.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from halo_core.errors import VerifierError
from halo_core.seeds import derive_seed
from halo_verifier_sql import ambiguity, constants
from halo_verifier_sql.assignments import assignments
from halo_verifier_sql.engines import Engine, make_description
from halo_verifier_sql.generate import Copy, Kind, generate_all
from halo_verifier_sql.prepare import SELECTION_FACTOR, Task
from halo_verifier_sql.tables import Table, read_tables
from halo_verifier_sql.trial import Trial, measure
from halo_verifier_sql.worker import Caps, Contents

_CROSSED = {"sqlite": 6, "duckdb": 2, "postgresql": 2}
"""Copies in which compared values meet: fewer where building them is slow."""
_FEW = {"sqlite": 16, "duckdb": 6, "postgresql": 6}
"""Copies of a few rows."""
_DENSE = {"sqlite": 8, "duckdb": 2, "postgresql": 2}
"""Copies with one value in each compared column, on which a narrow condition keeps many rows."""


@dataclass(frozen=True, slots=True)
class Additions:
    """Literals and columns of a query that the reference does not have."""

    values: dict[str, list[Any]]
    """New literals by column, and their neighbours."""
    exact: dict[str, list[Any]]
    """By column, the literals of the query alone; empty without new literals."""
    columns: tuple[str, ...]
    """Words of columns that the reference does not read, in lower case."""


def additions(task: Task, sql: str, dialect: str) -> Additions | None:
    """Return what a query reads beyond the reference; None if nothing. Parses it only if it has new literals."""
    if task.plan is None:
        return None
    columns = tuple(sorted(constants.words(sql) & task.unread))
    values: dict[str, list[Any]] = {}
    exact: dict[str, list[Any]] = {}
    if not constants.literals(sql) <= task.literals:
        known, found = constants.of_query(task.query, dialect), constants.of_query(sql, dialect)
        for name, several in sorted(found.values.items()):
            if fresh := [value for value in several if value not in known.values.get(name, [])]:
                values[name] = fresh
        exact = found.exact if values else {}
    return Additions(values, exact, columns) if values or columns else None


def more_databases(task: Task, added: Additions, engine: Engine, dialect: str, caps: Caps) -> Task | None:
    """Return a task with copies that contain the values of `added` and vary its columns.

    None if the reference's result is determined on none of the copies. Deterministic for a task and `added`.
    """
    if task.plan is None:
        return None
    known = constants.of_query(task.query, dialect)
    given = task.databases[0]
    try:
        contents = engine.contents(f"{task.key}=", [given])[0]
        values = {
            name: [*added.values.get(name, []), *several[: 1 if name in added.values else None]]
            for name, several in known.values.items()
        }
        exact = {name: [*added.exact.get(name, []), *several] for name, several in known.exact.items()}
        asked = replace(
            known,
            values=added.values | values,
            exact=added.exact | exact,
            columns=known.columns.union(_names(contents, added.columns), added.values),
        )
        tables = read_tables(contents, asked, dialect)
        key = f"{task.key}+{derive_seed(0, repr(added))}"
        copies = _copies(tables, key, dialect)
        described = [make_description(given["schema"], copy, copy=True) for copy in copies]
        trusted = Caps(*(SELECTION_FACTOR * cap for cap in (caps.steps, caps.rows, caps.bytes)))
        trial = Trial(engine, key, (given, *described), trusted)
        _, candidates = measure(trial, task.plan, ambiguity.variants(task.query, dialect), list(tables), caps)
    except (ValueError, VerifierError):
        return None
    usable = [
        (database, candidate.gold)
        for database, candidate in zip(described, candidates[1:], strict=True)
        if candidate.gold and candidate.is_determined and not candidate.gold.has_cut_ties
    ]
    if not usable:
        return None
    databases, golds = zip(*usable, strict=True)
    return replace(task, key=f"{key}-", databases=databases, golds=golds)


def _names(contents: Contents, words: Collection[str]) -> set[str]:
    """Return the names of columns, in lower case, that contain one of the words."""
    names = {column.lower() for columns, _, _ in contents.values() for column in columns}
    return {name for name in names if not constants.words(name).isdisjoint(words)}


def _copies(tables: Mapping[str, Table], key: str, dialect: str) -> list[Copy]:
    def make_rng(number: int) -> random.Random:
        return random.Random(derive_seed(0, "second", key, number))

    assigned = assignments(tables, random.Random(derive_seed(0, "assign", key)), _DENSE[dialect])
    numbers: dict[Kind, int] = {"crossed": _CROSSED[dialect], "few": _FEW[dialect]}
    return generate_all(tables, make_rng, numbers, assigned)
