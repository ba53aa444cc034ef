"""Sampling from a causal language model, one batch at a time.

It imports torch, so it is imported only where sampling starts.

It is faster than `generate` of transformers, above all for small models and many samples, because a prompt shared by
several rows is computed once, finished rows are dropped, keys and values are stored in buffers that grow rarely instead
of being copied at each step, and a step runs nothing but the model and the draw. `benchmarks/bench_generate.py`
measures the difference.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from halo_core.errors import ModelError
from halo_core.model.caching import Cached, Recomputed
from halo_core.model.drawing import Sampling
from halo_core.model.positions import rotary_switch
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

    def then(self, more: Decoded) -> Decoded:
        """Return this row continued by `more`."""
        return Decoded(self.token_ids + more.token_ids, self.logprobs + more.logprobs, more.ended)


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
    slots: int = 0,
    cached: bool = True,
    progress: Callable[[int, int, int], None] = lambda tokens, unfinished, pending: None,
) -> list[Decoded]:
    """Return the continuation of each prompt, in order; repeated prompts are computed once.

    A row ends with one of `end_ids`, with the token that completes one of `stops`, or after its number of tokens in
    `max_new_tokens`. `generator` is on the model's device. At most `slots` rows (0: all) are computed at once; where
    the model's cache allows it, rows that ended are replaced by the next ones, otherwise one batch follows the other.
    Without `cached`, each step computes the whole context again, for models with a `caching.cache_flaw`. `progress` is
    called after each step with the number of tokens sampled so far, the number of unfinished rows, and the number of
    tokens of these. Raises a `ModelError` if the model's logits are not finite.

    Where the model encodes longer contexts otherwise (`positions.rotary_switch`), the rows are sampled up to that
    length first. Then the contexts of those that go past it are computed again, as `generate` of transformers does.
    """
    common: dict[str, Any] = {
        "sampling": sampling,
        "end_ids": end_ids,
        "generator": generator,
        "stops": stops,
        "slots": slots,
        "cached": cached,
    }
    switch = rotary_switch(model.config) or sys.maxsize
    room = [max(0, switch + 1 - len(prompt)) for prompt in prompts]
    if all(limit <= most for limit, most in zip(max_new_tokens, room, strict=True)):
        return _decode(model, prompts, max_new_tokens, [()] * len(prompts), progress=progress, **common)
    found = [Decoded((), (), ended=False)] * len(prompts)
    for limits in (list(map(min, max_new_tokens, room)), max_new_tokens):
        rows = [row for row, has in enumerate(found) if not has.ended and len(has.token_ids) < limits[row]]
        if not rows:
            continue
        sampled, waiting = sum(len(has.token_ids) for has in found), len(prompts) - len(rows)
        new = _decode(
            model,
            [prompts[row] + found[row].token_ids for row in rows],
            [limits[row] - len(found[row].token_ids) for row in rows],
            [found[row].token_ids for row in rows],
            progress=partial(_offset, progress, sampled, waiting if limits is not max_new_tokens else 0),
            **common,
        )
        for row, more in zip(rows, new, strict=True):
            found[row] = found[row].then(more)
    return found


def _offset(
    progress: Callable[[int, int, int], None],
    sampled: int,
    waiting: int,
    tokens: int,
    unfinished: int,
    pending: int,
) -> None:
    progress(sampled + tokens, waiting + unfinished, pending)


def _decode(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    max_new_tokens: Sequence[int],
    before: Sequence[tuple[int, ...]],
    *,
    sampling: Sampling,
    end_ids: Sequence[int],
    generator: torch.Generator,
    stops: StopStrings | None,
    slots: int,
    cached: bool,
    progress: Callable[[int, int, int], None],
) -> list[Decoded]:
    """Decode rows whose positions are all encoded alike; `before`: the last tokens of each prompt that were sampled."""
    rows = _Rows(model, prompts, max_new_tokens, slots or len(prompts), cached=cached)
    ends = torch.tensor(list(end_ids), device=model.device)
    if stops is not None:
        stops.start(before)
    while rows.fill():
        drawn, logprobs = sampling.draw(rows.context.logits, generator)
        ended = torch.isin(drawn, ends)
        if stops is not None:
            ended |= torch.tensor(stops.feed(rows.active.tolist(), drawn.tolist()), device=model.device)
        cut = rows.append(drawn, logprobs, ended)
        progress(rows.sampled, rows.unfinished, rows.pending)
        rows.drop(at_once=cut)
        rows.feed()
    stopped = [limit + 1 for limit in max_new_tokens]
    if stops is not None:
        for row, length in stops.lengths.items():
            stopped[row] = length - len(before[row])
    return _cut(rows.tokens.tolist(), rows.logprobs.tolist(), max_new_tokens, stopped, frozenset(end_ids))


class _Rows:
    """The rows that are being computed, in at most `slots` at a time, and what was sampled for all of them."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[tuple[int, ...]],
        limits: Sequence[int],
        slots: int,
        *,
        cached: bool,
    ) -> None:
        self.model, self.prompts, self.slots, self.cached = model, prompts, min(slots, len(prompts)), cached
        self.context = self._compute(prompts[: self.slots])
        device = model.device
        self.limits = torch.tensor(list(limits), device=device)
        self.tokens = torch.zeros(len(prompts), max(limits), dtype=torch.long, device=device)
        self.logprobs = torch.zeros(len(prompts), max(limits), device=device)
        self.lengths = torch.zeros(len(prompts), dtype=torch.long, device=device)
        self.active = torch.arange(self.slots, device=device)
        """Numbers of the rows that are computed; those that have `ended` are not dropped yet."""
        self.ended = torch.zeros(self.slots, dtype=torch.bool, device=device)
        self.started = self.slots
        self.sampled = self.pending = 0
        self.finished, self.unfinished = 0, len(prompts)

    def fill(self) -> bool:
        """Start rows in free slots, if the cache allows it; return whether there are rows to compute."""
        free = self.slots - len(self.active)
        waiting = self.prompts[self.started : self.started + free]
        if waiting and not len(self.active):
            self.context = self._compute(waiting)
        elif waiting and self.context.joinable and free * _DROP_SHARE >= self.slots:
            self.context.join(waiting)
        else:
            return len(self.active) > 0
        added = torch.arange(self.started, self.started + len(waiting), device=self.active.device)
        self.active = torch.cat([self.active, added])
        self.ended = torch.cat([self.ended, torch.zeros_like(added, dtype=torch.bool)])
        self.started += len(waiting)
        return True

    def _compute(self, prompts: Sequence[tuple[int, ...]]) -> Cached | Recomputed:
        return Cached(self.model, prompts) if self.cached else Recomputed(self.model, prompts)

    def append(self, drawn: torch.Tensor, logprobs: torch.Tensor, ended: torch.Tensor) -> bool:
        """Append a token to each row; return whether a row has reached its limit, so that it must be dropped."""
        place = self.lengths[self.active]
        self.tokens[self.active, place], self.logprobs[self.active, place] = drawn, logprobs
        self.lengths[self.active] = place + 1
        full = place + 1 == self.limits[self.active]
        growing, self.ended = (~self.ended).sum(), self.ended | ended | full
        figures = [growing, self.ended.sum(), full.sum(), (place + 1)[~self.ended].sum()]
        grown, finished, cut, self.pending = torch.stack(
            figures
        ).tolist()  # the step's only wait for the device
        self.sampled += grown
        self.unfinished += self.finished - finished
        self.finished = finished
        self.drawn = drawn
        return bool(cut)

    def drop(self, *, at_once: bool) -> None:
        """Drop the rows that have ended, if they are many, or `at_once`."""
        if self.finished and (at_once or self.finished * _DROP_SHARE >= len(self.active)):
            keep = (~self.ended).nonzero().squeeze(1)
            self.active, self.ended, self.drawn = self.active[keep], self.ended[keep], self.drawn[keep]
            self.finished = 0
            if len(keep):
                self.context.keep(keep)

    def feed(self) -> None:
        """Compute the logits after the tokens that were appended."""
        if len(self.active):
            self.context.feed(self.drawn)


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
