"""The progress of a study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from halo_study.jobs import checked, chosen, count, own
from halo_study.outcomes import value_of
from halo_study.results import RESULTS, RunResult, read_results
from halo_study.study import Study


@dataclass(frozen=True, slots=True)
class ArmProgress:
    """The finished runs of one arm."""

    arm: str
    value: float | None
    """The tuned setting; None if there is none, or if it has not been chosen."""
    choosing: int
    choosing_total: int
    reported: int
    reported_total: int
    failed: int
    """Runs whose training failed."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The finished runs of a study."""

    arms: Sequence[ArmProgress]
    done: int
    total: int
    seconds: float
    """Of the finished runs, as each would take on its own."""

    @property
    def seconds_left(self) -> float:
        """Estimate for the runs that are missing, at the mean of the finished ones."""
        return self.seconds / self.done * (self.total - self.done) if self.done else 0.0


def stored_results(study: Study, output: Path) -> list[RunResult]:
    """Return the results of the study's runs in a directory; none if it has no file of results.

    Raises a `RunError` if they have other settings or are of another study.
    """
    path = output / RESULTS
    return own(study, checked(study, read_results(path), path))


def progress(study: Study, output: Path) -> Progress:
    """Return how far a study is; a study that was never run has no finished runs."""
    results = stored_results(study, output)
    settings = chosen(study, results)
    choosing_seeds = study.tune.seeds if study.tune else []
    rows = []
    for arm in study.arms:
        runs = [run for run in results if run.arm == arm]
        rows.append(
            ArmProgress(
                arm,
                settings.get(arm),
                sum(run.seed in choosing_seeds for run in runs),
                len(study.tune.values) * len(choosing_seeds) if study.tune and study.is_tuned(arm) else 0,
                sum(run.seed in study.seeds for run in runs),
                len(study.seeds),
                sum(bool(run.error) for run in runs),
            )
        )
    return Progress(rows, len(results), count(study), sum(value_of(run, "seconds") for run in results))
