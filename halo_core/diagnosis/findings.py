"""The result of a diagnosis: findings, each with its cause and evidence."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Action = Literal["none", "rollback"]


class Severity(StrEnum):
    """The consequence of ignoring a finding, mildest first."""

    NOTICE = "notice"
    """Worth knowing; the run can continue as it is."""
    WARNING = "warning"
    """The run does not serve its purpose, or is about to stop doing so."""
    CRITICAL = "critical"
    """Further cycles are wasted until the cause is fixed."""

    @property
    def rank(self) -> int:
        """Position, 0 for `NOTICE`."""
        return tuple(Severity).index(self)


class Cause(StrEnum):
    """The cause of a problem, named after the part to change, not after the symptom."""

    DIVERGED = "diverged"
    """A loss, a gradient or a weight is no longer finite."""
    VERIFIER_ERRORS = "verifier-errors"
    """The verifier fails to reach verdicts."""
    STALE_SAMPLER = "stale-sampler"
    """The sampler does not use the trained weights."""
    UNCHECKED_SAMPLER = "unchecked-sampler"
    """It cannot be checked whether the sampler uses the trained weights."""
    NO_UPDATE = "no-update"
    """Training had no effect: no step, a learning rate of zero, or unchanged weights."""
    WARMUP = "warmup"
    """The cycle ends before the configured learning rate is reached."""
    WRONG_PAID = "wrong-paid"
    """Wrong answers are accepted: completions that do not pass are selected and trained on."""
    LEAKY_VERIFIER = "leaky-verifier"
    """The verifier passes completions of training prompts in ways that do not work on held-out prompts."""
    TRUNCATION = "truncation"
    """Completions reach the token limit."""
    LR_TOO_HIGH = "learning-rate-too-high"
    LR_TOO_LOW = "learning-rate-too-low"
    TOO_FEW_STEPS = "too-few-steps"
    """A cycle has too few optimizer steps to move the model."""
    NARROWING = "narrowing"
    """The completions lose diversity."""
    PROMPT_REUSE = "prompt-reuse"
    """The model memorises the training prompts."""
    PROMPTS_EXHAUSTED = "prompts-exhausted"
    """Most training prompts are always solved."""
    PROMPTS_TOO_HARD = "prompts-too-hard"
    """Most training prompts are never solved."""
    SPIKE = "spike"
    """The loss of one step jumped and the cycle's other steps look normal: a bad batch, or a learning rate at its
    limit."""
    REGRESSION = "regression"
    """The held-out pass rate fell, and no measurement explains it."""
    CEILING = "ceiling"
    """Little is left to gain on the held-out prompts."""
    POLICY_DRIFT = "policy-drift"
    """The policy went far from the one that sampled within a cycle."""
    EQUAL_GROUPS = "equal-groups"
    """Few prompts have completions with different rewards."""
    ENTROPY_COLLAPSE = "entropy-collapse"
    """The policy has become nearly deterministic."""
    LENGTH_GROWTH = "length-growth"
    """Completions become longer without passing more often."""
    REWARD_HACKING = "reward-hacking"
    """The policy earns reward with completions that do not pass."""
    FAILURES_SELECTED = "failures-selected"
    """Completions that do not pass are imitated, although enough of them pass."""
    PLATEAU = "plateau"
    """Training moves the model without improving it."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One measurement, or one comparison of two, that supports a cause."""

    signal: str
    """Name of the signal, as docs/doctor.md lists it."""
    text: str
    """The numbers as a clause, for a person."""
    cycles: tuple[int, ...] = ()
    """The cycles of the measurements, in order."""
    values: tuple[float, ...] = ()
    """The measured values."""
    interval: tuple[float, float] | None = None
    """Interval of the last value or, if two cycles are compared, of the last value minus the first. Its confidence is
    that which the rule requires: more than the option `confidence` if several cycles could have raised the signal."""
    threshold: float | None = None
    """The value of the option that was crossed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause with its evidence and the advice that follows."""

    cause: Cause
    severity: Severity
    cycle: int
    """The last cycle that shows the cause."""
    evidence: tuple[Evidence, ...]
    """The strongest first; never empty."""
    advice: str
    """The recommended change, in one sentence."""
    action: Action = "none"
    """The immediate action for a gate: `rollback` if training should not continue from the weights of `cycle`."""

    def __str__(self) -> str:
        seen = "; ".join(evidence.text for evidence in self.evidence)
        return f"{self.severity}: {self.cause} (cycle {self.cycle}): {seen}. {self.advice}"
