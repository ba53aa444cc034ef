"""The main figures of a run, for lists of runs, comparisons and the head of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core import files
from halo_core.config.layers import short_name
from halo_core.errors import HaloError
from halo_core.ledger.ledger import Ledger
from halo_core.metrics import paired_difference
from halo_core.types import CycleReport, PairedDifference


@dataclass(frozen=True, slots=True)
class Summary:
    """The main figures of a run."""

    directory: Path
    status: str
    """finished, running, stopped, started (no cycle closed yet) or unreadable."""
    error: str = ""
    """Why the run is unreadable."""
    started: float = 0.0
    """Seconds since 1970."""
    verifier: str = ""
    lr_policy: str = ""
    model: str = ""
    seed: int = 0
    cycles: int = 0
    """Configured number of cycles, without cycle 0."""
    reports: tuple[CycleReport, ...] = ()
    change: PairedDifference | None = None
    """Change of the held-out pass rate from cycle 0 to the last; None until a second cycle has measured it."""

    @property
    def done(self) -> int:
        """Closed cycles, without cycle 0."""
        return max(0, len(self.reports) - 1)

    @property
    def samples(self) -> int:
        """Completions with a verdict of pass or fail, held-out ones included; of rounds, only the first."""
        return sum(
            metrics.samples
            for report in self.reports
            for metrics in (report.sampled, report.heldout)
            if metrics
        )

    @property
    def tokens(self) -> int:
        """Completion tokens trained on."""
        return sum(report.train.tokens for report in self.reports if report.train)

    @property
    def seconds(self) -> float:
        """Wall seconds of all stages of the closed cycles."""
        return sum(sum(report.seconds.values()) for report in self.reports)


def summarise(ledger: Ledger) -> Summary:
    """Return the summary of a run. Raises a `RunError` if it cannot be read."""
    with files.reading(ledger.directory / "run.yaml"):
        settings = _settings(ledger.config())
    reports, events = ledger.reports(), ledger.events()
    status = "started" if not reports else "stopped"
    status = "finished" if len(reports) > settings["cycles"] else "running" if ledger.in_use else status
    return Summary(
        directory=ledger.directory,
        status=status,
        started=events[0][0] if events else 0.0,
        reports=tuple(reports),
        change=_change(ledger, reports, settings["seed"]),
        **settings,
    )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "verifier": ", ".join(short_name(entry["name"]) for entry in config["verifier"]),
        "lr_policy": short_name(config["lr_policy"]["name"]),
        "model": Path(config["model"]["name"] or "").name,
        "seed": int(config["seed"]),
        "cycles": int(config["cycles"]),
    }


def summaries(root: Path) -> list[Summary]:
    """Return the summaries of `root`, if it is a run, and of every run in it, the newest last.

    A run that cannot be read has the status `unreadable` and an `error`.
    """
    found = []
    for path in sorted([*root.glob("run.yaml"), *root.glob("*/run.yaml")]):
        ledger = Ledger(path.parent)
        try:
            found.append(summarise(ledger))
        except HaloError as error:
            found.append(Summary(path.parent, "unreadable", error=str(error)))
        finally:
            ledger.close()
    return sorted(found, key=lambda summary: summary.started)


def _change(ledger: Ledger, reports: Sequence[CycleReport], seed: int) -> PairedDifference | None:
    if len(reports) < 2 or not (reports[0].heldout and reports[-1].heldout):
        return None
    counts = [ledger.passes("heldout", cycle, cycle) for cycle in (0, reports[-1].cycle)]
    return paired_difference(*counts, seed=seed)
