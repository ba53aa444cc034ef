"""From a prompt's reference to what its completions are held against: databases, and a result for each.

Of a dozen perturbed copies those are taken on which the reference's result differs from the others and which
tell most mutants of the reference from it: a query that is right by luck on one database is found out on the next.
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
from halo_verifier_sql.engines import Engine, description
from halo_verifier_sql.perturb import perturb
from halo_verifier_sql.reference import FORM, Reference, read
from halo_verifier_sql.worker import Caps, Description, Found

_CANDIDATES = {"sqlite": 6, "duckdb": 3, "postgresql": 3}
"""Copies that are made for each that is taken: fewer where it takes long."""
_MOST_CELLS = 400_000
"""Values in all copies that are made, beyond what has to be."""
_ROOM = 20
"""How many times what a completion may use the reference may, while copies are chosen."""
_EXACT = Tolerance()


@dataclass(frozen=True, slots=True)
class Task:
    """What completions of one prompt are held against."""

    key: str
    databases: tuple[Description, ...]
    """The given one, then its copies."""
    golds: tuple[Gold, ...]
    reads: bool
    """Whether the reference reads a table, so that an answer has to."""
    query: str
    mutants: tuple[str, ...]
    """Queries near the reference that are known to be wrong, on one of the databases or on another copy."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """How the reference's result on a database is to be found."""

    reference: Reference
    ranked: ordering.Ranked | None

    def queries(self) -> list[str]:
        return [self.reference.query, *([self.ranked.sql] if self.ranked else [])]

    def gold(self, found: Sequence[Found], caps: Caps) -> Gold | None:
        """Return what the queries found on one database as a result; None unless all went well, within `caps`."""
        if any(each[0] != "rows" for each in found):
            return None
        _, columns, text, _ = found[0]
        rows = tuple(map(cells.encode, cells.decode(text)))
        if len(rows) > caps.rows or len(text) > caps.bytes:
            return None
        if self.reference.ordered:
            groups = tuple(Group((row,), 1) for row in rows)
        elif self.ranked:
            groups = ordering.groups(found[1][2], self.ranked)
        else:
            groups = (Group(rows, len(rows)),)
        return Gold(tuple(columns), text, groups, self.reference.by_name)


def prepare(
    prompt_id: str, data: Mapping[str, Any], engine: Engine, dialect: str, copies: int, caps: Caps
) -> Task:
    """Return the task. Raises `DataError` for a reference that nothing, or anything, could be held against."""
    try:
        reference = read(data)
        digest = hashlib.sha256(json.dumps([dialect, copies, data], sort_keys=True, default=str).encode())
        key = digest.hexdigest()[:24]
        base = description(
            reference.schema, {table: (None, rows) for table, rows in reference.rows.items()}, copy=False
        )
        if not reference.query:
            return _from_result(key, reference, base, engine)
        return _from_query(key, reference, base, engine, dialect, copies, caps)
    except (ValueError, VerifierError) as error:
        hint = f"its reference looks like {FORM}"
        if isinstance(error, ordering.UnclearOrderError):
            hint = 'say whether the order of rows counts: "ordered": true or false'
        raise DataError(f"prompt {prompt_id!r}: {error}", hint=hint) from error


def _from_result(key: str, reference: Reference, base: Description, engine: Engine) -> Task:
    engine.contents(key, [base])
    if not reference.result:
        raise ValueError("its result is empty, which any query without rows would meet")
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
    cells_held = sum(len(columns) * len(rows) for columns, rows, _ in contents.values())
    count = max(copies, min(_CANDIDATES[dialect] * copies, _MOST_CELLS // max(cells_held, 1)))
    seeds = [derive_seed(0, "copy", key, number) for number in range(count)]
    made = [perturb(contents, random.Random(seed), hints) for seed in seeds]
    databases = [base, *(description(reference.schema, copy, copy=True) for copy in made)]
    roomy = Caps(_ROOM * caps.steps, _ROOM * caps.rows, _ROOM * caps.bytes)
    plan = _plan(key, reference, base, engine, dialect, roomy)
    queries = plan.queries()
    sizes = ["SELECT COUNT(*) FROM " + '"{}"'.format(table.replace('"', '""')) for table in contents]
    found = _run(engine, f"{key}+", databases, [*queries, *sizes], roomy)
    golds = [plan.gold(results, caps) for results in zip(*found[: len(queries)], strict=True)]
    whole = [sum(_number(each) for each in results) for results in zip(*found[len(queries) :], strict=True)]
    if golds[0] is None:
        raise ValueError(_reason(found, caps))
    _check_self(golds[0], reference)
    mutants = mutate.mutants(reference.query, dialect)
    kills = _kills(engine, f"{key}+", databases, mutants, golds, caps)
    chosen = [0, *_choose(golds, kills, whole, copies)]
    if all(gold is None or gold.count == 0 for gold in (golds[at] for at in chosen)):
        raise ValueError(
            "the reference returns no rows, on no copy either: any query without rows would pass"
        )
    task = Task(
        f"{key}:{'-'.join(map(str, chosen))}",
        tuple(databases[at] for at in chosen),
        tuple(gold for at in chosen if (gold := golds[at]) is not None),
        found[0][0][3],
        reference.query,
        tuple(mutants[at] for at in sorted(set().union(*kills.values()))),
    )
    _check_passes(task, engine, caps)
    return task


def _plan(
    key: str, reference: Reference, base: Description, engine: Engine, dialect: str, caps: Caps
) -> _Plan:
    if reference.ordered is not None:
        return _Plan(reference, None)
    found = _run(engine, key, [base], [reference.query], caps)
    if found[0][0][0] != "rows":
        raise ValueError(_reason(found, caps))
    return _Plan(reference, ordering.rank(reference.query, dialect, len(found[0][0][1])))


def _run(
    engine: Engine, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps
) -> Sequence[Sequence[Found]]:
    batch = engine.run(key, databases, queries, caps, loading=True)
    if not batch.found:
        ending = (
            f"runs into the {batch.limit} limit" if batch.limit else batch.died or "did not come to an end"
        )
        raise VerifierError(f"the reference {ending}")
    return batch.found


def _reason(found: Sequence[Sequence[Found]], caps: Caps) -> str:
    """Say why there is no result on the given database."""
    for what, _, why, _ in (each[0] for each in found):
        if what != "rows":
            return f"the reference does not run: {what}: {why}"
    return f"the reference returns more than {caps.rows} rows or {caps.bytes} bytes"


def _number(found: Found) -> int:
    return int(cells.decode(found[2])[0][0]) if found[0] == "rows" else 0


def _check_self(gold: Gold, reference: Reference) -> None:
    """The rewritten query must agree with the one that it was made from."""
    if difference(gold, gold.columns, gold.text, _EXACT) or difference(
        replace(gold, text=""), gold.columns, gold.text, _EXACT
    ):
        raise ordering.UnclearOrderError("the order of its rows could not be made out")
    if reference.by_name and len({name.lower() for name in gold.columns}) < len(gold.columns):
        raise ValueError("columns are to be found by name, but two have the same")


def _kills(
    engine: Engine,
    key: str,
    databases: Sequence[Description],
    mutants: Sequence[str],
    golds: Sequence[Gold | None],
    caps: Caps,
) -> dict[int, set[int]]:
    """Return which mutants each database tells from the reference."""
    batch = engine.run(key, databases, mutants, caps, loading=True) if mutants else None
    kills: dict[int, set[int]] = {at: set() for at in range(len(databases))}
    for number, results in enumerate(batch.found if batch else ()):
        for at, (gold, (what, columns, text, _)) in enumerate(zip(golds, results, strict=True)):
            if gold and (what != "rows" or difference(gold, columns, text, _EXACT)):
                kills[at].add(number)
    return kills


def _choose(
    golds: Sequence[Gold | None], kills: Mapping[int, set[int]], sizes: Sequence[int], copies: int
) -> list[int]:
    """Choose copies one by one, where the reference runs.

    Best is where it returns rows, none of them arbitrary, and constraints left most of the database. Of these the
    first is one on which the rows are not those of the given database, so that constants fail; the others are
    those that tell most mutants from the reference that were not told yet, or else return other rows again.
    """
    taken = [0]
    killed = set(kills[0])
    for number in range(copies):
        merits = {
            at: (
                _sound(gold, golds[0], 2 * sizes[at] > sizes[0]),
                number == 0 and _differ(golds, at, 0),
                len(kills[at] - killed),
                all(_differ(golds, at, other) for other in taken),
                -at,
            )
            for at, gold in enumerate(golds)
            if gold and at not in taken
        }
        if not merits:
            raise VerifierError("the reference does not run on enough perturbed copies of its database")
        best = max(merits, key=merits.__getitem__)
        taken.append(best)
        killed |= kills[best]
    return taken[1:]


def _sound(gold: Gold, given: Gold | None, whole: bool) -> tuple[bool, bool, bool]:
    return gold.count > 0, given is not None and (given.cut or not gold.cut), whole


def _differ(golds: Sequence[Gold | None], at: int, other: int) -> bool:
    """Whether a result is not the one that the reference returns on another database."""
    gold, against = golds[at], golds[other]
    return not (gold and against) or bool(difference(against, gold.columns, gold.text, _EXACT))


def _check_passes(task: Task, engine: Engine, caps: Caps) -> None:
    """The reference must pass as a completion has to: within the same limits, with the same result again."""
    batch = engine.run(task.key, task.databases, [task.query], caps, loading=False)
    if not batch.found:
        raise VerifierError(
            f"the reference does not keep within the limits: {batch.limit or batch.died or 'wall'}"
        )
    for gold, (what, columns, text, _) in zip(task.golds, batch.found[0], strict=True):
        if what != "rows":
            raise VerifierError(f"the reference does not keep within the limits: {text}")
        if problem := difference(gold, columns, text, _EXACT):
            raise VerifierError(f"the reference does not return the same again: {problem}")
