"""What a run came to, in a few figures: for lists of runs, comparisons and the head of a report."""

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
    """A run in a few figures."""

    directory: Path
    status: str
    """finished, running, stopped, begun or unreadable."""
    trouble: str = ""
    """Why it is unreadable."""
    began: float = 0.0
    """Seconds since 1970."""
    verifier: str = ""
    lr_policy: str = ""
    model: str = ""
    seed: int = 0
    cycles: int = 0
    """Wanted."""
    reports: tuple[CycleReport, ...] = ()
    change: PairedDifference | None = None
    """Of the held-out pass rate from cycle 0 to the last; None before that was measured twice."""

    @property
    def done(self) -> int:
        """Cycles that are closed, the measurement before training not counted."""
        return max(0, len(self.reports) - 1)

    @property
    def samples(self) -> int:
        """Completions judged, held-out ones included."""
        return sum(
            rates.samples for report in self.reports for rates in (report.sampled, report.heldout) if rates
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
    """Sum up a run. Raises a `RunError` for one that cannot be read."""
    with files.reading(ledger.directory / "run.yaml"):
        made_of = _made_of(ledger.config())
    reports, events = ledger.reports(), ledger.events()
    status = "begun" if not reports else "stopped"
    status = "finished" if len(reports) > made_of["cycles"] else "running" if ledger.in_use else status
    return Summary(
        directory=ledger.directory,
        status=status,
        began=events[0][0] if events else 0.0,
        reports=tuple(reports),
        change=_change(ledger, reports, made_of["seed"]),
        **made_of,
    )


def _made_of(config: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "verifier": ", ".join(short_name(entry["name"]) for entry in config["verifier"]),
        "lr_policy": short_name(config["lr_policy"]["name"]),
        "model": Path(config["model"]["name"] or "").name,
        "seed": int(config["seed"]),
        "cycles": int(config["cycles"]),
    }


def summaries(root: Path) -> list[Summary]:
    """Sum up `root` if it is a run, and every run in it, the newest last. One that cannot be read says why."""
    found = []
    for path in sorted([*root.glob("run.yaml"), *root.glob("*/run.yaml")]):
        ledger = Ledger(path.parent)
        try:
            found.append(summarise(ledger))
        except HaloError as error:
            found.append(Summary(path.parent, "unreadable", trouble=str(error)))
        finally:
            ledger.close()
    return sorted(found, key=lambda summary: summary.began)


def _change(ledger: Ledger, reports: Sequence[CycleReport], seed: int) -> PairedDifference | None:
    if len(reports) < 2 or not (reports[0].heldout and reports[-1].heldout):
        return None
    counts = [ledger.passes("heldout", cycle, cycle) for cycle in (0, reports[-1].cycle)]
    return paired_difference(*counts, seed=seed)
