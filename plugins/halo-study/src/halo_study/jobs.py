"""The runs that a study consists of, in the order in which they are started.

First the runs that choose each arm's setting, then the reported ones seed by seed, so that the arms can be compared on
the seeds that are finished. A run whose settings depend on other runs follows from their results.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from halo_core import ConfigError, HaloError, Plan, RunError
from halo_core.run.prompts import names_prompts
from halo_study.outcomes import OUTCOMES, value_of
from halo_study.results import DIGITS, RunResult, as_stored
from halo_study.study import Study, config_hash, in_a_path, merged

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
    def settings(self) -> str:
        """The hash of the configuration, as in `RunResult.settings`."""
        return config_hash(self.raw)

    @property
    def name(self) -> str:
        """The name of the run's directory."""
        return directory_name(self.arm, self.seed, self.value)


def directory_name(arm: str, seed: int, value: float | None) -> str:
    """Return the name of a run's directory."""
    tuned = "" if value is None else f"--{value:.{DIGITS}g}"
    return in_a_path(f"{arm}{tuned}") + f"--seed-{seed}"


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
    """Raise the error of the first missing run whose configuration is invalid, or whose prompts differ by seed."""
    left = {(job.arm, job.value): job for job in jobs(study, results)}.values()
    for job in left:
        _check_heldout(job.arm, plan_of(job))
    for arm, its in study.arms.items():  # their settings follow from results
        if left and (its.equal_sum_of or its.same_setting_as):
            budget = (
                {"lr_policy": {"name": "budget", "base_lr": 1e-4, "total": 1.0}} if its.equal_sum_of else {}
            )
            plan_of(Job(arm, study.seeds[0], None, merged(study.settings(arm), budget)))


def _check_heldout(arm: str, plan: Plan) -> None:
    """Raise a `ConfigError` if each seed would hold out other prompts: the statistics need the same ones."""
    data = plan.config.data
    if names_prompts(plan.config) and not data.heldout:
        raise ConfigError(
            f"arm {arm!r}: data.heldout is missing, so that each seed would be measured on other prompts",
            hint="name a file of held-out prompts",
        )


def count(study: Study) -> int:
    """Return the number of runs of a study."""
    seeds = (*(study.tune.seeds if study.tune else ()), *study.seeds)
    return sum(runs_of_seed(study, seed) for seed in seeds)


def runs_of_seed(study: Study, seed: int) -> int:
    """Return the number of runs with a seed; it chooses settings or is reported."""
    if study.tune and seed in study.tune.seeds:
        return len(study.tune.values) * sum(map(study.is_tuned, study.arms))
    return len(study.arms) if seed in study.seeds else 0


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


def own(study: Study, results: Sequence[RunResult]) -> list[RunResult]:
    """Return the results that are runs of the study: of its arms, seeds and settings."""
    settings = chosen(study, results)
    return [run for run in results if _chooses(study, run) or _is_reported(study, run, settings)]


def checked(study: Study, results: Sequence[RunResult], path: Path) -> Sequence[RunResult]:
    """Return the `results` in the file `path`.

    Raises a `RunError` if they are of another study, or if an arm had another configuration when it was run.
    """
    if results and not any(run.arm in study.arms for run in results):
        raise RunError(f"{path} has the results of another study", hint="choose another --output")
    done, settings = {run.key: run for run in results}, chosen(study, results)
    for run in own(study, results):
        job = _job_of(study, run, settings, done)
        if job and run.settings != job.settings:
            raise RunError(
                f"{path}: arm {run.arm!r} had other settings when seed {run.seed} was run",
                hint="give the arm another name, or write to another --output",
            )
    return results


def means(study: Study, arm: str, results: Sequence[RunResult]) -> dict[float, float]:
    """Return the mean outcome of each value tried for an arm, over the choosing seeds that are finished."""
    assert study.tune is not None
    found: dict[float, list[float]] = {value: [] for value in study.tune.values}
    for run in results:
        if run.arm == arm and run.seed in study.tune.seeds and run.value in found:
            found[run.value].append(value_of(run, study.tune.outcome))
    return {value: float(np.mean(values)) for value, values in found.items() if values}


def _chooses(study: Study, run: RunResult) -> bool:
    tune = study.tune
    return bool(
        tune
        and run.arm in study.arms
        and study.is_tuned(run.arm)
        and run.seed in tune.seeds
        and run.value in tune.values
    )


def _is_reported(study: Study, run: RunResult, settings: Mapping[str, float | None]) -> bool:
    return run.arm in settings and run.seed in study.seeds and run.value == settings[run.arm]


def _all(study: Study, done: Mapping[Key, RunResult]) -> Iterator[Job]:
    if study.tune:
        for seed in study.tune.seeds:
            for arm in filter(study.is_tuned, study.arms):
                for value in study.tune.values:
                    yield _job(study, arm, seed, value)
    values = chosen(study, list(done.values()))
    for seed in study.seeds:
        for arm in study.arms:
            if arm in values:
                job = _reported(study, arm, seed, values, done)
                if job:
                    yield job


def _job_of(
    study: Study, run: RunResult, values: Mapping[str, float | None], done: Mapping[Key, RunResult]
) -> Job | None:
    """Return the job that has this result; None if it depends on a run that is missing."""
    if _chooses(study, run):
        return _job(study, run.arm, run.seed, run.value)
    return _reported(study, run.arm, run.seed, values, done)


def _reported(
    study: Study, arm: str, seed: int, values: Mapping[str, float | None], done: Mapping[Key, RunResult]
) -> Job | None:
    """Return the job of an arm and a reported seed; None if it depends on a run that is missing."""
    other = study.arms[arm].equal_sum_of
    if other is None:
        return _job(study, arm, seed, values[arm])
    model = done.get((other, seed, values[other] or 0.0)) if other in values else None
    if model is None:
        return None
    if not np.nansum(model.columns["lr_sum"]):  # it trained nothing, so neither does the run of an equal sum
        return replace(_job(study, other, seed, values[other]), arm=arm, value=None)
    return Job(arm, seed, None, merged(_job(study, arm, seed, None).raw, equal_sum(model)))


def equal_sum(run: RunResult) -> dict[str, Any]:
    """Return settings that spend the summed learning rate of `run` at a constant rate.

    They are the same for a result that was just measured and for one read from the file, which has fewer digits.
    """
    lr, total = (as_stored(run.columns[name]) for name in ("lr", "lr_sum"))
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
    better = OUTCOMES[study.tune.outcome].better
    return max(sorted(found), key=lambda value: better * found[value])


def _job(study: Study, arm: str, seed: int, value: float | None) -> Job:
    return Job(arm, seed, value, {**study.settings(arm, value), "seed": seed})
