"""The selection of RAFT (Dong et al., 2023): a threshold on the reward, then the best share of the remaining samples.

It deliberately differs from halo-forge, whose stable sort over the whole file selects, if rewards are tied, the first
half of the file instead of the best half of the samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from halo_core.config.options import driver
from halo_core.drivers.base import Selector
from halo_core.metrics import is_unfinished
from halo_core.model.contexts import SelectionContext
from halo_core.selection import SelectionOptions, by_prompt, tie_key
from halo_core.shares import share_of
from halo_core.types import Sample


@driver
class RAFT(SelectionOptions, Selector):
    """Keep samples with a reward of at least `threshold`, then the best `keep_top` of those.

    After the selection, completions of one prompt with the same tokens are merged into one, weighted by their number.
    So each duplicate counts.
    """

    threshold: float = 0.5
    """Lowest reward that is kept."""
    keep_top: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share to keep of the samples that reach the threshold, rounded up; 1 keeps all."""
    per: Literal["prompt", "run"] = "prompt"
    """Take the best share within each prompt, or over all samples of the cycle."""
    cap: Annotated[int, Field(ge=1)] | None = None
    """Maximum number of distinct completions of one prompt; the best are kept. none: no limit."""
    truncated: bool = False
    """Also keep completions that the token limit cut short."""

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        """Return the selected samples, ordered by prompt and index; the weight is the number of duplicates."""
        factors = {group[0].prompt.id: self.factor(group) for group in by_prompt(samples)}
        eligible = [
            s
            for s in samples
            if factors[s.prompt.id] and _reward(s) >= self.threshold and (self.truncated or _finished(s))
        ]
        ranked = sorted(eligible, key=lambda s: (-_reward(s), tie_key(s, context.seed)))
        groups = _in_order(ranked) if self.per == "prompt" else [ranked]
        best = [
            sample for group in groups for sample in group[: share_of(len(group), self.keep_top, up=True)]
        ]
        merged = [_merged(group)[: self.cap] for group in _in_order(best)]
        chosen = [replace(s, weight=s.weight * factors[s.prompt.id]) for group in merged for s in group]
        return sorted(chosen, key=lambda s: (s.prompt.id, s.completion.index))

    def explain(self, sample: Sample, peers: Sequence[Sample]) -> str:
        """Return the condition that `sample` did not meet, or the equal completion that stands for it."""
        if _reward(sample) < self.threshold:
            return f"its reward is below the threshold of {self.threshold:g}"
        if not self.truncated and not _finished(sample):
            return "the token limit cut it short" + (" within its reasoning" if is_unfinished(sample) else "")
        if not self.factor(peers):
            return f"its prompt is solved: {self.solved_at:.0%} of its completions or more pass"
        for peer in peers:
            if peer.weight and peer is not sample and _key(peer) == _key(sample):
                return f"it equals completion {peer.completion.index}, whose weight counts it"
        best = (
            f"not among the best {self.keep_top:.0%} of its {'prompt' if self.per == 'prompt' else 'cycle'}"
        )
        return best if self.cap is None else f"{best}, or not among the {self.cap} best of its prompt"


def _reward(sample: Sample) -> float:
    return -math.inf if sample.reward is None else sample.reward


def _finished(sample: Sample) -> bool:
    return sample.completion.finish_reason == "stop"


def _in_order(samples: Sequence[Sample]) -> list[list[Sample]]:
    """Return the samples of each prompt, in the order of `samples`."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.prompt.id, []).append(sample)
    return list(groups.values())


def _key(sample: Sample) -> tuple[object, object]:
    return sample.completion.token_ids or sample.completion.text, sample.completion.loss_mask


def _merged(samples: Sequence[Sample]) -> list[Sample]:
    """Merge equal token sequences of one prompt into the first of them, weighted by their number."""
    first: dict[tuple[object, object], Sample] = {}
    count: dict[tuple[object, object], int] = {}
    for sample in samples:
        key = _key(sample)
        first.setdefault(key, sample)
        count[key] = count.get(key, 0) + 1
    return [replace(sample, weight=float(count[key])) for key, sample in first.items()]
