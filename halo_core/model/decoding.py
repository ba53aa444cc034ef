"""Sampling from a causal language model, one batch at a time.

It imports torch, so it is imported only where sampling starts.

It is faster than `generate` of transformers, above all for small models and many samples, because a prompt shared by
several rows is computed once, finished rows are dropped, keys and values are stored in buffers that grow rarely instead
of being copied at each step, and a step runs nothing but the model and the draw. `benchmarks/bench_generate.py`
measures the difference.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from halo_core.errors import ModelError

_CHUNK = 64
"""Positions by which the buffers of keys and values grow."""
_DROP_SHARE = 8
"""Finished rows are dropped when they are at least 1 in `_DROP_SHARE` of the rows in the batch."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """Distribution that the next token is drawn from."""

    temperature: float = 1.0
    """0: always the likeliest token."""
    top_p: float = 1.0
    """Draw from the smallest set of likeliest tokens whose probabilities reach this sum."""
    top_k: int = 0
    """Draw from this number of likeliest tokens; 0: from all."""

    def draw(self, logits: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw a token [R] for each row of `logits` [R, V], in float32."""
        if self.temperature == 0:
            return logits.argmax(-1)
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k).values[:, -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        probabilities = logits.softmax(-1)
        if self.top_p < 1:
            probabilities = _nucleus(probabilities, self.top_p)
        # An exponential race: the same distribution as a multinomial draw, which would synchronize an accelerator to
        # check its input.
        noise = torch.empty_like(probabilities).exponential_(generator=generator).clamp_(min=1e-30)
        return (probabilities / noise).argmax(-1)


@dataclass(frozen=True, slots=True)
class Decoded:
    """The sampled continuation of one row."""

    token_ids: tuple[int, ...]
    """The end token included if there is one."""
    logprobs: tuple[float, ...]
    """log p of each of `token_ids`, in nats, at temperature 1 and without top_p and top_k."""
    ended: bool
    """True if the last token is an end token."""


@torch.inference_mode()
def decode(
    model: Any,
    prompts: Sequence[tuple[int, ...]],
    *,
    sampling: Sampling,
    max_new_tokens: Sequence[int],
    end_ids: Sequence[int],
    generator: torch.Generator,
    progress: Callable[[int, int], None] = lambda step, unfinished: None,
) -> list[Decoded]:
    """Return the continuation of each prompt, in order; repeated prompts are computed once.

    A row ends with one of `end_ids` or after its number of tokens in `max_new_tokens`. `generator` is on the model's
    device. `progress` is called after each step with the step's number and the number of unfinished rows. Raises a
    `ModelError` if the model has no cache or its logits are not finite.
    """
    context = _Context(model, prompts)
    device = model.device
    ends = torch.tensor(list(end_ids), device=device)
    rows = torch.arange(len(prompts), device=device)
    ended = torch.zeros(len(prompts), dtype=torch.bool, device=device)
    limits = torch.tensor(list(max_new_tokens), device=device)
    last_steps = set(max_new_tokens)
    longest = max(last_steps)
    tokens = torch.zeros(len(prompts), longest, dtype=torch.long, device=device)
    logprobs = torch.zeros(len(prompts), longest, device=device)
    for step in range(1, longest + 1):
        logits = context.logits.float()
        drawn = sampling.draw(logits, generator)
        tokens[rows, step - 1] = drawn
        logprobs[rows, step - 1] = logits.gather(1, drawn[:, None]).squeeze(1) - logits.logsumexp(-1)
        ended |= torch.isin(drawn, ends)
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
    return _cut(tokens.tolist(), logprobs.tolist(), max_new_tokens, frozenset(end_ids))


class _Context:
    """The unfinished rows: the model's cache for them, and its logits for their next tokens.

    Rows are padded on the left, so that all write to the same position of the cache. Padding is masked, and positions
    are counted from each row's first token. Without padding there is no mask.
    """

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]]) -> None:
        accepted = inspect.signature(model.forward).parameters
        cache_name = next((name for name in ("past_key_values", "cache_params") if name in accepted), "")
        if not cache_name:
            raise ModelError(
                f"cannot sample from {type(model).__name__}: it accepts no cache",
                hint="choose a decoder-only model; most models on the hub are",
            )
        self.model = model
        self.cache = DynamicCache(config=model.config)
        self.cache.layers = [
            _Buffer() if type(layer) is DynamicLayer else layer for layer in self.cache.layers
        ]
        self.options: dict[str, Any] = {cache_name: self.cache, "use_cache": True}
        if "logits_to_keep" in accepted:
            self.options["logits_to_keep"] = 1
        self.takes_positions = "position_ids" in accepted

        unique = {prompt: row for row, prompt in enumerate(dict.fromkeys(prompts))}
        longest = max(map(len, unique))
        ids = torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in unique])
        pads = torch.tensor([[longest - len(prompt)] for prompt in unique])
        positions = torch.arange(longest) - pads
        self.mask = (positions >= 0).to(model.device) if pads.any() else None
        self.next = (longest - pads).to(model.device)
        self.logits = self._forward(ids.to(model.device), positions.clamp(min=0).to(model.device))
        if cache_name == "cache_params":
            self.mask = None  # a purely recurrent model has processed the padding, and accepts no mask later
        if len(unique) < len(prompts):
            self.keep(torch.tensor([unique[prompt] for prompt in prompts], device=model.device))

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only `rows`, in that order; a row may occur several times."""
        self.cache.reorder_cache(rows)
        self.logits, self.next = self.logits[rows], self.next[rows]
        if self.mask is not None:
            self.mask = self.mask[rows]

    def feed(self, tokens: torch.Tensor) -> None:
        """Append a token [R] to each row."""
        if self.mask is not None:
            self.mask = functional.pad(self.mask, (0, 1), value=True)
        self.logits = self._forward(tokens[:, None], self.next)
        self.next = self.next + 1

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        if self.takes_positions:
            self.options["position_ids"] = positions
        output = self.model(input_ids=ids, attention_mask=self.mask, **self.options)
        logits: torch.Tensor = output.logits[:, -1]
        return logits


class _Buffer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [R, heads, positions, size] in buffers that grow by `_CHUNK` positions."""

    keys: torch.Tensor
    values: torch.Tensor
    room = 0

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            super().update(key_states, value_states)
            return self.keys, self.values
        seen, new = self.keys.shape[-2], key_states.shape[-2]
        if self.room < new:
            self.room = new + _CHUNK
            self.key_buffer, self.value_buffer = (_grown(old, self.room) for old in (self.keys, self.values))
        self.key_buffer[:, :, seen : seen + new] = key_states
        self.value_buffer[:, :, seen : seen + new] = value_states
        self.keys = self.key_buffer[:, :, : seen + new]
        self.values = self.value_buffer[:, :, : seen + new]
        self.room -= new
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        super().reorder_cache(beam_idx)
        self.room = 0


def _grown(states: torch.Tensor, room: int) -> torch.Tensor:
    rows, heads, positions, size = states.shape
    buffer = states.new_empty(rows, heads, positions + room, size)
    buffer[:, :, :positions] = states
    return buffer


def _nucleus(probabilities: torch.Tensor, top_p: float) -> torch.Tensor:
    """Zero all but the fewest likeliest tokens whose probabilities sum to at least `top_p`."""
    ordered, order = probabilities.sort(-1, descending=True)
    ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
    return torch.zeros_like(probabilities).scatter_(-1, order, ordered)


def _cut(
    tokens: list[list[int]], logprobs: list[list[float]], limits: Sequence[int], ends: frozenset[int]
) -> list[Decoded]:
    """Cut each row after its first end token: finished rows are sampled until they are dropped."""
    decoded = []
    for row, row_logprobs, limit in zip(tokens, logprobs, limits, strict=True):
        length = next((count for count, token in enumerate(row[:limit], 1) if token in ends), limit)
        kept = tuple(row_logprobs[:length])
        if not all(map(math.isfinite, kept)):
            raise ModelError(
                "the model's logits are not finite",
                hint="its weights may have diverged; otherwise try dtype float32",
            )
        decoded.append(Decoded(tuple(row[:length]), kept, row[length - 1] in ends))
    return decoded
