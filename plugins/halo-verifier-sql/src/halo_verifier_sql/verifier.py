"""The `sql` verifier: run the query on the given database and on copies, compare what it returns."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Literal

from pydantic import Field

from halo_core.drivers import Attack, Demo, Verifier, driver
from halo_core.errors import DataError, HaloError, PluginError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sql.compare import Tolerance, difference
from halo_verifier_sql.engines import Batch, Engine, engine
from halo_verifier_sql.extract import extract, is_query
from halo_verifier_sql.prepare import Task, prepare
from halo_verifier_sql.worker import Caps

_MIB = 1 << 20
_LONGEST = 20_000
"""Characters of a query; nothing that a person would write is longer."""
_STAGES = {
    "invalid": Stage.INVALID,
    "forbidden": Stage.FLAWED,
    "failed": Stage.CRASHED,
    "limit": Stage.CRASHED,
    "rows": Stage.WRONG,
}
_KEPT = 4096


@driver
class SQL(Verifier):
    r"""Runs a query on a small database and on perturbed copies of it, and compares what it returns.

    A prompt's reference is `{"schema": "CREATE TABLE t (a)", "rows": {"t": [[1], [2]]}, "query": "SELECT ..."}`.
    A query passes when it returns the reference query's rows on the given database and on `copies` copies with
    other contents. Rows are compared as a multiset, by value and type; in order where the reference query
    orders them, ties aside. With `"result": [[...], ...]` instead of a query there are no copies, and constants
    are not found out. `"ordered"` and `"columns": "name"` say what counts where the query does not.

    Only a single SELECT (or WITH, VALUES) is run, without functions that could tell the time or draw lots.
    The score is the share of the databases on which the result was right.
    """

    dialect: Literal["sqlite", "duckdb", "postgresql"] = "sqlite"
    """The engine that queries are written for and run on."""
    url: str = ""
    """PostgreSQL server to run on: postgresql://user@host/database. Leave its password to PGPASSWORD or ~/.pgpass."""
    copies: int = Field(default=3, ge=2, le=8)
    """Perturbed copies of the database that a query is run on besides the given one."""
    rtol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Relative tolerance for floats; 0 with `atol` 0: they must be identical."""
    atol: float = Field(default=0.0, ge=0.0, allow_inf_nan=False)
    """Absolute tolerance for floats."""
    cpu_seconds: float = Field(default=2.0, gt=0.0)
    """CPU time that a query may use, on all databases together. On PostgreSQL wall time, on each."""
    memory_mib: int = Field(default=1024, ge=256)
    """Memory of the process that queries run in, in MiB."""
    steps: int = Field(default=50_000_000, gt=0)
    """Instructions of SQLite's virtual machine that a query may use on one database."""
    max_rows: int = Field(default=10_000, gt=0)
    """Rows that a query may return."""
    output_kib: int = Field(default=256, gt=0)
    """Size of a query's result, in KiB."""

    valid_label: ClassVar[str] = "parses"

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`; see `Verifier.check`."""
        sql = extract(completion.text)
        if not sql:
            return Verdict(Status.FAIL, Stage.INVALID, detail="holds no query")
        if not is_query(sql):
            return Verdict(Status.FAIL, Stage.INVALID, detail="not a query")
        if len(sql) > _LONGEST:
            return Verdict(
                Status.FAIL, Stage.INVALID, detail=f"the query is longer than {_LONGEST} characters"
            )
        try:
            task = self._task(prompt)
            batch = self._engine().run(task.key, task.databases, [sql], self._caps(), loading=False)
        except HaloError as error:
            return Verdict(Status.ERROR, Stage.INVALID, detail=str(error))
        status, stage, score, detail = _judged(task, batch, Tolerance(self.rtol, self.atol))
        return Verdict(
            status,
            stage,
            score=score,
            detail=detail,
            cpu_seconds=batch.cpu_seconds,
            wall_seconds=batch.wall_seconds,
            sandbox=batch.tier,
        )

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` unless the reference is usable and passes by itself."""
        self._task(prompt)

    def preflight(self) -> None:
        """Raise a `PluginError` unless the engine runs a query."""
        try:
            prepare("preflight", _HELLO, self._engine(), self.dialect, self.copies, self._caps())
        except DataError as error:
            raise PluginError(f"{self.dialect} does not work here: {error}", hint=error.hint) from error

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return the reference query, plain and as chat models answer."""
        query = self._task(prompt).query.strip()
        if not query:
            return ()
        return (
            query,
            f"Here is the query:\n\n```sql\n{query.rstrip(';')};\n```\n\nIt reads the tables once.",
        )

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return queries with one change from the reference that return something else on some copy."""
        return self._task(prompt).mutants

    def attacks(self) -> Sequence[Attack]:
        """Return the collection in `attacks`, for this dialect."""
        from halo_verifier_sql.attacks import attacks

        return attacks(self.dialect)

    def fingerprint(self) -> str:
        """Return the options, this package's version and the engine's."""
        return f"{self!r} {version('halo-verifier-sql')} {self._engine().version()}"

    def demo(self) -> Demo | None:
        """Return questions on small databases and a tiny model that half knows how to answer them."""
        from halo_verifier_sql import demo

        return demo.load() if self.dialect == "sqlite" else None

    def _caps(self) -> Caps:
        return Caps(self.steps, self.max_rows, self.output_kib * 1024)

    def _engine(self) -> Engine:
        return engine(self.dialect, self.url, self.cpu_seconds, self.memory_mib * _MIB)

    def _task(self, prompt: Prompt) -> Task:
        """Return what `prompt` is judged by, made once for each reference."""
        key = (self, id(prompt.reference))
        with _lock:
            if (kept := _tasks.get(key)) and kept[0] is prompt.reference:
                return kept[1]
        task = prepare(prompt.id, prompt.reference, self._engine(), self.dialect, self.copies, self._caps())
        with _lock:
            _tasks[key] = (prompt.reference, task)
            if len(_tasks) > _KEPT:
                _tasks.popitem(last=False)
        return task


_lock = threading.Lock()
_tasks: OrderedDict[tuple[SQL, int], tuple[Mapping[str, Any], Task]] = OrderedDict()
"""By verifier and identity of the reference, which is kept so that no other can have it."""
_HELLO = {"schema": "CREATE TABLE t (a INTEGER)", "rows": {"t": [[1], [2]]}, "query": "SELECT a FROM t"}


def _judged(task: Task, batch: Batch, tolerance: Tolerance) -> tuple[Status, Stage, float, str]:
    """Return status, stage, score and detail."""
    if batch.inconclusive:
        return Status.INCONCLUSIVE, Stage.CRASHED, 0.0, "ran out of wall time"
    if not batch.found:
        return Status.FAIL, Stage.CRASHED, 0.0, batch.died or f"ran into the {batch.limit} limit"
    results = batch.found[0]
    for what, _, reason, _ in results:
        if what != "rows":
            return Status.FAIL, min((_STAGES[each[0]] for each in results), key=lambda s: s.rank), 0.0, reason
    if task.reads and not any(reads for *_, reads in results):
        return Status.FAIL, Stage.FLAWED, 0.0, "reads no table"
    problems = [
        difference(gold, columns, text, tolerance)
        for gold, (_, columns, text, _) in zip(task.golds, results, strict=True)
    ]
    right = problems.count("")
    lines = [f"right on {right} of {len(problems)} databases"]
    if len(problems) == 1:
        lines.append("there is no reference query, so no copies of the database were tried")
    lines += [
        f"{'copy ' + str(at) if at else 'given'}: {problem or 'ok'}" for at, problem in enumerate(problems)
    ]
    if right == len(problems):
        return Status.PASS, Stage.CORRECT, 1.0, "\n".join(lines)
    return Status.FAIL, Stage.WRONG, right / len(problems), "\n".join(lines)
