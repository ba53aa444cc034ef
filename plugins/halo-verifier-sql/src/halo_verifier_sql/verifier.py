"""The `sql` verifier: runs a query on the given database and on copies, and compares its results."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from cachetools import LRUCache, cached
from pydantic import Field

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, HaloError, PluginError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_core.verification.thoughts import TAGS, read_answer
from halo_verifier_sql.compare import Tolerance, difference
from halo_verifier_sql.engines import Batch, Engine
from halo_verifier_sql.extract import extract, is_query
from halo_verifier_sql.factory import get_engine
from halo_verifier_sql.prepare import Task, prepare
from halo_verifier_sql.second import Additions, additions, more_databases
from halo_verifier_sql.worker import Caps

_MIB = 1 << 20
_MAX_QUERY = 20_000
"""Maximum characters of a query; hand-written queries are shorter."""
_STAGES = {
    "invalid": Stage.INVALID,
    "forbidden": Stage.FLAWED,
    "failed": Stage.CRASHED,
    "limit": Stage.CRASHED,
    "rows": Stage.WRONG,
}
_MAX_TASKS = 4096


@driver
class SQL(Verifier):
    r"""Verifies SQL queries by their results on a small database and on perturbed copies of it.

    A prompt's reference is `{"schema": "CREATE TABLE t (a)", "rows": {"t": [[1], [2]]}, "query": "SELECT ..."}`.
    A query passes if it returns the reference query's rows on the given database and on `copies` copies with
    different contents. Rows are compared as a multiset, by value and type; if the reference query orders them,
    their order counts except among ties. With `"result": [[...], ...]` instead of a query there are no copies,
    so hard-coded constants can pass. `"ordered"` and `"columns": "name"` set how order and columns are compared.

    Only a single SELECT (or WITH, VALUES) is run, without functions that read the clock or return random values.
    The score is the share of databases with a correct result.
    """

    dialect: Literal["sqlite", "duckdb", "postgresql"] = "sqlite"
    """SQL dialect, and the engine that runs the queries."""
    url: str = ""
    """PostgreSQL server: postgresql://user@host/database. Give the password by PGPASSWORD or ~/.pgpass."""
    copies: int = Field(default=3, ge=2, le=8)
    """Number of perturbed copies that a query runs on besides the given database; more are added if they help."""
    rtol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Relative tolerance for floats. If `rtol` and `atol` are 0, floats must be identical."""
    atol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Absolute tolerance for floats."""
    cpu_seconds: float = Field(default=2.0, gt=0.0)
    """CPU seconds of a query on all databases together; on PostgreSQL, wall seconds on each database."""
    memory_mib: int = Field(default=1024, ge=256)
    """Maximum memory of the process that runs the queries, in MiB."""
    steps: int = Field(default=50_000_000, gt=0)
    """Maximum instructions of SQLite's virtual machine for a query on one database."""
    max_rows: int = Field(default=10_000, gt=0)
    """Maximum number of rows that a query returns."""
    output_kib: int = Field(default=256, gt=0)
    """Maximum size of a query's result, in KiB."""
    thought_tags: tuple[str, ...] = TAGS
    """Tags whose content is reasoning and not part of the answer."""

    valid_label: ClassVar[str] = "parses"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Return the verdict on `completion`; see `Verifier.check`."""
        answer = read_answer(completion.text, self.thought_tags)
        sql = extract(answer.text)
        if not sql:
            return Verdict(Status.FAIL, Stage.INVALID, detail=answer.problem or "contains no query")
        if not is_query(sql):
            return Verdict(Status.FAIL, Stage.INVALID, detail="not a query")
        if len(sql) > _MAX_QUERY:
            return Verdict(
                Status.FAIL, Stage.INVALID, detail=f"the query is longer than {_MAX_QUERY} characters"
            )
        try:
            task = self._task(prompt)
            batch = self._run(task, sql)
            status, stage, score, detail = _judge(task, batch, Tolerance(self.rtol, self.atol))
            if status is Status.PASS and (more := self._more(task, sql)):
                task, batch = _joined(task, batch, more, self._run(more, sql))
                status, stage, score, detail = _judge(task, batch, Tolerance(self.rtol, self.atol))
        except HaloError as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))
        return Verdict(
            status,
            stage,
            score=score,
            detail=detail,
            cpu_seconds=batch.cpu_seconds,
            wall_seconds=batch.wall_seconds,
            sandbox=batch.tier,
        )

    def extracted(self, prompt: Prompt, completion: Completion) -> str | None:
        """Return the query in `completion`; see `Verifier.extracted`."""
        return extract(read_answer(completion.text, self.thought_tags).text)

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise `DataError` unless the reference is usable and passes as a completion."""
        self._task(prompt)

    def preflight(self) -> None:
        """Raise `PluginError` unless the engine runs a query."""
        try:
            prepare("preflight", _PREFLIGHT, self._engine(), self.dialect, self.copies, self._caps())
        except DataError as error:
            raise PluginError(f"{self.dialect} does not work here: {error}", hint=error.hint) from error

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the reference query, plain and in the form of a chat model's answer."""
        query = self._task(prompt).query.strip()
        if not query:
            return ()
        return (
            query,
            f"Here is the query:\n\n```sql\n{query.rstrip(';')};\n```\n\nIt reads the tables once.",
        )

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return queries that differ from the reference by one change and return a wrong result somewhere."""
        return self._task(prompt).mutants

    def told_apart(self, prompt: Prompt) -> tuple[int, int] | None:
        """Return how many mutants of the reference query differ from it on the prompt's databases, and of how many."""
        task = self._task(prompt)
        return task.told_apart if task.query else None

    def attacks(self) -> Sequence[Attack]:
        """Return the attacks of module `attacks` on this dialect."""
        from halo_verifier_sql.attacks import attacks

        return attacks(self.dialect)

    def fingerprint(self) -> str:
        """Return the options, this package's version and the engine's version."""
        return f"{self!r} {version('halo-verifier-sql')} {self._engine().version()}"

    def demo(self) -> Demo | None:
        """Return questions about small databases and a tiny model that answers some of them; SQLite only."""
        from halo_verifier_sql import demo

        return demo.load() if self.dialect == "sqlite" else None

    def _more(self, task: Task, sql: str) -> Task | None:
        """Return more databases for an answer that reads more than the reference; see `second`."""
        added = additions(task, sql, self.dialect)
        return _more_databases(self, task, added) if added else None

    def _run(self, task: Task, sql: str) -> Batch:
        return self._engine().run(task.key, task.databases, [sql], self._caps(), loading=False)

    def _caps(self) -> Caps:
        return Caps(self.steps, self.max_rows, self.output_kib * 1024)

    def _engine(self) -> Engine:
        return get_engine(self.dialect, self.url, self.cpu_seconds, self.memory_mib * _MIB)

    def _task(self, prompt: Prompt) -> Task:
        """Return the task of `prompt`, prepared once for each reference."""
        return _prepare(self, prompt)[1]


@cached(
    LRUCache(_MAX_TASKS),
    key=lambda verifier, prompt: (verifier, id(prompt.reference)),
    lock=threading.Lock(),
)
def _prepare(verifier: SQL, prompt: Prompt) -> tuple[Mapping[str, Any], Task]:
    """Return the prompt's reference and task.

    The cache finds a reference by its identity; as part of the cached value it stays alive, so that no other
    reference gets the same identity.
    """
    task = prepare(
        prompt.id,
        prompt.reference,
        verifier._engine(),
        verifier.dialect,
        verifier.copies,
        verifier._caps(),
    )
    return prompt.reference, task


@cached(
    LRUCache(_MAX_TASKS),
    key=lambda verifier, task, added: (verifier, task.key, repr(added)),
    lock=threading.Lock(),
)
def _more_databases(verifier: SQL, task: Task, added: Additions) -> Task | None:
    """Return more databases, made once for all answers that add the same; see `second.more_databases`."""
    return more_databases(task, added, verifier._engine(), verifier.dialect, verifier._caps())


def _joined(task: Task, batch: Batch, more: Task, found: Batch) -> tuple[Task, Batch]:
    """Return the databases of two tasks, and what an answer returned on all of them."""
    cpu, wall = (getattr(batch, name) + getattr(found, name) for name in ("cpu_seconds", "wall_seconds"))
    outcomes = [[*batch.outcomes[0], *found.outcomes[0]]] if found.outcomes else ()
    golds, databases = (*task.golds, *more.golds), (*task.databases, *more.databases)
    joined = replace(task, golds=golds, databases=databases)
    return joined, replace(found, outcomes=outcomes, cpu_seconds=cpu, wall_seconds=wall)


_PREFLIGHT = {"schema": "CREATE TABLE t (a INTEGER)", "rows": {"t": [[1], [2]]}, "query": "SELECT a FROM t"}


def _judge(task: Task, batch: Batch, tolerance: Tolerance) -> tuple[Status, Stage, float, str]:
    """Return status, stage, score and detail of a verdict."""
    if batch.inconclusive:
        return Status.INCONCLUSIVE, Stage.CRASHED, 0.0, "ran out of wall time"
    if not batch.outcomes:
        return Status.FAIL, Stage.CRASHED, 0.0, batch.died or f"exceeded the {batch.limit} limit"
    outcomes = batch.outcomes[0]
    for kind, _, reason, _ in outcomes:
        if kind != "rows":
            lowest = min((_STAGES[each[0]] for each in outcomes), key=lambda stage: stage.rank)
            return Status.FAIL, lowest, 0.0, reason
    if task.reads and not any(reads for *_, reads in outcomes):
        return Status.FAIL, Stage.FLAWED, 0.0, "reads no table"
    problems = [
        difference(gold, columns, text, tolerance)
        for gold, (_, columns, text, _) in zip(task.golds, outcomes, strict=True)
    ]
    correct = problems.count("")
    lines = [f"correct on {correct} of {len(problems)} databases"]
    if len(problems) == 1:
        lines.append("there is no reference query, so no copies of the database were tried")
    lines += [
        f"{f'copy {number}' if number else 'given'}: {problem or 'ok'}"
        for number, problem in enumerate(problems)
    ]
    if correct == len(problems):
        return Status.PASS, Stage.CORRECT, 1.0, "\n".join(lines)
    return Status.FAIL, Stage.WRONG, correct / len(problems), "\n".join(lines)
