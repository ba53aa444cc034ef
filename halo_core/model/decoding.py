"""Sampling from a causal language model, one batch at a time.

It imports torch, so it is imported only where sampling starts.

It is faster than `generate` of transformers, above all for small models and many samples, because a prompt shared by
several rows is computed once, finished rows are dropped, keys and values are stored in buffers that grow rarely instead
of being copied at each step, and a step runs nothing but the model and the draw. `benchmarks/bench_generate.py`
measures the difference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_core.model.caching import Cached, Recomputed
from halo_core.model.drawing import Sampling
from halo_core.model.stopping import StopStrings

__all__ = ["Sampling", "decode"]

_DROP_SHARE = 8
"""Finished rows are dropped when they are at least 1 in `_DROP_SHARE` of the rows in the batch."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The sampled continuation of one row."""

    token_ids: tuple[int, ...]
    """The end token included if there is one."""
    logprobs: tuple[float, ...]
    """log p of each of `token_ids`, in nats, at temperature 1 and without top_p and top_k."""
    ended: bool
    """True if the last token is an end token, or completes a stop string."""


@torch.inference_mode()
def decode(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    *,
    sampling: Sampling,
    max_new_tokens: Sequence[int],
    end_ids: Sequence[int],
    generator: torch.Generator,
    stops: StopStrings | None = None,
    cached: bool = True,
    progress: Callable[[int, int], None] = lambda step, unfinished: None,
) -> list[Decoded]:
    """Return the continuation of each prompt, in order; repeated prompts are computed once.

    A row ends with one of `end_ids`, with the token that completes one of `stops`, or after its number of tokens in
    `max_new_tokens`. `generator` is on the model's device. Without `cached`, each step computes the whole context
    again, for models with a `caching.cache_flaw`. `progress` is called after each step with the step's number and the
    number of unfinished rows. Raises a `ModelError` if the model's logits are not finite.
    """
    context = Cached(model, prompts) if cached else Recomputed(model, prompts)
    device = model.device
    if stops is not None:
        stops.start()
    ends = torch.tensor(list(end_ids), device=device)
    rows = torch.arange(len(prompts), device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    limits = torch.tensor(list(max_new_tokens), device=device)
    last_steps = set(max_new_tokens)
    longest = max(last_steps)
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    logprobs = torch.zeros(len(prompts), longest, device=device)
    for step in range(1, longest + 1):
        drawn, logprobs[rows, step - 1] = sampling.draw(context.logits, generator)
        tokens[rows, step - 1] = drawn
        ended |= torch.isin(drawn, ends)
        if stops is not None:
            ended |= torch.tensor(stops.feed(rows.tolist(), drawn.tolist()), device=device)
        if step in last_steps:  # drop these rows now: the model may have no further position for them
            ended |= limits[rows] == step
        finished = int(ended.sum())
        progress(step, len(rows) - finished)
        if finished == len(rows):
            break
        if step in last_steps or finished * _DROP_SHARE >= len(rows):
            keep = (~ended).nonzero().squeeze(1)
            rows, ended, drawn = rows[keep], ended[keep], drawn[keep]
            context.keep(keep)
        context.feed(drawn)
    stopped = [limit + 1 for limit in max_new_tokens]
    if stops is not None:
        stopped = [stops.lengths.get(row, length) for row, length in enumerate(stopped)]
    return _cut(tokens.tolist(), logprobs.tolist(), max_new_tokens, stopped, frozenset(end_ids))


def _cut(
    tokens: list[list[int]],
    logprobs: list[list[float]],
    limits: Sequence[int],
    stopped: Sequence[int],
    ends: frozenset[int],
) -> list[Decoded]:
    """Cut each row after its first end token, or where it was `stopped`: finished rows are sampled until dropped."""
    decoded = []
    for row, row_logprobs, limit, stop in zip(tokens, logprobs, limits, stopped, strict=True):
        room = min(limit, stop)
        length = next((count for count, token in enumerate(row[:room], 1) if token in ends), room)
        kept = tuple(row_logprobs[:length])
        if not all(map(math.isfinite, kept)):
            raise ModelError(
                "the model's logits are not finite",
                hint="its weights may have diverged; otherwise try dtype float32",
            )
        decoded.append(Decoded(tuple(row[:length]), kept, row[length - 1] in ends or length == stop))
    return decoded
