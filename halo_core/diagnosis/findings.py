"""What a diagnosis says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Action = Literal["none", "rollback"]


class Severity(StrEnum):
    """How much depends on it, least first."""

    NOTICE = "notice"
    """Worth knowing; the run may be left alone."""
    WARNING = "warning"
    """The run is not doing what it is for, or is about to stop doing it."""
    CRITICAL = "critical"
    """What the run does from here on is lost until this is mended."""

    @property
    def rank(self) -> int:
        """Position, 0 for `NOTICE`."""
        return tuple(Severity).index(self)


class Cause(StrEnum):
    """What is to be changed. Named by where the remedy lies, not by what was seen."""

    DIVERGED = "diverged"
    """A loss, a gradient or a weight stopped being finite."""
    VERIFIER_ERRORS = "verifier-errors"
    """The verifier fails to judge."""
    STALE_SAMPLER = "stale-sampler"
    """What samples is not what was trained."""
    NO_UPDATE = "no-update"
    """Nothing was trained: no step, a rate of zero, weights that did not change."""
    WARMUP = "warmup"
    """The cycle ends before the rate that was set is reached."""
    WRONG_PAID = "wrong-paid"
    """Programs that do not pass are selected and imitated."""
    LEAKY_VERIFIER = "leaky-verifier"
    """The training prompts' verifier passes what the held-out prompts' does not."""
    TRUNCATION = "truncation"
    """Completions run into the token limit."""
    LR_TOO_HIGH = "learning-rate-too-high"
    LR_TOO_LOW = "learning-rate-too-low"
    TOO_FEW_STEPS = "too-few-steps"
    """A cycle has too few optimizer steps to move the model."""
    NARROWING = "narrowing"
    """Fewer and fewer ways of answering are left."""
    PROMPT_REUSE = "prompt-reuse"
    """The training prompts are learnt by heart."""
    PROMPTS_EXHAUSTED = "prompts-exhausted"
    """Most training prompts are always solved."""
    PROMPTS_TOO_HARD = "prompts-too-hard"
    """Most training prompts are never solved."""
    SPIKE = "spike"
    """The loss leapt within a cycle whose other steps are in order: a bad batch, or a rate at its limit."""
    REGRESSION = "regression"
    """The held-out rate fell, and nothing that was measured says why."""
    CEILING = "ceiling"
    """Nothing is left to gain on the held-out prompts."""
    PLATEAU = "plateau"
    """Training moves the model, and it gets no better."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement, or one comparison of two, that speaks for a cause."""

    signal: str
    """Name of the rule: what docs/doctor.md lists."""
    text: str
    """The numbers in a clause, for a person."""
    cycles: tuple[int, ...] = ()
    """Where they were measured, in order."""
    values: tuple[float, ...] = ()
    """What was measured there."""
    interval: tuple[float, float] | None = None
    """Of the last value, or of the last less the first where two cycles are compared. At the confidence that
    the rule demanded, which is more than the options' where several cycles could have raised it."""
    threshold: float | None = None
    """The option that was passed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause, and why it is believed to be one."""

    cause: Cause
    severity: Severity
    cycle: int
    """The last cycle that shows it."""
    evidence: tuple[Evidence, ...]
    """The strongest first; never empty."""
    advice: str
    """What to do, in a sentence."""
    action: Action = "none"
    """What a gate should do at once: `rollback` where the weights of `cycle` should not be gone on with."""

    def __str__(self) -> str:
        seen = "; ".join(each.text for each in self.evidence)
        return f"{self.severity}: {self.cause} (cycle {self.cycle}): {seen}. {self.advice}"
