"""The runs that a study consists of, in the order in which they are started.

First the runs that choose each arm's setting, then the reported ones seed by seed, so that the arms can be compared on
the seeds that are finished. A run whose settings depend on other runs follows from their results.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from halo_core import HaloError, Plan
from halo_study.outcomes import value_of
from halo_study.results import RunResult
from halo_study.study import Study, merged

Key = tuple[str, int, float]


@dataclass(frozen=True)
class Job:
    """One run of a study."""

    arm: str
    seed: int
    value: float | None
    """The value of the tuned setting; None if the arm has none."""
    raw: Mapping[str, Any]
    """The configuration."""

    @property
    def key(self) -> Key:
        """Arm, seed and value, as in `RunResult.key`."""
        return self.arm, self.seed, self.value or 0.0

    @property
    def name(self) -> str:
        """The name of the run's directory."""
        value = "" if self.value is None else f"--{self.value:.10g}"
        return re.sub(r"[^\w.=-]+", "-", f"{self.arm}{value}") + f"--seed-{self.seed}"


def jobs(study: Study, results: Sequence[RunResult]) -> Iterator[Job]:
    """Yield the runs that `results` lack and that can be configured now, the first to start first."""
    done = {run.key: run for run in results}
    for job in _all(study, done):
        if job.key not in done:
            yield job


def plan_of(job: Job) -> Plan:
    """Return the plan of a run. Raises the error of an invalid configuration, which names the arm."""
    try:
        return Plan.from_raw(job.raw)
    except HaloError as error:
        raise type(error)(f"arm {job.arm!r}: {error}", hint=error.hint) from error


def check_arms(study: Study, results: Sequence[RunResult]) -> None:
    """Raise the error of the first arm whose configuration is invalid."""
    for job in {(job.arm, job.value): job for job in jobs(study, results)}.values():
        plan_of(job)


def count(study: Study) -> int:
    """Return the number of runs of a study. Runs that both choose and report are counted once."""
    tuned = sum(map(study.is_tuned, study.arms))
    choosing = len(study.tune.values) * len(study.tune.seeds) * tuned if study.tune else 0
    return choosing + len(study.arms) * len(study.seeds)


def chosen(study: Study, results: Sequence[RunResult]) -> dict[str, float | None]:
    """Return the tuned setting of each arm; an arm whose choosing runs are not all finished is absent."""
    done = {run.key: run for run in results}
    found = {arm: _own_choice(study, arm, done) for arm in study.arms if study.is_tuned(arm)}
    known: dict[str, float | None] = {arm: value for arm, value in found.items() if value is not None}
    for arm, its in study.arms.items():
        if study.is_tuned(arm):
            continue
        if its.same_setting_as is None or not study.is_tuned(its.same_setting_as):
            known[arm] = None
        elif its.same_setting_as in known:
            known[arm] = known[its.same_setting_as]
    return known


def means(study: Study, arm: str, results: Sequence[RunResult]) -> dict[float, float]:
    """Return the mean outcome of each value tried for an arm, over the choosing seeds that are finished."""
    assert study.tune is not None
    found: dict[float, list[float]] = {value: [] for value in study.tune.values}
    for run in results:
        if run.arm == arm and run.seed in study.tune.seeds and run.value in found:
            found[run.value].append(value_of(run, study.tune.outcome))
    return {value: float(np.mean(values)) for value, values in found.items() if values}


def _all(study: Study, done: Mapping[Key, RunResult]) -> Iterator[Job]:
    if study.tune:
        for seed in study.tune.seeds:
            for arm in filter(study.is_tuned, study.arms):
                for value in study.tune.values:
                    yield _job(study, arm, seed, value)
    values = chosen(study, list(done.values()))
    for seed in study.seeds:
        for arm, its in study.arms.items():
            if arm not in values:
                continue
            job = _job(study, arm, seed, values[arm])
            if its.equal_sum_of is None:
                yield job
            elif its.equal_sum_of in values:
                model = done.get((its.equal_sum_of, seed, values[its.equal_sum_of] or 0.0))
                if model:
                    yield Job(arm, seed, None, merged(job.raw, equal_sum(model)))


def equal_sum(run: RunResult) -> dict[str, Any]:
    """Return settings that spend the summed learning rate of `run` at a constant rate."""
    lr, total = run.columns["lr"], run.columns["lr_sum"]
    spent = float(np.nansum(total))
    steps = float(np.nansum(total / lr))  # a step below the cycle's peak counts for less
    mean = float(f"{spent / steps:.10g}")
    return {"lr_policy": {"name": "budget", "base_lr": mean, "total": float(f"{spent:.10g}"), "decay": 1.0}}


def _own_choice(study: Study, arm: str, done: Mapping[Key, RunResult]) -> float | None:
    assert study.tune is not None
    runs = [done.get((arm, seed, value)) for seed in study.tune.seeds for value in study.tune.values]
    if not all(runs):
        return None
    found = means(study, arm, [run for run in runs if run])
    return max(sorted(found), key=lambda value: found[value])


def _job(study: Study, arm: str, seed: int, value: float | None) -> Job:
    return Job(arm, seed, value, {**study.settings(arm, value), "seed": seed})


def directory_of(job: Job, runs: Path) -> Path:
    """Return the run directory of a job."""
    return runs / job.name
