"""A trainer: the clipped policy gradient of GRPO (Shao et al. 2024, arXiv 2402.03300), without its KL term."""

from typing import Annotated

from pydantic import Field

from halo_core import Trainer, driver
from halo_core.training import Example, Loss, TrainingOptions, fit


@driver
class GRPO(TrainingOptions, Trainer):
    """Raise the probability of completions with a positive advantage, and lower that of the others.

    The weight of a sample is its advantage A. With the ratio r of a token's probability to that at sampling, the loss
    of a completion is the mean over its tokens of -min(r * A, clip(r, 1 - clip, 1 + clip) * A), and the loss of a step
    is the mean over its completions.
    """

    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Ratios beyond 1 - `clip` or 1 + `clip` carry no gradient that would move them further."""
    epochs: Annotated[int, Field(ge=1)] = 2
    """Passes over the selected completions; in the first step of the first one, every ratio is 1."""

    def train(self, samples, context):
        """Train on every sample; see `Trainer.train`."""
        units = [(Example.of(sample, sampler=sample.completion.logprobs),) for sample in samples]
        return fit(units, self.loss, self, context, per="sequence", entropies=True)

    def loss(self, batch, logprobs):
        """Return the loss summed over the completions, with the usual statistics."""
        advantages = batch.by_token(batch.weights)
        ratios = (logprobs - batch.columns["sampler"]).exp()
        clipped = ratios.clamp(1 - self.clip, 1 + self.clip)
        gains = (ratios * advantages).minimum(clipped * advantages)
        metrics = {
            "ratio": ratios,
            "clipped": (gains < ratios * advantages).float(),
            "entropy": batch.entropies,
        }
        return Loss(-batch.means(gains).sum(), metrics)
