"""Selectors of completions to imitate, for trainer `sft`. Every weight is 1."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from halo_core import Sample, Status, driver
from halo_core.selection import tie_key
from halo_trainers.by_prompt import ByPrompt, reward_of


@driver
class Imitation(ByPrompt):
    """Chooses completions to imitate."""

    truncated: bool = False
    """Also choose completions that the token limit cut short."""

    def usable(self, samples: Sequence[Sample]) -> list[Sample]:
        """Return the samples that may be imitated."""
        return [s for s in samples if self.truncated or s.completion.finish_reason == "stop"]


@driver
class All(Imitation):
    """Choose every completion with a reward: distillation of whatever was sampled."""

    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return all usable samples."""
        return self.usable(samples)


@driver
class BestOfN(Imitation):
    """Choose the `n` best completions of each prompt, of those with a reward of at least `threshold`."""

    n: Annotated[int, Field(ge=1)] = 1
    """Maximum number of completions of a prompt."""
    threshold: float = 0.5
    """Lowest reward that is chosen."""

    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return the best first; equal rewards in random order."""
        good = [sample for sample in self.usable(samples) if reward_of(sample) >= self.threshold]
        return sorted(good, key=lambda s: (-reward_of(s), tie_key(s, seed)))[: self.n]


@driver
class STaR(Imitation):
    """Choose what is right (Zelikman et al. 2022, arXiv 2203.14465): the completions with a verdict of pass.

    The paper trains the original model again in each cycle: set `start_from: base`.
    """

    most: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of completions of a prompt, drawn at random. none: all."""

    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return the passing completions."""
        right = [sample for sample in self.usable(samples) if sample.verdict.status is Status.PASS]
        return sorted(right, key=lambda s: tie_key(s, seed))[: self.most]


@driver
class RSO(Imitation):
    """Statistical rejection sampling (Liu et al. 2023, arXiv 2309.06657).

    Draw `n` completions of each prompt without replacement, with probability proportional to exp(reward / beta). They
    are samples of the policy that maximises reward - beta * KL(policy || sampled model). Accepting candidates one at a
    time with probability exp((reward - best reward) / beta) has the same result. The draw is the top n of reward / beta
    plus Gumbel noise (Kool et al. 2019, arXiv 1903.06059).
    """

    n: Annotated[int, Field(ge=1)] = 2
    """Number of completions of a prompt."""
    beta: Annotated[float, Field(gt=0)] = 0.5
    """The smaller, the closer to the best completions; the larger, the closer to a random choice."""

    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return the drawn samples."""
        ranked = sorted(self.usable(samples), key=lambda s: reward_of(s) / self.beta + _gumbel(s, seed))
        return ranked[-self.n :]


def _gumbel(sample: Sample, seed: int) -> float:
    uniform = random.Random(tie_key(sample, seed)).uniform(1e-12, 1 - 1e-12)
    return -math.log(-math.log(uniform))
