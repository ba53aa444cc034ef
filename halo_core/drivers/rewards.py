"""The rewards of the core: four ways to turn a verdict into a number.

They depend on the verdict alone, so another reward never requires verifying again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver
from halo_core.drivers.base import Reward
from halo_core.errors import ConfigError, did_you_mean
from halo_core.types import Sample, Stage, Status, Verdict

LADDER: Mapping[Stage, float] = {
    Stage.INVALID: 0.0,
    Stage.FLAWED: 0.3,
    Stage.UNTESTED: 0.5,
    Stage.CRASHED: 0.5,
    Stage.WRONG: 0.7,
    Stage.CORRECT: 1.0,
}
"""Syntax error, warnings, compiles, crashes, wrong output, correct: the ladder of halo-forge's theory page."""


@driver
class Graduated(Reward):
    """A ladder: 0 (syntax error), 0.3 (warnings), 0.5 (crashes), 0.7 (wrong), 1 (correct).

    As published, warnings are checked before the program is run, so a correct program with one warning gets 0.3, less
    than a clean one that crashes. `monotone` removes that cap.
    """

    monotone: bool = False
    """Ignore warnings and reward the furthest stage, so that more progress never lowers the reward."""

    def reward(self, sample: Sample) -> float:
        """Return the value of the verdict's stage; unless `monotone`, at most 0.3 if there are warnings."""
        value = LADDER[sample.verdict.stage]
        if sample.verdict.warnings and not self.monotone:
            return min(value, LADDER[Stage.FLAWED])
        return value

    def explain(self, sample: Sample) -> str:
        """Return that warnings lowered the reward, if they did."""
        lowered = self.reward(sample) < LADDER[sample.verdict.stage]
        return f"at most {LADDER[Stage.FLAWED]:g} with warnings" if lowered else ""


@driver
class Binary(Reward):
    """1 for a verdict of pass, 0 for a verdict of fail."""

    def reward(self, sample: Sample) -> float:
        """Return 1 or 0."""
        return float(sample.verdict.status is Status.PASS)


@driver
class Fraction(Reward):
    """The share of the prompt's checks that passed.

    It rewards programs that pass only some tests; with few or weak tests that teaches guessing.
    """

    def reward(self, sample: Sample) -> float:
        """Return the verdict's score, 0 to 1."""
        return sample.verdict.score


@driver
class Weighted(Reward):
    """A weighted sum of the verdict's signals: the numbers that a verifier measured.

    The verifier `all` has the signals of its parts, such as "gcc.score". Every verdict also has `score` (share of the
    checks that passed), `passed`, `valid` (1 or 0 each) and `warnings` (their number); a signal of the verifier with
    one of these names takes precedence.
    """

    weights: Annotated[dict[str, float], Field(min_length=1)]
    """Weight of each signal, by name; negative for a penalty."""
    missing: float | None = None
    """Value of a signal that a verdict lacks; none: an error."""

    def reward(self, sample: Sample) -> float:
        """Return the sum. Raises a `ConfigError` if a signal is missing."""
        signals = {**_fields(sample.verdict), **sample.verdict.signals}
        for name in self.weights.keys() - signals.keys() if self.missing is None else ():
            raise ConfigError(
                f"reward 'weighted': a verdict on prompt {sample.prompt.id!r} has no signal {name!r}",
                hint=f"{did_you_mean(name, signals)}; for signals that some verdicts lack, set its option `missing`",
            )
        return sum(weight * signals.get(name, self.missing or 0.0) for name, weight in self.weights.items())


def _fields(verdict: Verdict) -> dict[str, float]:
    """Return the numbers that every verdict has."""
    return {
        "score": verdict.score,
        "passed": float(verdict.status is Status.PASS),
        "valid": float(verdict.valid),
        "warnings": float(verdict.warnings),
    }
