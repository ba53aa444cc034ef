"""Results of another study whose runs had the same configuration and the same seed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from halo_core import ConfigError
from halo_study.fixed import FIXED, read_fixed
from halo_study.jobs import Job, jobs
from halo_study.results import RESULTS, RunResult, read_results
from halo_study.study import Study


def add_reused(study: Study, results: list[RunResult], directories: Sequence[Path]) -> int:
    """Append the results that `directories` of other studies have for this one; return their number.

    A run of an arm at the summed rate of another arm is not found there: its rate follows from results.
    Raises a `ConfigError` for a directory without a study.
    """
    known = {_key(job): run for place in directories for job, run in _finished(place)}
    before = len(results)
    # Results that choose a setting make further runs known.
    while found := [
        replace(
            known[_key(job)],
            arm=job.arm,
            value=job.value,
            settings=study.settings_hash(job.arm),
        )
        for job in jobs(study, results)
        if _key(job) in known
    ]:
        results += found
    return len(results) - before


def _finished(directory: Path) -> Iterator[tuple[Job, RunResult]]:
    """Yield the finished runs of the study in a directory."""
    fixed = read_fixed(directory)
    if fixed is None:
        raise ConfigError(f"{directory} has no study", hint=f"name a directory with {FIXED} and {RESULTS}")
    study = Study.model_validate(fixed)
    for run in read_results(directory / RESULTS):
        if run.arm in study.arms and not study.arms[run.arm].equal_sum_of:
            raw = {**study.settings(run.arm, run.value), "seed": run.seed}
            source = run.source or directory.absolute().name
            yield Job(run.arm, run.seed, run.value, raw), replace(run, source=source)


def _key(job: Job) -> str:
    return json.dumps(job.raw, sort_keys=True, default=str)
