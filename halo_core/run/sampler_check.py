"""Proof, in each cycle, that training moved the model and that the sampler uses what was trained.

Before and after training the actor tells the log-probabilities of some completions of the cycle. They must
differ, and by how much is an estimate of KL(before || after): with d = log p_after - log p_before for tokens
that were sampled before, the mean of exp(d) - 1 - d, which is never negative (Schulman's k3 estimator, 2020).
Here d is at most log 10: without that bound a single token that became a thousand times likelier is all there is
to see. Where sampling was not at temperature 1 and from all tokens, it is that divergence on what was sampled.

After training the held-out completions come with the log-probabilities that the sampler saw. Those that the
trained weights give must be the same but for rounding, and a sampler with the weights from before is off by about as
much as training moved the cycle's own samples. So in float32 it may be off by a quarter of that, if this is well
above the rounding that cycle 0 measured, before any training; in 16 bits only gross
staleness is seen. Both are told by whole completions: the differences of their log p, absolute, over the tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import TYPE_CHECKING

from halo_core.errors import ModelError, TrainingError
from halo_core.types import Completion, CycleReport, Sample, TrainStats

if TYPE_CHECKING:
    from halo_core.model.actor import Actor

PROBES = 64
"""Completions that are looked at, taken from all over."""
TOLERANCE = {"torch.float32": 0.01}
"""How far the sampler may be off, nats per token, by the precision of the forward pass."""
_COARSE = 0.1
"""The same for precisions of 16 bits."""
_MOST = log(10)
_SHARE = 4
"""A sampler may be off by the shift of the training over this; that is believed where it is as many times the noise."""


class Canary:
    """Log-probabilities from before a cycle's training."""

    def __init__(self, actor: Actor, samples: Sequence[Sample]) -> None:
        self._probes = _probes([sample.completion for sample in samples])
        self._before = actor.logprobs(self._probes)

    def measured(self, actor: Actor, stats: TrainStats) -> TrainStats:
        """Return `stats` with KL(before || after) and the shift, in nats per token, where samples carry token ids.

        Raises a `TrainingError` when not one log-probability has changed.
        """
        after = actor.logprobs(self._probes)
        changes = [
            new - old
            for row, before in zip(after, self._before, strict=True)
            for new, old in zip(row, before, strict=True)
        ]
        if not changes:
            return stats
        if not any(changes):
            raise TrainingError(
                f"training changed no log-probability of {len(self._probes)} completions",
                hint="the learning rate may be too small, or what is trained is not what the model uses",
            )
        bounded = [min(d, _MOST) for d in changes]
        sums = (abs(sum(row) - sum(old)) for row, old in zip(after, self._before, strict=True))
        kl = sum(exp(d) - 1 - d for d in bounded) / len(bounded)
        return replace(stats, kl=kl, shift=sum(sums) / len(changes))


def check_sampler(
    actor: Actor,
    samples: Sequence[Sample],
    trained: TrainStats | None = None,
    history: Sequence[CycleReport] = (),
) -> float | None:
    """Return how far the sampler's log-probabilities are from the actor's, in nats per token.

    None when the generator records none. Raises a `ModelError` when that is more than rounding, or than a
    sampler is off that does not have the weights that were just `trained`.
    """
    probes = _probes([sample.completion for sample in samples if sample.completion.logprob is not None])
    if not probes:
        return None
    rows = actor.logprobs(probes)
    off = sum(abs(sum(row) - (it.logprob or 0.0)) for row, it in zip(rows, probes, strict=True))
    mean = off / sum(len(row) for row in rows)
    limit = _tolerance(actor, trained, history)
    if not mean <= limit:
        raise ModelError(
            f"the sampler does not use the trained weights: its log-probabilities are off by {mean:.3g} nats "
            f"per token, more than {limit:g}",
            hint="a generator must sample from the actor as it is now, and record log p at temperature 1",
        )
    return mean


def _tolerance(actor: Actor, trained: TrainStats | None, history: Sequence[CycleReport]) -> float:
    known = TOLERANCE.get(str(actor.dtype))
    if (
        known is None
    ):  # folding an adapter into weights of 16 bits rounds, too, which cycle 0 knows nothing of
        return _COARSE
    noise, shift = history[0].canary if history else None, trained.shift if trained else None
    if noise is None or shift is None or shift <= _SHARE**2 * noise:
        return known
    return min(known, shift / _SHARE)


def _probes(completions: Sequence[Completion]) -> list[Completion]:
    known = [it for it in completions if it.token_ids and it.prompt_token_ids]
    if len(known) <= PROBES:
        return known
    return [known[n * len(known) // PROBES] for n in range(PROBES)]
