"""Preparation of a prompt: from its reference to a `Task`, the databases and the expected result on each.

Many candidate copies of the given database are made. Those are selected on which the reference's results differ and
which kill the most mutants of the reference, so that a query that is correct by luck on one database fails on another.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from halo_core.errors import DataError, VerifierError
from halo_core.seeds import derive_seed
from halo_verifier_sql import ambiguity, cells, constants, lookups, mutate, ordering
from halo_verifier_sql.assignments import assignments
from halo_verifier_sql.compare import Gold, Group, difference
from halo_verifier_sql.engines import Engine, make_description
from halo_verifier_sql.generate import Copy, Kind, generate_all, richness
from halo_verifier_sql.perturb import perturb
from halo_verifier_sql.reference import FORM, Reference, read
from halo_verifier_sql.selection import EXACT, Candidate, differ, find_kills, select
from halo_verifier_sql.tables import Table, read_tables
from halo_verifier_sql.trial import Plan, Trial, make_plan, measure
from halo_verifier_sql.worker import Caps, Description

_CANDIDATES = {"sqlite": (2, 4), "duckdb": (1, 3), "postgresql": (1, 3)}
"""Candidates per selected copy that resemble the given database, and that are bound by the declared constraints
alone: fewer where building them is slow."""
_FEW = {"sqlite": 24, "duckdb": 4, "postgresql": 6}
"""Candidates of a few rows, on which one row decides the result of an aggregate function."""
_DENSE = {"sqlite": 24, "duckdb": 4, "postgresql": 6}
"""Candidates with one value in each compared column, at most."""
_STRONG = 0.75
"""Share of the mutants that the selected copies tell apart at least. The others of most references are equivalent."""
_WEAK_FACTOR = 4
"""Factor by which more candidates of a few rows are made if they tell fewer mutants apart."""
_MORE = {"sqlite": 8, "duckdb": 2, "postgresql": 2}
"""Copies beyond the wanted number at most, if they tell mutants apart that the others do not."""
_MAX_CELLS = 400_000
"""Maximum number of values in all candidates that resemble the given database; at least as many of them are built
as copies are selected."""
SELECTION_FACTOR = 20
"""Factor on a completion's limits for the queries that run while copies are selected."""


@dataclass(frozen=True, slots=True)
class Task:
    """The databases and expected results that completions of one prompt are compared with."""

    key: str
    databases: tuple[Description, ...]
    """The given database, then its copies."""
    golds: tuple[Gold, ...]
    reads: bool
    """True if the reference reads a table, so that a correct query must read one too."""
    query: str
    mutants: tuple[str, ...]
    """Changed reference queries that are wrong on the given database or on at least one candidate copy."""
    plan: Plan | None = None
    """The queries that determine the reference's result; None if there is no reference query."""
    literals: frozenset[str] = frozenset()
    """Literals with which the reference compares something."""
    unread: frozenset[str] = frozenset()
    """Words of the names of columns that the reference does not read, in lower case."""
    told_apart: tuple[int, int] = (0, 0)
    """Number of changed reference queries that are wrong on at least one of `databases`, and of all that run."""


def prepare(
    prompt_id: str, data: Mapping[str, Any], engine: Engine, dialect: str, copies: int, caps: Caps
) -> Task:
    """Return the task. Raises `DataError` if the reference is unusable, or cannot tell right from wrong answers."""
    try:
        reference = read(data)
        digest = hashlib.sha256(json.dumps([dialect, copies, data], sort_keys=True, default=str).encode())
        key = digest.hexdigest()[:24]
        base = make_description(
            reference.schema, {table: (None, rows) for table, rows in reference.rows.items()}, copy=False
        )
        if not reference.query:
            return _from_result(key, reference, base, engine)
        return _from_query(key, reference, base, engine, dialect, copies, caps)
    except (ValueError, VerifierError) as error:
        hint = f"a reference looks like {FORM}"
        if isinstance(error, ordering.UnclearOrderError):
            hint = 'set whether the order of rows counts: "ordered": true or false'
        raise DataError(f"prompt {prompt_id!r}: {error}", hint=hint) from error


def _from_result(key: str, reference: Reference, base: Description, engine: Engine) -> Task:
    engine.contents(key, [base])
    if not reference.result:
        raise ValueError("the result is empty: any query without rows would pass")
    rows = tuple(map(cells.encode, reference.result))
    ordered = tuple(Group((row,), 1) for row in rows) if reference.ordered else (Group(rows, len(rows)),)
    names = tuple(reference.names) or ("",) * len(reference.result[0])
    gold = Gold(names, cells.encode(reference.result), ordered, reference.by_name)
    return Task(key, (base,), (gold,), True, "", ())


def _from_query(
    key: str,
    reference: Reference,
    base: Description,
    engine: Engine,
    dialect: str,
    copies: int,
    caps: Caps,
) -> Task:
    contents = engine.contents(key, [base])[0]
    tables = read_tables(contents, constants.of_query(reference.query, dialect), dialect)
    trusted = Caps(*(SELECTION_FACTOR * cap for cap in (caps.steps, caps.rows, caps.bytes)))
    plan = make_plan(key, reference, base, engine, dialect, trusted)
    for factor in (1, _WEAK_FACTOR):
        made = _make_copies(key, tables, copies, factor, dialect)
        described = [make_description(reference.schema, copy, copy=True) for kind in made for copy in kind]
        trial = Trial(engine, f"{key}+{factor}", (base, *described), trusted)
        reads, mutants, candidates = _candidates(trial, plan, tables, made, dialect, caps)
        selected = [0, *select(candidates, copies, _MORE[dialect])]
        told_apart = set().union(*(candidates[index].kills for index in selected))
        if len(told_apart) >= _STRONG * len(mutants):
            break
    golds = tuple(gold for index in selected if (gold := candidates[index].gold))
    _check_strength(golds)
    killed = told_apart.union(*(each.kills for each in candidates))
    task = Task(
        f"{key}:{factor}:{'-'.join(map(str, selected))}",
        tuple(trial.databases[index] for index in selected),
        golds,
        reads,
        reference.query,
        tuple(mutants[index] for index in sorted(killed)),
        plan,
        constants.compared_literals(reference.query, dialect),
        _unread(tables, constants.of_query(reference.query, dialect)),
        (len(told_apart), len(mutants)),
    )
    _check_passes(task, engine, caps)
    return task


def _candidates(
    trial: Trial,
    plan: Plan,
    tables: Mapping[str, Table],
    made: tuple[list[Copy], list[Copy]],
    dialect: str,
    caps: Caps,
) -> tuple[bool, list[str], list[Candidate]]:
    """Return whether the reference reads a table, its mutants, and the candidates with those that show on each."""
    query, (similar, free) = plan.reference.query, made
    reads, measured = measure(trial, plan, ambiguity.variants(query, dialect), list(tables), caps)
    columns = {name: table.columns for name, table in tables.items()}
    fixed = _lookups(
        query, dialect, tables, replace(trial, databases=trial.databases[:1], key=f"{trial.key}=")
    )
    mutants, outcomes = trial.run_valid([*fixed, *mutate.mutants(query, dialect, columns)])
    rich = [0] * (1 + len(similar)) + [richness(tables, copy) for copy in free]
    candidates = [
        replace(
            each,
            is_free=index > len(similar),
            richness=rich[index],
            kills=find_kills(each.gold, [by_database[index] for by_database in outcomes]),
        )
        for index, each in enumerate(measured)
    ]
    return reads, mutants, candidates


def _make_copies(
    key: str, tables: Mapping[str, Table], copies: int, factor: int, dialect: str
) -> tuple[list[Copy], list[Copy]]:
    """Return candidates that resemble the given database, and candidates bound by the declared constraints alone.

    `factor` multiplies the number of those that are not of the usual kind.
    """
    cell_count = sum(len(table.columns) * len(table.rows) for table in tables.values())
    similar, free = (copies * factor for factor in _CANDIDATES[dialect])
    similar = max(copies, min(similar, _MAX_CELLS // max(cell_count, 1)))

    def make_rng(number: int) -> random.Random:
        return random.Random(derive_seed(0, "copy", key, number))

    assigned = assignments(tables, random.Random(derive_seed(0, "assign", key)), _DENSE[dialect] * factor)
    numbers: dict[Kind, int] = {"mixed": free, "few": _FEW[dialect] * factor}
    alike = [perturb(tables, make_rng(number)) for number in range(similar)]
    return alike, generate_all(tables, lambda number: make_rng(similar + number), numbers, assigned)


def _unread(tables: Mapping[str, Table], known: constants.Constants) -> frozenset[str]:
    """Return the words of the names of columns that the reference does not read."""
    names = {name.lower() for table in tables.values() for name in table.columns}
    return frozenset().union(*(constants.words(name) for name in names - known.columns))


def _lookups(query: str, dialect: str, tables: Mapping[str, Table], given: Trial) -> list[str]:
    """Return queries that look up the rows of the reference's result by values on the given database."""
    keys = {
        name.lower(): table.columns[table.unique[0][0]]
        for name, table in tables.items()
        if table.unique and len(table.unique[0]) == 1
    }
    columns = lookups.columns(query, dialect, keys)
    texts, outcomes = given.run_valid([lookups.reading(query, dialect, column) for column in columns])
    if len(texts) < len(columns):
        return []
    values = [[row[0] for row in cells.decode(text)] for ((_, _, text, _),) in outcomes]
    found = (lookups.looked_up(query, dialect, *each) for each in zip(columns, values, strict=True))
    return [text for text in found if text]


def _check_strength(golds: Sequence[Gold]) -> None:
    """Check that the reference's result depends on the database."""
    if all(gold.count == 0 for gold in golds):
        raise ValueError("the reference returns no rows on any database: any query without rows would pass")
    if not any(differ(golds[0], gold) for gold in golds[1:]):
        raise ValueError(
            "the reference returns the same on every copy of its database: a constant would pass"
        )


def _check_passes(task: Task, engine: Engine, caps: Caps) -> None:
    """Check that the reference passes as a completion: within the same limits and with the same result."""
    batch = engine.run(task.key, task.databases, [task.query], caps, loading=False)
    if not batch.outcomes:
        raise VerifierError(f"the reference exceeds a limit: {batch.limit or batch.died or 'wall'}")
    for gold, (kind, columns, text, _) in zip(task.golds, batch.outcomes[0], strict=True):
        if kind != "rows":
            raise VerifierError(f"the reference exceeds a limit: {text}")
        if problem := difference(gold, columns, text, EXACT):
            raise VerifierError(f"the reference returns a different result when run again: {problem}")
