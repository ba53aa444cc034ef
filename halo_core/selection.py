"""The parts that selectors share: solved prompts, and ties.

@driver
class Best(SelectionOptions, Selector):
    \"\"\"Choose the best completion of each prompt.\"\"\"

    def select(self, samples, context):
        chosen = []
        for group in by_prompt(samples):
            if factor := self.factor(group):
                best = max(group, key=lambda s: (s.reward, tie_key(s, context.seed)))
                chosen.append(replace(best, weight=factor))
        return chosen
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from halo_core.config.options import driver
from halo_core.seeds import derive_seed
from halo_core.types import Sample, Status

__all__ = ["SelectionOptions", "by_prompt", "tie_key"]


@driver
class SelectionOptions:
    """Options of every selector; selector drivers inherit from this class."""

    solved_at: Annotated[float, Field(gt=0, le=1)] | None = None
    """A prompt is solved if at least this share of its completions passes. Training on solved prompts narrows a model
    (arXiv 2506.01347, 2606.15455). none: no prompt counts as solved."""
    solved_weight: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Factor of the weights of solved prompts; 0 leaves them out."""

    def factor(self, group: Sequence[Sample]) -> float:
        """Return the factor of the weights of a prompt with the samples `group`: 1 unless it is solved."""
        passed = sum(sample.verdict.status is Status.PASS for sample in group)
        solved = self.solved_at is not None and passed >= self.solved_at * len(group)
        return self.solved_weight if solved else 1.0


def by_prompt(samples: Iterable[Sample]) -> list[list[Sample]]:
    """Return the samples of each prompt, ordered by the prompt's id and by index."""
    prompts: dict[str, list[Sample]] = {}
    for sample in sorted(samples, key=lambda s: (s.prompt.id, s.completion.index)):
        prompts.setdefault(sample.prompt.id, []).append(sample)
    return list(prompts.values())


def tie_key(sample: Sample, seed: int) -> int:
    """Return a random number of this completion, to break ties with.

    It depends on `seed`, the prompt's id and the completion's index alone. So another threshold, or another number of
    samples, changes only the choices that it must; `halo reselect` compares such choices.
    """
    return derive_seed(seed, sample.prompt.id, sample.completion.index)
