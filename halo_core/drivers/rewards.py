"""The rewards that ship: three ways to turn the same verdict into a number.

Changing the reward never needs re-verifying: all of them read the verdict alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from halo_core.config.options import driver
from halo_core.drivers.base import Reward
from halo_core.types import Sample, Stage, Status

LADDER: Mapping[Stage, float] = {
    Stage.INVALID: 0.0,
    Stage.FLAWED: 0.3,
    Stage.UNTESTED: 0.5,
    Stage.CRASHED: 0.5,
    Stage.WRONG: 0.7,
    Stage.CORRECT: 1.0,
}
"""Syntax error, warnings, compiles, crashes, wrong output, right: the ladder of halo-forge's theory page."""


@driver
class Graduated(Reward):
    """A ladder from 0 (syntax error) over 0.3 (warnings), 0.5 (crashes) and 0.7 (wrong) to 1 (correct).

    As published, warnings are looked at before the program is run, so a correct program with one warning
    earns 0.3, less than a clean one that crashes. `monotone` drops that cap.
    """

    monotone: bool = False
    """Pay for the furthest stage whatever the warnings, so that more progress never pays less."""

    def reward(self, sample: Sample) -> float:
        """Return the rung's value, capped at 0.3 when there are warnings unless `monotone`."""
        value = LADDER[sample.verdict.stage]
        if sample.verdict.warnings and not self.monotone:
            return min(value, LADDER[Stage.FLAWED])
        return value


@driver
class Binary(Reward):
    """1 for a verdict of pass, 0 for a verdict of fail."""

    def reward(self, sample: Sample) -> float:
        """Return 1 or 0."""
        return float(sample.verdict.status is Status.PASS)


@driver
class Fraction(Reward):
    """The share of the prompt's checks that passed.

    Pays for programs that are right on some tests only; with few or weak tests that teaches guessing.
    """

    def reward(self, sample: Sample) -> float:
        """Return the verdict's score, 0 to 1."""
        return sample.verdict.score
