"""A selector: statistical rejection sampling (Liu et al. 2023, arXiv 2309.06657)."""

import math
import random
from typing import Annotated

from pydantic import Field

from halo_core import Selector, derive_seed, driver


@driver
class RSO(Selector):
    """Draw `n` completions of each prompt with probability proportional to exp(reward / beta), without replacement.

    They are samples of the policy that maximises reward - beta * KL(policy || sampled model). Accepting candidates
    one at a time with probability exp((reward - best reward) / beta) has the same result. The n highest values of
    reward / beta plus Gumbel noise are such a draw (Vieira 2014).
    """

    n: Annotated[int, Field(ge=1)] = 2
    """Completions of a prompt to draw."""
    beta: Annotated[float, Field(gt=0)] = 0.5
    """The smaller, the closer to the best completions; the larger, the closer to a random choice."""

    def select(self, samples, context):
        """Return the drawn samples, ordered by prompt and index."""
        prompts = {}
        for sample in samples:
            prompts.setdefault(sample.prompt.id, []).append((self._value(sample, context.seed), sample))
        drawn = [
            sample
            for group in prompts.values()
            for _, sample in sorted(group, key=lambda pair: pair[0], reverse=True)[: self.n]
        ]
        return sorted(drawn, key=lambda s: (s.prompt.id, s.completion.index))

    def _value(self, sample, seed):
        """Return the value to rank by; the noise belongs to the completion, whatever else was sampled."""
        key = derive_seed(seed, sample.prompt.id, sample.completion.index)
        noise = -math.log(-math.log(random.Random(key).uniform(1e-12, 1 - 1e-12)))
        return sample.reward / self.beta + noise
