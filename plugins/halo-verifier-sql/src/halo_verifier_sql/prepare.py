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
from halo_verifier_sql.compare import Gold, Group, difference
from halo_verifier_sql.engines import Engine, make_description
from halo_verifier_sql.generate import generate, richness
from halo_verifier_sql.perturb import perturb
from halo_verifier_sql.reference import FORM, Reference, read
from halo_verifier_sql.selection import EXACT, Candidate, differ, find_kills, select
from halo_verifier_sql.tables import Table, read_tables
from halo_verifier_sql.worker import Caps, Description, Outcome, quote

_CANDIDATES = {"sqlite": (3, 4), "duckdb": (1, 3), "postgresql": (1, 3)}
"""Candidates per selected copy that resemble the given database, and that are bound by the declared constraints
alone: fewer where building them is slow."""
_MAX_CELLS = 400_000
"""Maximum number of values in all candidates that resemble the given database; at least as many of them are built
as copies are selected."""
_SELECTION_FACTOR = 20
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
    told_apart: tuple[int, int] = (0, 0)
    """Number of changed reference queries that are wrong on at least one of `databases`, and of all that run."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """The queries that determine the reference's result on a database."""

    reference: Reference
    ranked: ordering.Ranked | None

    def queries(self) -> list[str]:
        return [self.reference.query, *([self.ranked.sql] if self.ranked else [])]

    def gold(self, outcomes: Sequence[Outcome], caps: Caps) -> Gold | None:
        """Return the result on one database; None if a query failed or the result exceeds `caps`."""
        if any(kind != "rows" for kind, *_ in outcomes):
            return None
        _, columns, text, _ = outcomes[0]
        rows = tuple(map(cells.encode, cells.decode(text)))
        if len(rows) > caps.rows or len(text) > caps.bytes:
            return None
        if self.reference.ordered:
            groups = tuple(Group((row,), 1) for row in rows)
        elif self.ranked:
            groups = ordering.groups(outcomes[1][2], self.ranked)
        else:
            groups = (Group(rows, len(rows)),)
        return Gold(tuple(columns), text, groups, self.reference.by_name)


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
    similar, free = _make_copies(key, tables, copies, _CANDIDATES[dialect])
    rich = [0] * (1 + len(similar)) + [richness(tables, copy) for copy in free]
    described = [make_description(reference.schema, copy, copy=True) for copy in (*similar, *free)]
    trusted = Caps(*(_SELECTION_FACTOR * cap for cap in (caps.steps, caps.rows, caps.bytes)))
    trial = _Trial(engine, f"{key}+", (base, *described), trusted)
    plan = _plan(key, reference, base, engine, dialect, trusted)
    reads, measured = _measure(trial, plan, ambiguity.variants(reference.query, dialect), list(tables), caps)
    columns = {name: table.columns for name, table in tables.items()}
    fixed = _lookups(reference.query, dialect, tables, replace(trial, key=key, databases=(base,)))
    mutants, outcomes = trial.run_valid([*fixed, *mutate.mutants(reference.query, dialect, columns)])
    candidates = [
        replace(
            each,
            is_free=index > len(similar),
            richness=rich[index],
            kills=find_kills(each.gold, [by_database[index] for by_database in outcomes]),
        )
        for index, each in enumerate(measured)
    ]
    selected = [0, *select(candidates, copies)]
    golds = tuple(gold for index in selected if (gold := candidates[index].gold))
    _check_strength(golds)
    told_apart = set().union(*(candidates[index].kills for index in selected))
    killed = told_apart.union(*(each.kills for each in candidates))
    task = Task(
        f"{key}:{'-'.join(map(str, selected))}",
        tuple(trial.databases[index] for index in selected),
        golds,
        reads,
        reference.query,
        tuple(mutants[index] for index in sorted(killed)),
        (len(told_apart), len(mutants)),
    )
    _check_passes(task, engine, caps)
    return task


_Copies = list[dict[str, tuple[list[str], list[list[Any]]]]]


def _make_copies(
    key: str, tables: Mapping[str, Table], copies: int, factors: tuple[int, int]
) -> tuple[_Copies, _Copies]:
    """Return candidates that resemble the given database, and candidates bound by the declared constraints alone."""
    cell_count = sum(len(table.columns) * len(table.rows) for table in tables.values())
    similar, free = (copies * factor for factor in factors)
    similar = max(copies, min(similar, _MAX_CELLS // max(cell_count, 1)))
    rngs = [random.Random(derive_seed(0, "copy", key, number)) for number in range(similar + free)]
    return [perturb(tables, rng) for rng in rngs[:similar]], [generate(tables, rng) for rng in rngs[similar:]]


@dataclass(frozen=True, slots=True)
class _Trial:
    """Runs queries on the given database and on the candidates."""

    engine: Engine
    key: str
    databases: tuple[Description, ...]
    caps: Caps

    def run(self, queries: Sequence[str]) -> Sequence[Sequence[Outcome]]:
        """Return the outcomes by query, then by database."""
        return _run(self.engine, self.key, self.databases, queries, self.caps)

    def run_valid(self, queries: Sequence[str]) -> tuple[list[str], list[Sequence[Outcome]]]:
        """Return those queries that run on the given database, with their outcomes; none if the process ends."""
        batch = (
            self.engine.run(self.key, self.databases, queries, self.caps, loading=True) if queries else None
        )
        pairs = zip(queries, batch.outcomes, strict=True) if batch and batch.outcomes else ()
        valid = [(query, outcomes) for query, outcomes in pairs if outcomes[0][0] == "rows"]
        return [query for query, _ in valid], [outcomes for _, outcomes in valid]


def _lookups(query: str, dialect: str, tables: Mapping[str, Table], given: _Trial) -> list[str]:
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


def _measure(
    trial: _Trial, plan: _Plan, variants: Sequence[str], tables: Sequence[str], caps: Caps
) -> tuple[bool, list[Candidate]]:
    """Run the reference on all databases; return whether it reads a table, and the candidates."""
    queries = plan.queries()
    sizes = [f"SELECT COUNT(*) FROM {quote(table)}" for table in tables]
    outcomes = trial.run([*queries, *sizes, *variants])
    by_database = list(zip(*outcomes, strict=True))
    golds = [plan.gold(each[: len(queries)], caps) for each in by_database]
    if golds[0] is None:
        raise ValueError(_failure(outcomes, caps))
    _check_self(golds[0], plan.reference)
    end = len(queries) + len(sizes)
    candidates = [
        Candidate(
            gold,
            is_determined=_is_determined(gold, each[end:]),
            completeness=_completeness(database, each[len(queries) : end]),
        )
        for gold, each, database in zip(golds, by_database, trial.databases, strict=True)
    ]
    return outcomes[0][0][3], candidates


def _is_determined(gold: Gold | None, variants: Sequence[Outcome]) -> bool:
    """Return True if all variants of the reference that run return its result."""
    results = [(columns, text) for kind, columns, text, _ in variants if kind == "rows"]
    return gold is not None and not any(difference(gold, columns, text, EXACT) for columns, text in results)


def _completeness(database: Description, sizes: Sequence[Outcome]) -> float:
    """Return the share of a copy's rows that the constraints allowed."""
    wanted = sum(len(rows) for _, rows in database["rows"].values())
    found = sum(int(cells.decode(text)[0][0]) for kind, _, text, _ in sizes if kind == "rows")
    return found / wanted if wanted else 1.0


def _check_strength(golds: Sequence[Gold]) -> None:
    """Check that the reference's result depends on the database."""
    if all(gold.count == 0 for gold in golds):
        raise ValueError("the reference returns no rows on any database: any query without rows would pass")
    if not any(differ(golds[0], gold) for gold in golds[1:]):
        raise ValueError(
            "the reference returns the same on every copy of its database: a constant would pass"
        )


def _plan(
    key: str, reference: Reference, base: Description, engine: Engine, dialect: str, caps: Caps
) -> _Plan:
    if reference.ordered is not None:
        return _Plan(reference, None)
    outcomes = _run(engine, key, [base], [reference.query], caps)
    kind, columns, *_ = outcomes[0][0]
    if kind != "rows":
        raise ValueError(_failure(outcomes, caps))
    return _Plan(reference, ordering.rank(reference.query, dialect, len(columns)))


def _run(
    engine: Engine, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps
) -> Sequence[Sequence[Outcome]]:
    batch = engine.run(key, databases, queries, caps, loading=True)
    if not batch.outcomes:
        ending = f"exceeds the {batch.limit} limit" if batch.limit else batch.died or "did not finish"
        raise VerifierError(f"the reference {ending}")
    return batch.outcomes


def _failure(outcomes: Sequence[Sequence[Outcome]], caps: Caps) -> str:
    """Return why the reference has no result on the given database."""
    for kind, _, reason, _ in (by_database[0] for by_database in outcomes):
        if kind != "rows":
            return f"the reference does not run: {kind}: {reason}"
    return f"the reference returns more than {caps.rows} rows or {caps.bytes} bytes"


def _check_self(gold: Gold, reference: Reference) -> None:
    """Check that the rewritten query agrees with the original and that column names are usable."""
    if difference(gold, gold.columns, gold.text, EXACT) or difference(
        replace(gold, text=""), gold.columns, gold.text, EXACT
    ):
        raise ordering.UnclearOrderError("the order of the reference's rows could not be determined")
    if reference.by_name and len({name.lower() for name in gold.columns}) < len(gold.columns):
        raise ValueError("columns are matched by name, but two have the same name")


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
