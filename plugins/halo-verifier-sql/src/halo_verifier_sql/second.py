"""A second look at an answer that has passed: on copies that contain the constants of the answer itself.

The copies of a prompt contain the constants of the reference. An answer that compares with other ones, such as
`name NOT IN ('', 'none')` or `age <> 17`, can differ from the reference where no copy has a row that shows it.
"""

from __future__ import annotations

import random
from dataclasses import replace

from halo_core.errors import VerifierError
from halo_core.seeds import derive_seed
from halo_verifier_sql import ambiguity, constants
from halo_verifier_sql.engines import Engine, make_description
from halo_verifier_sql.generate import Kind, generate
from halo_verifier_sql.prepare import SELECTION_FACTOR, Task
from halo_verifier_sql.tables import read_tables
from halo_verifier_sql.trial import Trial, measure
from halo_verifier_sql.worker import Caps

_CROSSED, _FEW = 2, 8
"""Copies in which compared values meet, and copies of a few rows."""


def needs_second_look(task: Task, sql: str) -> bool:
    """Return True if a query has literals with which the reference compares nothing."""
    return task.plan is not None and not constants.literals(sql) <= task.literals


def more_databases(task: Task, sql: str, engine: Engine, dialect: str, caps: Caps) -> Task | None:
    """Return a task with copies that contain the constants of `sql`.

    None if it compares no column with one that the reference lacks, or if the reference's result is determined on
    none of the copies. Deterministic for a task and the constants.
    """
    known, found = constants.of_query(task.query, dialect), constants.of_query(sql, dialect)
    new = {
        name: [value for value in values if value not in known.values.get(name, [])]
        for name, values in sorted(found.values.items())
    }
    new = {name: values for name, values in new.items() if values}
    if task.plan is None or not new:
        return None
    given = task.databases[0]
    try:
        contents = engine.contents(f"{task.key}=", [given])[0]
        values = {
            name: [*new.get(name, []), *values[: 1 if name in new else None]]
            for name, values in known.values.items()
        }
        asked = replace(known, values=new | values)
        tables = read_tables(contents, asked, dialect)
        key = f"{task.key}+{derive_seed(0, repr(new))}"
        kinds: list[Kind] = ["crossed" if number < _CROSSED else "few" for number in range(_CROSSED + _FEW)]
        copies = [
            generate(tables, random.Random(derive_seed(0, "second", key, number)), kind)
            for number, kind in enumerate(kinds)
        ]
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
