"""Plugin `gate`: keeps a link to the best weights, and reacts when a cycle made the model worse.

After each cycle, the held-out pass rate is compared with that of the best earlier cycle, prompt by prompt. A cycle is a
regression if the doctor's rule finds a fall (`History.fall`): the fall is beyond noise at 99% confidence for all
comparisons of the run together. That is necessary because the best of many cycles is partly luck: with plain 95%
intervals, every second run of ten cycles that change nothing has a "regression". The gate reacts in the same way to a
cycle for which the diagnosis recommends a rollback, because of a loss spike or a number that is not finite. Everything
follows from the reports, so a resumed run is gated like an uninterrupted one.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from halo_core.config.options import driver
from halo_core.diagnosis import Thresholds, diagnose
from halo_core.diagnosis.history import History, points
from halo_core.errors import RunError
from halo_core.hookspecs import RunView, hookimpl
from halo_core.metrics import best_cycle
from halo_core.types import CycleReport

CHAMPION = "champion"
"""Name of the link in the run directory."""


@driver
class Gate:
    """Keep `champion/` pointing to the best adapter, and react to a significant regression.

    The best cycle is the one with the highest held-out pass rate, the first of equal ones. `champion/` does not exist
    while the model before training is best.
    """

    on_regression: Literal["none", "reduce", "rollback", "stop"] = "rollback"
    """Reaction to a regression or a spike. `reduce`: multiply the learning rate by `cut` from then on.
    `rollback`: also start the next cycle from the champion. `stop`: end the run. `none`: nothing."""
    cut: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor that multiplies the learning rate after each regression or spike."""
    min_lr: Annotated[float, Field(ge=0)] = 1e-7
    """The learning rate is not cut below this."""
    patience: Annotated[int, Field(ge=0)] = 0
    """End the run when the best of the last `patience` cycles is not significantly better than the best before
    them. 0: never."""

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Check that there are held-out prompts; repeat the reaction to the last cycle if the run is resumed."""
        self._check(run)
        if history:
            self._react(run, history, quiet=True)

    @hookimpl(wrapper=True)
    def lr_for_cycle(self, history: Sequence[CycleReport]) -> Generator[None, float, float]:
        """Cut the policy's learning rate once for each setback."""
        lr = yield
        cuts = len(setbacks(history)) if self.on_regression in ("reduce", "rollback") else 0
        return max(min(lr, self.min_lr), lr * self.cut**cuts)

    @hookimpl
    def on_cycle_end(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Point `champion/` to the best adapter, and react to a regression."""
        self._react(run, history)

    def _check(self, run: RunView) -> None:
        if not run.heldout:
            raise RunError(
                "the gate compares held-out pass rates, and this run has no held-out prompts",
                hint="give some with --heldout, or remove the gate",
            )

    def _react(self, run: RunView, history: Sequence[CycleReport], *, quiet: bool = False) -> None:
        champion = best_cycle(history) or 0
        set_link(run.directory / CHAMPION, run.ledger.adapter(champion) if champion else None)
        messages = []
        if reason := setback(history):
            messages.append(reason)
            if self.on_regression == "rollback":
                run.roll_back(champion)
                messages.append(
                    f"going back to the weights of cycle {champion}, at {self.cut:g} of the learning rate"
                )
            elif self.on_regression == "reduce":
                messages.append(f"continuing at {self.cut:g} of the learning rate")
            elif self.on_regression == "stop":
                run.stop(reason)
        if self.patience and self._stagnates(run, history, champion):
            run.stop(f"no significant improvement in {self.patience} cycles; the best is cycle {champion}")
            messages.append(run.stop_reason)
        if messages and not quiet:
            run.log("gate", "; ".join(messages))

    def _stagnates(self, run: RunView, history: Sequence[CycleReport], champion: int) -> bool:
        earlier = history[: -self.patience]
        if not earlier:
            return False
        before = best_cycle(earlier) or 0
        return champion == before or run.compare(before, champion).interval[0] <= 0


def setback(history: Sequence[CycleReport]) -> str:
    """Return why training should not continue from the last cycle's weights; empty if it can.

    The reason is a regression, or a rollback that the diagnosis of the run so far recommends for that cycle: a loss
    spike in a cycle that gained nothing, or a number that is not finite.
    """
    last = history[-1]
    if (fall := History(history, Thresholds()).fall) and fall.interval:
        (best, _), (before, after), (low, high) = fall.cycles, fall.values, fall.interval
        return (
            f"cycle {last.cycle} is worse than cycle {best} by {100 * (before - after):.1f} points "
            f"({points(low)} to {points(high)})"
        )
    rollbacks = [
        finding
        for finding in diagnose(history)
        if finding.action == "rollback" and finding.cycle == last.cycle
    ]
    return f"cycle {last.cycle} is lost: {rollbacks[0].evidence[0].text}" if rollbacks else ""


def setbacks(history: Sequence[CycleReport]) -> list[int]:
    """Return the cycles that were setbacks when they ended."""
    return [history[n].cycle for n in range(1, len(history)) if setback(history[: n + 1])]


def set_link(link: Path, target: Path | None) -> None:
    """Make `link` a relative symbolic link to `target` atomically; remove it if `target` is None."""
    partial = link.with_name(f"{link.name}.partial")
    try:
        with suppress(FileNotFoundError):
            partial.unlink()
        if target is None:
            link.unlink(missing_ok=True)
            return
        partial.symlink_to(os.path.relpath(target, link.parent))
        partial.replace(link)
    except OSError as error:
        raise RunError(
            f"{link}: {error.strerror or error}", hint="free disk space, or remove the existing file"
        ) from error
