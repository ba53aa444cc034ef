"""The prospects of a training run, from a measurement of the model before it.

RAFT learns from completions that pass. If none does, or if nearly all do, it learns nothing, and the stages
that the completions reached name the cause.
"""

from __future__ import annotations

from dataclasses import dataclass

from halo_core.tables import count
from halo_core.types import EvalMetrics, Stage

_CUT_SHORT = 0.1
"""Share of truncated completions from which the token limit counts as a cause."""
_INVALID = 0.5
"""Share of completions at the first stage from which their form counts as the cause."""
_FEW = 0.05
"""Share of prompts with a pass below which RAFT learns from few prompts."""
_CEILING = 0.9
"""Share of prompts that always pass from which little is left to learn."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The number of completions that the run's reward and selector would choose, and of their prompts."""

    completions: int
    prompts: int


def readiness(metrics: EvalMetrics, tries: int, selection: Selection | None = None) -> list[str]:
    """Return lines for a person: whether RAFT can learn from prompts that a model was measured on.

    `metrics` are those of `tries` completions for each prompt. `selection` is what one cycle would train on; None: not
    known, then only completions that pass count.
    """
    if not metrics.samples:
        return ["no verdict is pass or fail: check the verifier first (halo audit)"]
    solved = round((1 - metrics.all_fail) * metrics.prompts)
    always = round(metrics.all_pass * metrics.prompts)
    verb = "has" if 1 in (solved, metrics.prompts) else "have"
    facts = f"{solved} of {count(metrics.prompts, 'prompt')} {verb} a pass among "
    facts += count(tries, "sample") + (f", {always} of them in every sample" if always else "")
    if selection is not None:
        facts += (
            f"; the selector would choose {count(selection.completions, 'completion')} "
            f"of {count(selection.prompts, 'prompt')}"
        )
    lines = [facts]
    if metrics.truncated >= _CUT_SHORT:
        within = f", {metrics.unfinished:.0%} within their reasoning" if metrics.unfinished else ""
        lines.append(f"{metrics.truncated:.0%} were cut short{within}: raise max_new_tokens first")
    usable = solved if selection is None else selection.prompts
    return [*lines, _conclusion(metrics, solved=solved, usable=usable)]


def _conclusion(metrics: EvalMetrics, *, solved: int, usable: int) -> str:
    if metrics.all_pass >= _CEILING:
        return "RAFT has little left to learn here: nearly every completion passes; use harder prompts"
    if not usable:
        return f"RAFT cannot learn from this yet: {_cause(metrics)}"
    if not solved:
        return f"RAFT would train on completions that do not pass: {_cause(metrics)}, or raise selector.threshold"
    if usable < _FEW * metrics.prompts:
        return f"RAFT would learn from few prompts: {_cause(metrics)}"
    return "RAFT can learn from this"


def _cause(metrics: EvalMetrics) -> str:
    """Return the most frequent obstacle, with advice."""
    invalid = metrics.stages.get(Stage.INVALID, 0) / metrics.samples
    if invalid >= _INVALID:
        return (
            f"{invalid:.0%} do not get past the first stage; name the form of the answer in the prompts or the system "
            "prompt, or train a start with halo sft"
        )
    stages = {stage: number for stage, number in metrics.stages.items() if stage != Stage.CORRECT}
    frequent = max(stages, key=lambda stage: stages[stage], default="")
    reached = f"{stages[frequent] / metrics.samples:.0%} end at stage {frequent!r}; " if frequent else ""
    return f"{reached}use easier prompts, a stronger model, or more samples per prompt"
