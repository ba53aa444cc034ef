"""The base of this package's selectors: a choice within each prompt, with one treatment of solved prompts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from halo_core import Sample, SelectionContext, Selector, driver
from halo_core.selection import SelectionOptions, by_prompt


@driver
class ByPrompt(SelectionOptions, Selector):
    """Chooses among the completions of each prompt, whatever the other prompts have."""

    @abstractmethod
    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return the chosen samples of one prompt. `samples` has at least one, ordered by index."""

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        """Return the chosen samples, prompt by prompt in the order of their ids."""
        chosen: list[Sample] = []
        for group in by_prompt(samples):
            if factor := self.factor(group):
                found = self.choose(group, context.seed)
                chosen += [replace(s, weight=s.weight * factor) for s in found] if factor < 1 else found
        return chosen


def reward_of(sample: Sample) -> float:
    """Return the reward, which every sample has that a selector gets."""
    assert sample.reward is not None
    return sample.reward
