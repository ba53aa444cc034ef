"""Results of another study whose runs had the same configuration and the same seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from halo_core import ConfigError
from halo_study.jobs import jobs
from halo_study.results import RESULTS, RunResult, read_results
from halo_study.study import Study


def add_reused(study: Study, results: list[RunResult], directories: Sequence[Path]) -> int:
    """Append the results that `directories` of other studies have for this one; return their number.

    Raises a `ConfigError` for a directory without results.
    """
    known = {run.settings: run for directory in directories for run in _results_in(directory)}
    before = len(results)
    # Results that choose a setting make further runs known.
    while found := [
        replace(known[job.settings], arm=job.arm, value=job.value)
        for job in jobs(study, results)
        if job.settings in known
    ]:
        results += found
    return len(results) - before


def _results_in(directory: Path) -> list[RunResult]:
    path = directory / RESULTS
    if not path.exists():
        raise ConfigError(f"{directory} has no study", hint=f"name a directory with {RESULTS}")
    name = directory.absolute().name
    return [replace(run, source=run.source or name) for run in read_results(path)]
