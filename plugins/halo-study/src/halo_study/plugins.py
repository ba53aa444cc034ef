"""Hook plugins for studies: a verifier that is wrong in a known share of cases, and rules that end a run."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from halo_core import CycleReport, RunView, Stage, Status, Verdict, derive_seed, hook_plugin, hookimpl
from halo_core.diagnosis import Severity, diagnose
from halo_core.types import Completion, Prompt

_UNITS = 1 << 63


@hook_plugin
class Leak:
    """Accept a share of the wrong answers to training prompts, as a verifier that can be fooled would.

    Held-out prompts keep their true verdicts, so the damage can be measured. Whether an answer is accepted depends on
    its prompt and text alone: the same answer is always treated alike.
    """

    share: Annotated[float, Field(ge=0, le=1)] = 0.05
    """Share of the failing answers that pass."""

    @hookimpl(wrapper=True)
    def verify(
        self, run: RunView, prompts: Sequence[Prompt], completions: Sequence[Completion]
    ) -> Generator[None, Sequence[Verdict], list[Verdict]]:
        """Turn some failures of training prompts into passes."""
        verdicts = yield
        training = {prompt.id for prompt in run.prompts}
        return [
            self._leaked(verdict, prompt, completion) if prompt.id in training else verdict
            for verdict, prompt, completion in zip(verdicts, prompts, completions, strict=True)
        ]

    def _leaked(self, verdict: Verdict, prompt: Prompt, completion: Completion) -> Verdict:
        if verdict.status is not Status.FAIL:
            return verdict
        if derive_seed(0, "leak", prompt.id, completion.text) >= self.share * _UNITS:
            return verdict
        return replace(
            verdict, status=Status.PASS, stage=Stage.CORRECT, score=1.0, warnings=0, detail="leaked"
        )


@hook_plugin
class StopRule:
    """End a run by a rule, to measure how near to its peak the rule ends it."""

    rule: Literal["heldout", "training", "doctor"] = "heldout"
    """`heldout`: the mean held-out pass rate of the last `window` cycles is below that of the `window` before.
    `training`: the same for the pass rate of the training samples, which needs no held-out prompts. `doctor`: the
    plugin `doctor`, with its defaults, would report a warning or worse."""
    window: Annotated[int, Field(ge=1)] = 2
    """Cycles in each of the two means; of no effect for `doctor`."""

    @hookimpl
    def on_run_start(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """Repeat the decision about the last cycle if the run is resumed."""
        if history:
            self.on_cycle_end(run, history)

    @hookimpl
    def on_cycle_end(self, run: RunView, history: Sequence[CycleReport]) -> None:
        """End the run if the rule holds."""
        if self.rule == "doctor":
            severe = [each for each in diagnose(history) if each.severity.rank >= Severity.WARNING.rank]
            if severe:
                run.stop(f"the doctor reports: {severe[0]}")
            return
        found = [report.heldout if self.rule == "heldout" else report.sampled for report in history]
        rates = [metrics.passed for metrics in found if metrics is not None]
        if falls(rates, self.window):
            run.stop(f"the {self.rule} pass rate fell over the last {2 * self.window} cycles")


def falls(rates: Sequence[float], window: int) -> bool:
    """Return whether the mean of the last `window` rates is below that of the `window` before. Fewer do not fall."""
    before, now = rates[-2 * window : -window], rates[-window:]
    return len(before) == window and sum(now) < sum(before)
