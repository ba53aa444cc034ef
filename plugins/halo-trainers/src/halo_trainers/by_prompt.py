"""The base of this package's selectors: a choice within each prompt, with one treatment of solved prompts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from halo_core import Sample, SelectionContext, Selector, Status, derive_seed, driver


@driver
class ByPrompt(Selector):
    """Chooses among the completions of each prompt, whatever the other prompts have."""

    solved_at: Annotated[float, Field(gt=0, le=1)] | None = None
    """A prompt is solved if at least this share of its completions passes. Training on solved prompts narrows a model
    (arXiv 2506.01347, 2606.15455). none: no prompt counts as solved."""
    solved_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Factor of the weights of solved prompts; 0 leaves them out."""

    @abstractmethod
    def choose(self, samples: Sequence[Sample], seed: int) -> Sequence[Sample]:
        """Return the chosen samples of one prompt. `samples` has at least one, ordered by index."""

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        """Return the chosen samples, prompt by prompt in the order of their ids."""
        prompts: dict[str, list[Sample]] = {}
        for sample in sorted(samples, key=lambda s: (s.prompt.id, s.completion.index)):
            prompts.setdefault(sample.prompt.id, []).append(sample)
        chosen: list[Sample] = []
        for group in prompts.values():
            factor = self.solved_weight if self._is_solved(group) else 1.0
            if factor:
                found = self.choose(group, context.seed)
                chosen += [replace(s, weight=s.weight * factor) for s in found] if factor < 1 else found
        return chosen

    def _is_solved(self, group: Sequence[Sample]) -> bool:
        passed = sum(sample.verdict.status is Status.PASS for sample in group)
        return self.solved_at is not None and passed >= self.solved_at * len(group)


def reward_of(sample: Sample) -> float:
    """Return the reward, which every sample has that a selector gets."""
    assert sample.reward is not None
    return sample.reward


def tie_key(sample: Sample, seed: int) -> int:
    """Return a random number of this completion, whatever else was sampled and whatever the options."""
    return derive_seed(seed, sample.prompt.id, sample.completion.index)
