"""Selectors that compare the completions of a prompt: advantages for `grpo`, pairs for `dpo`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Annotated, Literal

from pydantic import Field

from halo_core import Sample, driver
from halo_core.selection import tie_key
from halo_trainers.by_prompt import ByPrompt, reward_of

_EPSILON = 1e-4
"""Added to the standard deviation, as in TRL."""


@driver
class Groups(ByPrompt):
    """Weight each completion by its advantage over the other completions of its prompt, for trainer `grpo`.

    Prompts whose rewards are all equal are left out: their advantages are 0.
    """

    baseline: Literal["mean", "leave_one_out"] = "mean"
    """`mean`: the mean reward of the prompt (GRPO). `leave_one_out`: the mean of its other completions (RLOO)."""
    scale: Literal["std", "none"] = "std"
    """`std`: divide by the standard deviation of the prompt's rewards (GRPO), which favours easy and hard prompts.
    `none`: do not (Dr. GRPO, RLOO)."""

    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return every sample, unless all rewards are equal."""
        rewards = [reward_of(sample) for sample in samples]
        if len(set(rewards)) < 2:
            return []
        mean = statistics.fmean(rewards)
        factor = 1.0 if self.baseline == "mean" else len(rewards) / (len(rewards) - 1)
        if self.scale == "std":
            factor /= statistics.stdev(rewards) + _EPSILON
        return [
            replace(sample, weight=(reward - mean) * factor)
            for sample, reward in zip(samples, rewards, strict=True)
        ]


@driver
class Pairs(ByPrompt):
    """Select pairs of completions of one prompt, the better one with weight 1 and the worse one with -1, for `dpo`.

    The pairs with the largest difference come first, and a completion is in one pair at most. The k-th completion of
    weight 1 of a prompt and its k-th of weight -1 are a pair.
    """

    by: Literal["reward", "stage"] = "reward"
    """`reward`: compare rewards. `stage`: compare the stages of the verdicts, whatever the reward."""
    margin: Annotated[float, Field(ge=0)] = 0.0
    """The difference of a pair exceeds this: of rewards, or of stages counted in steps."""
    most: Annotated[int, Field(ge=1)] = 1
    """Maximum number of pairs of a prompt."""
    max_length_ratio: Annotated[float, Field(ge=1)] | None = None
    """Maximum length in tokens of the longer completion of a pair over that of the shorter one, so that length is not
    what is learned. none: any."""

    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return the pairs in turn, the better completion first."""
        candidates = sorted(
            (pair for pair in product(samples, samples) if self._fit(*pair)),
            key=lambda pair: (-self._difference(*pair), tie_key(pair[0], seed), tie_key(pair[1], seed)),
        )
        taken: set[int] = set()
        pairs: list[Sample] = []
        for better, worse in candidates:
            indices = {better.completion.index, worse.completion.index}
            if len(pairs) < 2 * self.most and not indices & taken:
                taken |= indices
                pairs += [replace(better, weight=1.0), replace(worse, weight=-1.0)]
        return pairs

    def _difference(self, better: Sample, worse: Sample) -> float:
        if self.by == "stage":
            return better.verdict.stage.rank - worse.verdict.stage.rank
        return reward_of(better) - reward_of(worse)

    def _fit(self, better: Sample, worse: Sample) -> bool:
        lengths = sorted(len(s.completion.token_ids) or len(s.completion.text) for s in (better, worse))
        short_enough = self.max_length_ratio is None or lengths[1] <= self.max_length_ratio * lengths[0]
        return self._difference(better, worse) > self.margin and short_enough
