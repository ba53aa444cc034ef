"""Running a study: several runs side by side, each in a worker process, each resumable on its own.

A kill at any moment loses only the current step of each run. The results of finished runs are in
`results.csv`; a run that was in progress is resumed where it stopped. What a run has in common with another run of the
same seed is copied from it instead of being computed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import selectors
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from halo_core import HaloError, Plan, RunError
from halo_core.files import disk, make_directory
from halo_core.ledger.ledger import open_run
from halo_core.run.sharing import share, shared
from halo_core.tables import count as counted
from halo_study.fixed import fix
from halo_study.jobs import (
    Job,
    check_arms,
    checked,
    count,
    directory_name,
    jobs,
    own,
    plan_of,
    runs_of_seed,
)
from halo_study.outcomes import value_of
from halo_study.results import RESULTS, RunResult, measure, read_results, write_results
from halo_study.reuse import add_reused
from halo_study.study import Study

Keep = Literal["all", "ledgers", "none"]
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_POLL_SECONDS = 2.0


@dataclass
class _Worker:
    """A worker process and the job it has."""

    process: subprocess.Popen[str]
    job: Job | None = None


class Runner:
    """Runs the jobs of a study that have no result yet."""

    def __init__(
        self,
        study: Study,
        output: Path,
        *,
        runs: Path | None = None,
        workers: int = 1,
        keep: Keep = "all",
        limit: int | None = None,
        reuse: Sequence[Path] = (),
        say: Callable[[str], None] = print,
    ) -> None:
        self.study, self.output, self.runs = study, output, runs or output / "runs"
        self.keep, self.limit, self.reuse, self.say = keep, limit, reuse, say
        self._size = workers
        self._plans: dict[str, Plan] = {}
        self._recorded: dict[Path, Plan] = {}
        self._workers: list[_Worker] = []
        self._finished = 0

    @property
    def results_path(self) -> Path:
        """The file of results."""
        return self.output / RESULTS

    def results(self) -> list[RunResult]:
        """Return all results in the file. Raises a `RunError` if they do not fit the study."""
        return list(checked(self.study, read_results(self.results_path), self.results_path))

    def run(self) -> list[RunResult]:
        """Run until every job has a result, or `limit` runs have finished; return the results of the study's runs.

        Raises a `ConfigError` before the first run if an arm is invalid, and a `RunError` if a run ends for a reason
        other than its training; the others are stopped then, and can be resumed.
        """
        with self._locked():
            results = self.results()
            check_arms(self.study, results)
            fix(self.study, self.output, renew=not results)
            self._take_reused(results)
            for seed in {run.seed for run in own(self.study, results)}:
                self._clean(seed, results)
            try:
                self._work(results)
            finally:
                self._stop()
        return own(self.study, results)

    def _take_reused(self, results: list[RunResult]) -> None:
        if not self.reuse:
            return
        added = add_reused(self.study, results, self.reuse)
        if added:
            write_results(self.results_path, results)
        self.say(f"{counted(added, 'run')} of other studies had the same configuration and seed")

    def _work(self, results: list[RunResult]) -> None:
        with selectors.DefaultSelector() as selector:
            while True:
                self._start(results, selector)
                if not any(worker.job for worker in self._workers):
                    return
                for key, _ in selector.select(timeout=_POLL_SECONDS):
                    self._collect(key.data, results)

    def _start(self, results: list[RunResult], selector: selectors.BaseSelector) -> None:
        """Give a job to each idle worker, if there is a job that need not wait."""
        while True:
            running = [worker.job for worker in self._workers if worker.job]
            remaining = self._size if self.limit is None else self.limit - self._finished
            if len(running) >= min(self._size, remaining):
                return
            job = next(self._ready(results, running), None)
            if job is None:
                return
            worker = next((each for each in self._workers if each.job is None), None)
            worker = worker or self._hire(selector)
            self._copy_shared(job)
            worker.job = job
            line = json.dumps({"config": job.raw, "directory": str(self._directory(job))})
            assert worker.process.stdin is not None
            print(line, file=worker.process.stdin, flush=True)

    def _ready(self, results: list[RunResult], running: list[Job]) -> Iterator[Job]:
        names = {job.name for job in running}
        for job in jobs(self.study, results):
            if job.name not in names and not any(self._waits_for(job, other) for other in running):
                yield job

    def _waits_for(self, job: Job, other: Job) -> bool:
        """Return whether the running `other` is still computing what `job` can take from it."""
        if job.seed != other.seed or (self._directory(job) / "run.yaml").exists():
            return False
        plans = self._plan(job), self._plan(other)
        ledger = open_run(self._directory(other)) if (self._directory(other) / "run.yaml").exists() else None
        if ledger is None:
            return True
        with closing(ledger):
            history = ledger.reports()
        if not history:
            return True
        common = shared(*plans, history)
        return common is not None and common.closed == len(history) - 1 and common.sampled

    def _copy_shared(self, job: Job) -> None:
        """Start the job's run with the longest part that another run of its seed has already computed."""
        directory = self._directory(job)
        if (directory / "run.yaml").exists():
            return
        with disk(directory):
            directory.parent.mkdir(parents=True, exist_ok=True)
        best: tuple[int, bool] = (-1, False)
        source: Path | None = None
        for other in sorted(self.runs.glob(f"*--seed-{job.seed}/run.yaml")):
            with contextlib.suppress(HaloError), closing(open_run(other.parent)) as ledger:
                if other.parent not in self._recorded:
                    self._recorded[other.parent] = Plan.from_ledger(ledger)
                common = shared(self._plan(job), self._recorded[other.parent], ledger.reports())
                if common is None or (common.closed and not _has_weights(other.parent, common.closed)):
                    continue
                if (common.closed, common.sampled) > best:
                    best, source = (common.closed, common.sampled), other.parent
        if source is not None:
            with closing(open_run(source)) as ledger:
                share(self._plan(job), ledger, directory)

    def _collect(self, worker: _Worker, results: list[RunResult]) -> None:
        """Read the answer of a worker, and store the results of its run."""
        job, stdout = worker.job, worker.process.stdout
        assert job is not None
        assert stdout is not None
        line = stdout.readline()
        if not line:
            raise RunError(
                f"the process of {job.name} ended with code {worker.process.wait()}",
                hint=f"its last output is in {self._log}; repeat the command to resume",
            )
        answer = json.loads(line)
        if answer["status"] == "error":
            raise RunError(f"{job.name}: {answer['message']}", hint=answer["hint"])
        worker.job = None
        result = measure(
            self._directory(job),
            arm=job.arm,
            seed=job.seed,
            value=job.value,
            settings=job.settings,
            error=answer["message"],
        )
        results.append(result)
        write_results(self.results_path, results)
        self._finished += 1
        self.say(progress_line(result, len(own(self.study, results)), count(self.study)))
        self._clean(job.seed, results)

    def _clean(self, seed: int, results: list[RunResult]) -> None:
        """Delete what `keep` does not keep, as soon as no other run of the seed can start from it."""
        if self.keep == "all":
            return
        finished = [run for run in own(self.study, results) if run.seed == seed]
        if len(finished) < runs_of_seed(self.study, seed):
            return
        for run in finished:
            directory = self.runs / directory_name(run.arm, run.seed, run.value)
            if self.keep == "none":
                shutil.rmtree(directory, ignore_errors=True)
            else:
                for adapter in directory.glob("cycles/*/adapter"):
                    shutil.rmtree(adapter, ignore_errors=True)

    def _plan(self, job: Job) -> Plan:
        name = json.dumps(job.raw, sort_keys=True)
        if name not in self._plans:
            self._plans[name] = plan_of(job)
        return self._plans[name]

    def _directory(self, job: Job) -> Path:
        return self.runs / job.name

    @property
    def _log(self) -> Path:
        return self.runs / "study.log"

    def _hire(self, selector: selectors.BaseSelector) -> _Worker:
        environment = {**os.environ, **{name: os.environ.get(name, "1") for name in _THREADS}}
        with disk(self._log):
            self._log.parent.mkdir(parents=True, exist_ok=True)
            log: IO[str] = self._log.open("a", encoding="utf-8")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", "halo_study.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,
            )
        worker = _Worker(process)
        self._workers.append(worker)
        assert process.stdout is not None
        selector.register(process.stdout, selectors.EVENT_READ, worker)
        return worker

    def _stop(self) -> None:
        for worker in self._workers:
            if worker.job is not None:
                worker.process.kill()
            if worker.process.stdin:
                with contextlib.suppress(OSError):
                    worker.process.stdin.close()
            worker.process.wait()
            if worker.process.stdout:
                worker.process.stdout.close()
        self._workers.clear()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the results against another runner; a killed process releases the lock."""
        make_directory(self.output)
        with disk(self.output):
            lock = (self.output / ".lock").open("w")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise RunError(
                    f"{self.output} is in use by another study runner", hint="wait for it, or stop it"
                ) from error
            yield


def progress_line(run: RunResult, done: int, total: int) -> str:
    """Return a line about a finished run."""
    value = "" if run.value is None else f" at {run.value:g}"
    peak, cycle = value_of(run, "peak"), int(value_of(run, "peak_cycle"))
    line = f"{done} of {total}  {run.arm}{value}, seed {run.seed}: held-out pass {100 * value_of(run, 'final'):.1f}%"
    line += f", peak {100 * peak:.1f}% after cycle {cycle}, {value_of(run, 'seconds') / 60:.1f} min"
    return f"{line}; failed: {run.error}" if run.error else line


def _has_weights(directory: Path, cycle: int) -> bool:
    """Return whether a run has the weights of all cycles up to one: `keep` may have deleted them."""
    return all((directory / f"cycles/{number:03d}/adapter").exists() for number in range(1, cycle + 1))
