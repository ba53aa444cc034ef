"""A selector: the n best completions of each prompt."""

from typing import Annotated

from pydantic import Field

from halo_core import Selector, derive_seed, driver


@driver
class BestOfN(Selector):
    """Keep the `n` best completions of each prompt, of those with a reward of at least `threshold`."""

    n: Annotated[int, Field(ge=1)] = 1
    """Completions of a prompt to keep at most."""
    threshold: float = 0.5
    """Lowest reward that is kept."""

    def select(self, samples, context):
        """Return the best first, prompt by prompt; equal rewards are ordered by the seed."""

        def order(sample):
            tie = derive_seed(context.seed, sample.prompt.id, sample.completion.index)
            return sample.prompt.id, -sample.reward, tie

        kept, taken = [], {}
        for sample in sorted(samples, key=order):
            number = taken.get(sample.prompt.id, 0)
            if sample.reward >= self.threshold and number < self.n:
                kept.append(sample)
                taken[sample.prompt.id] = number + 1
        return kept
