"""A second look at an answer that has passed: on copies made for the constants and columns of the answer itself.

The copies of a prompt contain the constants of the reference, and are those on which mutants of the reference show. An
answer that compares with other constants, such as `name NOT IN ('', 'none')` or `age <> 17`, or reads a column that
the reference does not read, can differ from the reference where no copy has a row that shows it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace

from halo_core.errors import VerifierError
from halo_core.seeds import derive_seed
from halo_verifier_sql import ambiguity, constants
from halo_verifier_sql.engines import Engine, make_description
from halo_verifier_sql.generate import Copy, Kind, generate
from halo_verifier_sql.prepare import SELECTION_FACTOR, Task
from halo_verifier_sql.tables import Table, read_tables
from halo_verifier_sql.trial import Trial, measure
from halo_verifier_sql.worker import Caps

_CROSSED = {"sqlite": 6, "duckdb": 2, "postgresql": 2}
"""Copies in which compared values meet: fewer where building them is slow."""
_FEW = {"sqlite": 24, "duckdb": 8, "postgresql": 8}
"""Copies of a few rows."""


def needs_second_look(task: Task, sql: str) -> bool:
    """Return True if a query has literals with which the reference compares nothing, or other columns."""
    if task.plan is None:
        return False
    return not constants.literals(sql) <= task.literals or not constants.words(sql).isdisjoint(task.unread)


def more_databases(task: Task, sql: str, engine: Engine, dialect: str, caps: Caps) -> Task | None:
    """Return a task with copies that contain the constants of `sql`.

    None if it has neither a constant nor a column that the reference lacks, or if the reference's result is determined
    on none of the copies. Deterministic for a task and these constants and columns.
    """
    known, found = constants.of_query(task.query, dialect), constants.of_query(sql, dialect)
    new = {
        name: [value for value in values if value not in known.values.get(name, [])]
        for name, values in sorted(found.values.items())
    }
    new = {name: values for name, values in new.items() if values}
    unread = found.columns - known.columns
    columns = sorted(name for name in unread if not constants.words(name).isdisjoint(task.unread))
    if task.plan is None or not (new or columns):
        return None
    given = task.databases[0]
    try:
        contents = engine.contents(f"{task.key}=", [given])[0]
        values = {
            name: [*new.get(name, []), *values[: 1 if name in new else None]]
            for name, values in known.values.items()
        }
        exact = {name: [*found.exact.get(name, []), *values] for name, values in known.exact.items()}
        asked = replace(
            known, values=new | values, exact=found.exact | exact, columns=known.columns | found.columns
        )
        tables = read_tables(contents, asked, dialect)
        key = f"{task.key}+{derive_seed(0, repr((new, columns)))}"
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


def _copies(tables: Mapping[str, Table], key: str, dialect: str) -> list[Copy]:
    crossed, few = _CROSSED[dialect], _FEW[dialect]
    kinds: list[Kind] = ["crossed" if number < crossed else "few" for number in range(crossed + few)]
    rngs = [random.Random(derive_seed(0, "second", key, number)) for number in range(len(kinds))]
    return [generate(tables, *each) for each in zip(rngs, kinds, strict=True)]
