"""Preparation of a prompt: from its reference to a `Task`, the databases and the expected result on each.

Of several perturbed candidates, those copies are selected on which the reference's results differ and which kill
the most mutants of the reference, so that a query that is correct by luck on one database fails on another.
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
from halo_verifier_sql import cells, mutate, ordering
from halo_verifier_sql.compare import Gold, Group, Tolerance, difference
from halo_verifier_sql.engines import Engine, make_description
from halo_verifier_sql.perturb import perturb
from halo_verifier_sql.reference import FORM, Reference, read
from halo_verifier_sql.worker import Caps, Description, Outcome, quote

_CANDIDATES = {"sqlite": 6, "duckdb": 3, "postgresql": 3}
"""Candidate copies per selected copy: fewer where building them is slow."""
_MAX_CELLS = 400_000
"""Maximum number of values in all candidate copies; at least as many copies are built as will be selected."""
_SELECTION_FACTOR = 20
"""Factor on a completion's limits for the queries that run while copies are selected."""
_EXACT = Tolerance()


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
    hints = mutate.constants(reference.query, dialect)
    cell_count = sum(len(columns) * len(rows) for columns, rows, _ in contents.values())
    count = max(copies, min(_CANDIDATES[dialect] * copies, _MAX_CELLS // max(cell_count, 1)))
    seeds = [derive_seed(0, "copy", key, number) for number in range(count)]
    candidates = [perturb(contents, random.Random(seed), hints) for seed in seeds]
    databases = [base, *(make_description(reference.schema, copy, copy=True) for copy in candidates)]
    factor = _SELECTION_FACTOR
    selection_caps = Caps(factor * caps.steps, factor * caps.rows, factor * caps.bytes)
    plan = _plan(key, reference, base, engine, dialect, selection_caps)
    queries = plan.queries()
    counts = [f"SELECT COUNT(*) FROM {quote(table)}" for table in contents]
    outcomes = _run(engine, f"{key}+", databases, [*queries, *counts], selection_caps)
    golds = [plan.gold(each, caps) for each in zip(*outcomes[: len(queries)], strict=True)]
    sizes = [sum(map(_number, each)) for each in zip(*outcomes[len(queries) :], strict=True)]
    if golds[0] is None:
        raise ValueError(_failure(outcomes, caps))
    _check_self(golds[0], reference)
    mutants = mutate.mutants(reference.query, dialect)
    kills = _kills(engine, f"{key}+", databases, mutants, golds, caps)
    selected = [0, *_select(golds, kills, sizes, copies)]
    if all(gold is None or gold.count == 0 for gold in (golds[index] for index in selected)):
        raise ValueError("the reference returns no rows on any database: any query without rows would pass")
    task = Task(
        f"{key}:{'-'.join(map(str, selected))}",
        tuple(databases[index] for index in selected),
        tuple(gold for index in selected if (gold := golds[index]) is not None),
        outcomes[0][0][3],
        reference.query,
        tuple(mutants[index] for index in sorted(set().union(*kills.values()))),
    )
    _check_passes(task, engine, caps)
    return task


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
    """Return why there is no result on the given database."""
    for kind, _, reason, _ in (by_database[0] for by_database in outcomes):
        if kind != "rows":
            return f"the reference does not run: {kind}: {reason}"
    return f"the reference returns more than {caps.rows} rows or {caps.bytes} bytes"


def _number(outcome: Outcome) -> int:
    kind, _, text, _ = outcome
    return int(cells.decode(text)[0][0]) if kind == "rows" else 0


def _check_self(gold: Gold, reference: Reference) -> None:
    """Check that the rewritten query agrees with the original and that column names are usable."""
    if difference(gold, gold.columns, gold.text, _EXACT) or difference(
        replace(gold, text=""), gold.columns, gold.text, _EXACT
    ):
        raise ordering.UnclearOrderError("the order of the reference's rows could not be determined")
    if reference.by_name and len({name.lower() for name in gold.columns}) < len(gold.columns):
        raise ValueError("columns are matched by name, but two have the same name")


def _kills(
    engine: Engine,
    key: str,
    databases: Sequence[Description],
    mutants: Sequence[str],
    golds: Sequence[Gold | None],
    caps: Caps,
) -> dict[int, set[int]]:
    """Return the mutants that each database distinguishes from the reference, by index."""
    batch = engine.run(key, databases, mutants, caps, loading=True) if mutants else None
    kills: dict[int, set[int]] = {index: set() for index in range(len(databases))}
    for mutant, outcomes in enumerate(batch.outcomes if batch else ()):
        for index, (gold, (kind, columns, text, _)) in enumerate(zip(golds, outcomes, strict=True)):
            if gold and (kind != "rows" or difference(gold, columns, text, _EXACT)):
                kills[index].add(mutant)
    return kills


def _select(
    golds: Sequence[Gold | None], kills: Mapping[int, set[int]], sizes: Sequence[int], copies: int
) -> list[int]:
    """Select copies one by one among those on which the reference runs.

    Prefer copies on which it returns rows, no LIMIT cuts through ties, and constraints left more than half of the
    database. Among these, select first one whose rows differ from the given database's, so that constants fail;
    then those that kill the most mutants not killed before; then those with yet another result.
    """
    selected = [0]
    killed = set(kills[0])
    for number in range(copies):
        merits = {
            index: (
                _soundness(gold, golds[0], 2 * sizes[index] > sizes[0]),
                number == 0 and _differ(golds, index, 0),
                len(kills[index] - killed),
                all(_differ(golds, index, other) for other in selected),
                -index,
            )
            for index, gold in enumerate(golds)
            if gold and index not in selected
        }
        if not merits:
            raise VerifierError("the reference does not run on enough perturbed copies of its database")
        best = max(merits, key=merits.__getitem__)
        selected.append(best)
        killed |= kills[best]
    return selected[1:]


def _soundness(gold: Gold, given: Gold | None, mostly_complete: bool) -> tuple[bool, bool, bool]:
    ties_ok = given is not None and (given.has_cut_ties or not gold.has_cut_ties)
    return gold.count > 0, ties_ok, mostly_complete


def _differ(golds: Sequence[Gold | None], index: int, other: int) -> bool:
    """Return True unless the reference returns the same result on two databases."""
    gold, expected = golds[index], golds[other]
    return not (gold and expected) or bool(difference(expected, gold.columns, gold.text, _EXACT))


def _check_passes(task: Task, engine: Engine, caps: Caps) -> None:
    """Check that the reference passes as a completion: within the same limits and with the same result."""
    batch = engine.run(task.key, task.databases, [task.query], caps, loading=False)
    if not batch.outcomes:
        raise VerifierError(f"the reference exceeds a limit: {batch.limit or batch.died or 'wall'}")
    for gold, (kind, columns, text, _) in zip(task.golds, batch.outcomes[0], strict=True):
        if kind != "rows":
            raise VerifierError(f"the reference exceeds a limit: {text}")
        if problem := difference(gold, columns, text, _EXACT):
            raise VerifierError(f"the reference returns a different result when run again: {problem}")
