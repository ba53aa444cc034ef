"""Proof, in each cycle, that training moved the model and that the sampler uses the trained weights.

The log-probabilities of some completions of the cycle, before and after training, must differ, and the differences
estimate KL(before || after): with d = log p_after - log p_before for tokens that were
sampled before, the mean of exp(d) - 1 - d, which is never negative (Schulman's k3 estimator, 2020). Here d is at most
log 10: without that bound, a single token that became a thousand times likelier would dominate the estimate. If
sampling was not at temperature 1 and from all tokens, the estimate is that divergence on the tokens that were sampled.

The log-probabilities before training are those that the sampler computed. The actor computes a few of them again: its
own must change, and where they differ from the sampler's by more than rounding, it computes all of them.

After training, the held-out completions come with the log-probabilities that the sampler computed. The trained
weights must give the same except for rounding; a sampler with the weights from before is off by about as much as
training moved the cycle's own samples. So in float32 the sampler may be off by a quarter of that, provided it is well
above the rounding that cycle 0 measured before any training. In 16 bits the rounding is that of earlier trained
cycles; in the first of them, with an adapter, the sampler must not be nearer to the base model than to the trained
one. Both compare whole completions: the absolute differences of their log p, summed and divided by the number of
tokens. Tokens that the model did not write (`Completion.loss_mask`) are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, inf, log
from typing import TYPE_CHECKING

from halo_core.diagnosis.measures import PROOF, sampler_is_proved
from halo_core.errors import ModelError, TrainingError
from halo_core.tables import count
from halo_core.types import Completion, CycleReport, Sample, TrainStats

if TYPE_CHECKING:
    from halo_core.model.contexts import Actor

__all__ = ["check_sampler"]

PROBES = 64
"""Completions that are compared at most, evenly spaced over all of them."""
_FEWEST, _TOKENS = 16, 2048
"""With more than 16 completions, as many as have 2,048 tokens on average, contexts included: of long ones fewer tell as
much, and more of them would take as long as the training."""
_TOLERANCE = 0.01
"""Largest accepted error of the sampler, nats per token, if sampler and actor compute in float32."""
_COARSE_TOLERANCE = 0.1
"""The same if one of them computes in 16 bits or fewer."""
_MAX_CHANGE = log(10)
_RECOMPUTED = 4
"""Of the probes, those that the actor computes before training, too."""
_USABLE_ERROR = 0.03
"""Largest mean difference of the sampler's log-probabilities from the actor's, in nats, with which they take the place
of the actor's: it adds about half its square, 0.0005, to the estimate."""


class LogprobProbe:
    """Log-probabilities of some of a cycle's completions before its training."""

    def __init__(self, actor: Actor, samples: Sequence[Sample]) -> None:
        self._probes = _probes([sample.completion for sample in samples])
        self._few = self._probes[:: max(len(self._probes) // _RECOMPUTED, 1)][:_RECOMPUTED]
        self._own = _logprobs(actor, self._few)
        self._before = self._of_sampler() or _logprobs(actor, self._probes)

    def _of_sampler(self) -> list[list[float]]:
        """Return what the sampler recorded; empty if it did not, or if the actor finds something else."""
        rows = [_written(probe, probe.logprobs or ()) for probe in self._probes]
        errors = [
            abs(one - other)
            for probe, own in zip(self._few, self._own, strict=True)
            for one, other in zip(_written(probe, probe.logprobs or ()), own, strict=False)
        ]
        usable = errors and all(rows) and sum(errors) / len(errors) <= _USABLE_ERROR
        return rows if usable else []

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
        if _logprobs(actor, self._few) == self._own:  # in the same batch, so without other rounding
            raise TrainingError(
                f"training changed no log-probability of {count(len(self._own), 'completion')}",
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
    *,
    precision: str = "",
    tolerance: float | None = None,
) -> float | None:
    """Return the distance of the sampler's log-probabilities from the actor's, in nats per token.

    `precision` is that of the sampler's forward pass, empty for that of the actor; `tolerance` is the largest accepted
    distance, None for the usual one of the precision. None if the generator records no log-probabilities. Raises a
    `ModelError` if the distance is more than rounding explains, or as large as that of a sampler without the weights
    that were just `trained`.
    """
    probes = _probes([sample.completion for sample in samples if sample.completion.logprobs is not None])
    if not probes:
        return None
    mean = _distance(actor, probes)
    exact = {str(actor.dtype).removeprefix("torch."), precision or "float32"} == {"float32"}
    known = tolerance or (_TOLERANCE if exact else _COARSE_TOLERANCE)
    limit = min(known, _distance_without_training(trained, history, exact=exact))
    if not mean <= limit:
        raise ModelError(
            f"the sampler does not use the trained weights: its log-probabilities are off by {mean:.3g} nats "
            f"per token, more than {limit:.3g}",
            hint="a generator must sample from the actor's current weights, and record log p at temperature 1; "
            "if the engine only rounds more, set sampler_tolerance",
        )
    if not exact and trained and _is_of_the_base(actor, probes, mean, history):
        raise ModelError(
            "the sampler does not use the trained weights: its log-probabilities are nearer to those of the model "
            f"before training than to those of the trained one, from which they are off by {mean:.3g} nats per token",
            hint="a generator must sample from the actor's current weights",
        )
    return mean


def _distance(actor: Actor, probes: Sequence[Completion]) -> float:
    """Return the distance of the log-probabilities of `probes` from the actor's, in nats per token."""
    rows = _logprobs(actor, probes)
    off = sum(abs(sum(row) - (probe.logprob or 0.0)) for row, probe in zip(rows, probes, strict=True))
    return off / sum(len(row) for row in rows)


def _is_of_the_base(
    actor: Actor, probes: Sequence[Completion], distance: float, history: Sequence[CycleReport]
) -> bool:
    """Return whether the first trained cycle was sampled from the weights from before training.

    `distance` is that from the trained weights. A stale sampler is nearer to the base, by more than the noise of
    cycle 0. Only for adapters: the base of a model whose weights are all trained would be a second model.
    """
    noise = history[0].sampler_error if len(history) == 1 else None
    if noise is None or not getattr(actor, "has_adapter", False):
        return False
    with actor.reference("base"):
        return _distance(actor, probes) + noise < distance


def sampler_warnings(report: CycleReport) -> list[str]:
    """Return a sentence for each sign that the generator may not sample with the weights that a cycle trained."""
    cycle, found = report.cycle, []
    if report.heldout_changed == 0 and report.train:
        same = f"the held-out completions of cycle {cycle} are those of cycle {cycle - 1}, word for word"
        if sampler_is_proved(report):
            found.append(f"{same}, and are from the trained weights: the learning rate may be too low")
        else:
            found.append(
                f"{same}: the generator ignores the training, or the training hardly moved the model"
            )
    if report.sampler_unchecked:
        found.append(
            f"the generator records no log-probabilities: whether the held-out completions of cycle {cycle} are from "
            "the trained weights cannot be checked"
        )
    return found


def _distance_without_training(
    trained: TrainStats | None, history: Sequence[CycleReport], *, exact: bool
) -> float:
    """Return a distance that a sampler without the trained weights exceeds; infinity if noise may exceed it, too.

    It is the training's shift divided by `PROOF`, if the shift is above `PROOF` squared times the noise.
    Cycle 0 measures the noise. In 16 bits the trained cycles do: merging an adapter into such weights rounds, too.
    """
    comparable = history[:1] if exact else [report for report in history if report.train]
    noise = [report.sampler_error for report in comparable if report.sampler_error is not None]
    shift = trained.logprob_shift if trained else None
    if not noise or shift is None or shift <= PROOF**2 * max(noise):
        return inf
    return shift / PROOF


def _logprobs(actor: Actor, probes: Sequence[Completion]) -> list[list[float]]:
    """Return the log-probabilities of the tokens that the model wrote, for each completion."""
    rows = actor.logprobs(probes)
    return [_written(probe, row) for probe, row in zip(probes, rows, strict=True)]


def _written(probe: Completion, row: Sequence[float]) -> list[float]:
    """Return the numbers in `row`, one for each token or none, of the tokens that the model wrote."""
    if probe.loss_mask is None or not row:
        return list(row)
    return [value for value, own in zip(row, probe.loss_mask, strict=True) if own]


def _probes(completions: Sequence[Completion]) -> list[Completion]:
    usable = [completion for completion in completions if completion.written and completion.prompt_token_ids]
    tokens = sum(len(completion.prompt_token_ids) + len(completion.token_ids) for completion in usable)
    number = min(max(_TOKENS * len(usable) // max(tokens, 1), _FEWEST), PROBES, len(usable))
    return [usable[n * len(usable) // number] for n in range(number)]
