"""Log-probabilities of completions under a reference model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from halo_core import Sample, TrainingContext

Reference = Literal["base", "previous"]
"""`base`: the model from before any training. `previous`: the weights from before this cycle's training."""


def reference_logprobs(
    samples: Sequence[Sample], context: TrainingContext, reference: Reference
) -> list[tuple[float, ...]]:
    """Return the log-probabilities of each sample's tokens. Call it before training."""
    completions = [sample.completion for sample in samples]
    if reference == "previous":
        return context.actor.logprobs(completions)
    with context.actor.reference("base"):
        return context.actor.logprobs(completions)
