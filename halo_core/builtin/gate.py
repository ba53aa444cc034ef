"""Plugin `gate`: keeps the best weights, and answers when a cycle made the model worse.

After each cycle the held-out pass rate is compared with that of the best cycle before, prompt by prompt. A cycle is a
regression when the doctor would call it one (`History.fall`): the fall is beyond noise at 99% for all comparisons of
the run together. That matters, for the best of many cycles is partly luck: against a plain 95% interval one run in two
of ten cycles that change nothing has a "regression". A cycle that the diagnosis says to go back before, for a spike of
the loss or a number that is not finite, is answered in the same way. Everything follows from the reports, so a run
that was killed and is gone on with is gated as it would have been.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from halo_core.config.options import driver
from halo_core.diagnosis import Thresholds, diagnose
from halo_core.diagnosis.history import History, points
from halo_core.errors import RunError
from halo_core.hookspecs import hookimpl
from halo_core.metrics import best_cycle
from halo_core.types import CycleReport

if TYPE_CHECKING:
    from halo_core.run.state import Run

CHAMPION = "champion"


@driver
class Gate:
    """Keep `champion/` pointing to the best adapter, and answer a significant regression.

    The best cycle is the one with the highest held-out pass rate, of equals the first. `champion/` is not
    there while that is the model before training.
    """

    on_regression: Literal["none", "reduce", "rollback", "stop"] = "rollback"
    """What follows a regression or a spike. `reduce`: the learning rate is multiplied by `cut` from then on.
    `rollback`: that, and the next cycle starts from the champion. `stop`: the run ends. `none`: nothing."""
    cut: Annotated[float, Field(gt=0, le=1)] = 0.5
    """What each of them multiplies the learning rate by."""
    min_lr: Annotated[float, Field(ge=0)] = 1e-7
    """The rate is not cut below this."""
    patience: Annotated[int, Field(ge=0)] = 0
    """End the run when the best of the last so many cycles is not significantly better than the best before
    them. 0: never."""

    @hookimpl
    def on_run_start(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Take up again what followed from the cycles that are there."""
        self._check(run)
        if history:
            self._answer(run, history, quiet=True)

    @hookimpl(wrapper=True)
    def lr_for_cycle(self, history: Sequence[CycleReport]) -> Generator[None, float, float]:
        """Cut the policy's rate once for each setback."""
        lr = yield
        cuts = len(setbacks(history)) if self.on_regression in ("reduce", "rollback") else 0
        return max(min(lr, self.min_lr), lr * self.cut**cuts)

    @hookimpl
    def on_cycle_end(self, run: Run, history: Sequence[CycleReport]) -> None:
        """Point `champion/` to the best adapter, and answer a regression."""
        self._answer(run, history)

    def _check(self, run: Run) -> None:
        if not run.heldout:
            raise RunError(
                "the gate compares held-out pass rates, and this run has no held-out prompts",
                hint="give some with --heldout, or leave the gate out",
            )

    def _answer(self, run: Run, history: Sequence[CycleReport], *, quiet: bool = False) -> None:
        champion = best_cycle(history) or 0
        point(run.directory / CHAMPION, run.ledger.adapter(champion) if champion else None)
        said = []
        if trouble := setback(history):
            said.append(trouble)
            if self.on_regression == "rollback":
                run.roll_back(champion)
                said.append(f"going back to the weights of cycle {champion}, at {self.cut:g} of the rate")
            elif self.on_regression == "reduce":
                said.append(f"going on at {self.cut:g} of the rate")
            elif self.on_regression == "stop":
                run.stop(said[0])
        if self.patience and self._stagnates(run, history, champion):
            run.stop(f"no significant improvement in {self.patience} cycles; the best is cycle {champion}")
            said.append(run.stop_reason)
        if said and not quiet:
            run.log("gate", "; ".join(said))

    def _stagnates(self, run: Run, history: Sequence[CycleReport], champion: int) -> bool:
        earlier = history[: -self.patience]
        if not earlier:
            return False
        before = best_cycle(earlier) or 0
        return champion == before or run.compare(before, champion).interval[0] <= 0


def setback(history: Sequence[CycleReport]) -> str:
    """Say why the last cycle's weights should not be gone on with; empty when nothing speaks against them.

    It is a regression, or the diagnosis of the run so far says to go back before it: a spike of the loss in a
    cycle that gained nothing, a number that is not finite.
    """
    last = history[-1]
    if (fall := History(history, Thresholds()).fall) and fall.interval:
        (best, _), (before, after), (low, high) = fall.cycles, fall.values, fall.interval
        return (
            f"cycle {last.cycle} is worse than cycle {best} by {100 * (before - after):.1f} points "
            f"({points(low)} to {points(high)})"
        )
    found = [each for each in diagnose(history) if each.action == "rollback" and each.cycle == last.cycle]
    return f"cycle {last.cycle} is lost: {found[0].evidence[0].text}" if found else ""


def setbacks(history: Sequence[CycleReport]) -> list[int]:
    """Return the cycles that were setbacks when they ended."""
    return [history[n].cycle for n in range(1, len(history)) if setback(history[: n + 1])]


def point(link: Path, target: Path | None) -> None:
    """Make `link` a relative symbolic link to `target` in one step; remove it when there is no target."""
    beside = link.with_name(f"{link.name}.partial")
    try:
        with suppress(FileNotFoundError):
            beside.unlink()
        if target is None:
            link.unlink(missing_ok=True)
            return
        beside.symlink_to(os.path.relpath(target, link.parent))
        beside.replace(link)
    except OSError as error:
        raise RunError(
            f"{link}: {error.strerror or error}", hint="make room, or remove what is there"
        ) from error
