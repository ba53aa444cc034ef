"""Trial runs of a reference on the given database and on candidate copies, and the results expected on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from halo_core.errors import VerifierError
from halo_verifier_sql import cells, gathered, ordering
from halo_verifier_sql.compare import Gold, Group, difference
from halo_verifier_sql.engines import Engine
from halo_verifier_sql.gathered import Gathered, sort_cells
from halo_verifier_sql.reference import Reference
from halo_verifier_sql.selection import EXACT, Candidate
from halo_verifier_sql.worker import Caps, Description, Outcome, quote


@dataclass(frozen=True, slots=True)
class Plan:
    """The queries that determine the reference's result on a database."""

    reference: Reference
    ranked: ordering.Ranked | None
    """The reference with the ranks of its rows; None if it leaves their order open, or if the ranks are unknown."""
    gathered: Mapping[int, Gathered] = field(default_factory=dict)
    """Columns of the result whose cells hold values in an open order."""

    def queries(self) -> list[str]:
        """Return the reference, then its ranked form if there is one."""
        return [self.reference.query, *([self.ranked.sql] if self.ranked else [])]

    def gold(self, outcomes: Sequence[Outcome], caps: Caps) -> Gold | None:
        """Return the result on one database; None if a query failed or the result exceeds `caps`."""
        needed = outcomes if self.reference.ordered is None else outcomes[:1]
        if any(kind != "rows" for kind, *_ in needed):
            return None
        columns, text = outcomes[0][1], self._sorted(outcomes[0][2])
        rows = tuple(map(cells.encode, cells.decode(text)))
        if len(rows) > caps.rows or len(text) > caps.bytes:
            return None
        if self.reference.ordered:
            groups = tuple(Group((row,), 1) for row in rows)
        elif self.ranked and self.reference.ordered is None:
            groups = ordering.groups(self._sorted(outcomes[1][2]), self.ranked)
        else:
            groups = (Group(rows, len(rows)),)
        return Gold(tuple(columns), text, groups, self.reference.by_name, self.gathered)

    def _sorted(self, text: str) -> str:
        return cells.encode(sort_cells(cells.decode(text), self.gathered)) if self.gathered else text

    def is_open(self, outcomes: Sequence[Outcome]) -> bool:
        """Return True if ties make several results right although the prompt fixes how rows are compared."""
        if self.ranked is None or self.reference.ordered is None or outcomes[1][0] != "rows":
            return False
        tied = [group for group in ordering.groups(outcomes[1][2], self.ranked) if len(set(group.rows)) > 1]
        return bool(tied) if self.reference.ordered else any(group.count < len(group.rows) for group in tied)


@dataclass(frozen=True, slots=True)
class Trial:
    """Runs queries on the given database and on the candidates."""

    engine: Engine
    key: str
    databases: tuple[Description, ...]
    caps: Caps

    def run(self, queries: Sequence[str]) -> Sequence[Sequence[Outcome]]:
        """Return the outcomes by query, then by database."""
        return run(self.engine, self.key, self.databases, queries, self.caps)

    def run_valid(self, queries: Sequence[str]) -> tuple[list[str], list[Sequence[Outcome]]]:
        """Return those queries that run on the given database, with their outcomes; none if the process ends."""
        batch = (
            self.engine.run(self.key, self.databases, queries, self.caps, loading=True) if queries else None
        )
        pairs = zip(queries, batch.outcomes, strict=True) if batch and batch.outcomes else ()
        valid = [(query, outcomes) for query, outcomes in pairs if outcomes[0][0] == "rows"]
        return [query for query, _ in valid], [outcomes for _, outcomes in valid]


def measure(
    trial: Trial, plan: Plan, variants: Sequence[str], tables: Sequence[str], caps: Caps
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
            is_determined=_is_determined(gold, each[end:]) and not plan.is_open(each),
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


def make_plan(
    key: str, reference: Reference, base: Description, engine: Engine, dialect: str, caps: Caps
) -> Plan:
    """Return the plan. Raises `ValueError` if the reference does not run, or if its order is needed but unclear."""
    outcomes = run(engine, key, [base], [reference.query], caps)
    kind, columns, *_ = outcomes[0][0]
    if kind != "rows":
        raise ValueError(_failure(outcomes, caps))
    try:
        ranked = ordering.rank(reference.query, dialect, len(columns))
    except ordering.UnclearOrderError:
        if reference.ordered is None:
            raise
        ranked = None
    return Plan(reference, ranked, gathered.columns(reference.query, dialect))


def run(
    engine: Engine, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps
) -> Sequence[Sequence[Outcome]]:
    """Return outcomes by query, then by database. Raises `VerifierError` if a limit of the process ends them."""
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
