"""Proof, in each cycle, that training moved the model and that the sampler uses the trained weights.

Before and after training, the actor computes the log-probabilities of some completions of the cycle. They must
differ, and the differences estimate KL(before || after): with d = log p_after - log p_before for tokens that were
sampled before, the mean of exp(d) - 1 - d, which is never negative (Schulman's k3 estimator, 2020). Here d is at most
log 10: without that bound, a single token that became a thousand times likelier would dominate the estimate. If
sampling was not at temperature 1 and from all tokens, the estimate is that divergence on the tokens that were sampled.

After training, the held-out completions come with the log-probabilities that the sampler computed. The trained
weights must give the same except for rounding; a sampler with the weights from before is off by about as much as
training moved the cycle's own samples. So in float32 the sampler may be off by a quarter of that, provided it is well
above the rounding that cycle 0 measured before any training; in 16 bits only gross staleness can be detected. Both
compare whole completions: the absolute differences of their log p, summed and divided by the number of tokens. Tokens
that the model did not write (`Completion.loss_mask`) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import TYPE_CHECKING

from halo_core.errors import ModelError, TrainingError
from halo_core.types import Completion, CycleReport, Sample, TrainStats

if TYPE_CHECKING:
    from halo_core.model.contexts import Actor

PROBES = 64
"""Completions that are compared, evenly spaced over all of them."""
TOLERANCE = {"torch.float32": 0.01}
"""Largest accepted error of the sampler, nats per token, by the precision of the forward pass."""
_COARSE_TOLERANCE = 0.1
"""The same for precisions of 16 bits."""
_MAX_CHANGE = log(10)
_SHARE = 4
"""The tolerance is the training's shift divided by this, if the shift exceeds `_SHARE` squared times the noise."""


class LogprobProbe:
    """Log-probabilities of some of a cycle's completions, computed before its training."""

    def __init__(self, actor: Actor, samples: Sequence[Sample]) -> None:
        self._probes = _probes([sample.completion for sample in samples])
        self._before = _logprobs(actor, self._probes)

    def measure(self, actor: Actor, stats: TrainStats) -> TrainStats:
        """Return `stats` with KL(before || after) and the shift, in nats per token, if samples carry token ids.

        Raises a `TrainingError` if no log-probability changed at all.
        """
        after = _logprobs(actor, self._probes)
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
                hint="the learning rate may be too small, or the model may not use the trained weights",
            )
        bounded = [min(d, _MAX_CHANGE) for d in changes]
        sums = (abs(sum(row) - sum(old)) for row, old in zip(after, self._before, strict=True))
        kl = sum(exp(d) - 1 - d for d in bounded) / len(bounded)
        return replace(stats, kl=kl, logprob_shift=sum(sums) / len(changes))


def check_sampler(
    actor: Actor,
    samples: Sequence[Sample],
    trained: TrainStats | None = None,
    history: Sequence[CycleReport] = (),
) -> float | None:
    """Return the distance of the sampler's log-probabilities from the actor's, in nats per token.

    None if the generator records none. Raises a `ModelError` if the distance is more than rounding explains, or as
    large as that of a sampler without the weights that were just `trained`.
    """
    probes = _probes([sample.completion for sample in samples if sample.completion.logprobs is not None])
    if not probes:
        return None
    rows = _logprobs(actor, probes)
    off = sum(abs(sum(row) - (probe.logprob or 0.0)) for row, probe in zip(rows, probes, strict=True))
    mean = off / sum(len(row) for row in rows)
    limit = _tolerance(actor, trained, history)
    if not mean <= limit:
        raise ModelError(
            f"the sampler does not use the trained weights: its log-probabilities are off by {mean:.3g} nats "
            f"per token, more than {limit:g}",
            hint="a generator must sample from the actor's current weights, and record log p at temperature 1",
        )
    return mean


def _tolerance(actor: Actor, trained: TrainStats | None, history: Sequence[CycleReport]) -> float:
    known = TOLERANCE.get(str(actor.dtype))
    if known is None:  # merging an adapter into 16-bit weights rounds too, which cycle 0 cannot measure
        return _COARSE_TOLERANCE
    noise = history[0].sampler_error if history else None
    shift = trained.logprob_shift if trained else None
    if noise is None or shift is None or shift <= _SHARE**2 * noise:
        return known
    return min(known, shift / _SHARE)


def _logprobs(actor: Actor, probes: Sequence[Completion]) -> list[list[float]]:
    """Return the log-probabilities of the tokens that the model wrote, for each completion."""
    rows = actor.logprobs(probes)
    return [
        list(row)
        if probe.loss_mask is None
        else [value for value, own in zip(row, probe.loss_mask, strict=True) if own]
        for row, probe in zip(rows, probes, strict=True)
    ]


def _probes(completions: Sequence[Completion]) -> list[Completion]:
    usable = [completion for completion in completions if completion.written and completion.prompt_token_ids]
    if len(usable) <= PROBES:
        return usable
    return [usable[n * len(usable) // PROBES] for n in range(PROBES)]
