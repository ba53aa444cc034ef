"""The rows of a batch while they are sampled: the state of the model for them, and the logits of their next tokens.

It imports torch, so it is imported only where sampling starts.

`Cached` keeps keys and values. `Recomputed` keeps nothing and computes each row again for each token: slow, but right
for every causal model. `cache_flaw` tells which one a model needs, by comparing both on a few tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from halo_core.errors import ModelError, first_line
from halo_core.model.attention import packed_heads
from halo_core.model.heads import FAILURES, logits_precision

_CHUNK = 64
"""Positions by which the buffers of keys and values grow."""
_LENGTHS, _NEW = (9, 4), 3
"""Lengths of the two prompts on which `cache_flaw` compares, and number of tokens after them."""
_ROUNDING = {torch.float32: 0.01}
"""Largest difference that counts as rounding, in standard deviations of the logits, by precision."""
_COARSE_ROUNDING = 0.5
"""The same for precisions of 16 bits, in which an expert may be routed differently."""


class Cached:
    """The unfinished rows: the model's cache for them, and its logits for their next tokens.

    Rows are padded on the left, so that all write to the same position of the cache. Padding is masked, and positions
    are counted from each row's first token. Without padding there is no mask.
    """

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]]) -> None:
        accepted = inspect.signature(model.forward).parameters
        cache_name = next((name for name in ("past_key_values", "cache_params") if name in accepted), "")
        if not cache_name:
            raise ModelError(f"{type(model).__name__} accepts no cache")
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
        with _contiguous_head(model):
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

    @property
    def joinable(self) -> bool:
        """True if rows can be added: if all that the model keeps of a row are its own keys and values."""
        return all(type(layer) is _Buffer for layer in self.cache.layers) and bool(self.cache.layers)

    def join(self, prompts: Sequence[tuple[int, ...]]) -> None:
        """Add a row for each of `prompts` after the others, if the cache is `joinable`.

        The cache becomes as wide as the longest row: what is only padding is cut off.
        """
        new = type(self)(self.model, prompts)
        self.next = torch.cat([self.next, new.next])
        self.logits = torch.cat([self.logits, new.logits])
        width = int(self.next.max())
        for layer, added in zip(self.cache.layers, new.cache.layers, strict=True):
            layer.replace(_joined(layer.keys, added.keys, width), _joined(layer.values, added.values, width))
        columns = torch.arange(width, device=self.next.device)
        mask = columns >= width - self.next
        self.mask = None if bool(mask.all()) else mask

    def feed(self, tokens: torch.Tensor) -> None:
        """Append a token [R] to each row."""
        if self.mask is not None:
            self.mask = functional.pad(self.mask, (0, 1), value=True)
        self.logits = self._forward(tokens[:, None], self.next)
        self.next = self.next + 1

    def _forward(self, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        if self.takes_positions:
            self.options["position_ids"] = positions
        with packed_heads():
            output = self.model(input_ids=ids, attention_mask=self.mask, **self.options)
        logits: torch.Tensor = output.logits[:, -1]
        return logits


@contextmanager
def _contiguous_head(model: Any) -> Iterator[None]:
    """Give the output head contiguous states in the enclosed block.

    The last position of several rows is not contiguous, and torch then copies the head's weights for each row: seconds
    for a real vocabulary.
    """
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, args: (args[0].contiguous(), *args[1:]) if args else None)
    try:
        yield
    finally:
        hook.remove()


class Recomputed:
    """The unfinished rows of a model without a usable cache. Rows are padded on the right, which no token sees."""

    joinable = True

    def __init__(self, model: Any, prompts: Sequence[tuple[int, ...]]) -> None:
        self.model = model
        self.rows = [list(prompt) for prompt in prompts]
        self.logits = self._forward()

    def keep(self, rows: torch.Tensor) -> None:
        """Keep only `rows`, in that order; a row may occur several times."""
        self.logits = self.logits[rows]
        self.rows = [list(self.rows[row]) for row in rows.tolist()]

    def join(self, prompts: Sequence[tuple[int, ...]]) -> None:
        """Add a row for each of `prompts` after the others."""
        new = type(self)(self.model, prompts)
        self.rows += new.rows
        self.logits = torch.cat([self.logits, new.logits])

    def feed(self, tokens: torch.Tensor) -> None:
        """Append a token [R] to each row."""
        for row, token in zip(self.rows, tokens.tolist(), strict=True):
            row.append(token)
        self.logits = self._forward()

    def _forward(self) -> torch.Tensor:
        longest = max(map(len, self.rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in self.rows], device=self.model.device)
        last = torch.tensor([len(row) - 1 for row in self.rows], device=ids.device)
        logits: torch.Tensor = self.model(input_ids=ids, use_cache=False).logits
        return logits[torch.arange(len(ids), device=ids.device), last]


@torch.inference_mode()
def cache_flaw(model: Any) -> str:
    """Return why `model` cannot be sampled with a cache; empty if it can.

    Rows of different lengths, repeated and dropped, are computed with the cache and without it. Raises a `ModelError`
    if the model cannot be sampled at all.
    """
    vocabulary = model.get_input_embeddings().weight.shape[0]
    long, short = (
        [(7 + 11 * length + 5 * n) % vocabulary for n in range(length + _NEW)] for length in _LENGTHS
    )
    try:
        wanted = torch.cat([Recomputed(model, [tuple(row)]).logits for row in (short, long)]).float()
    except FAILURES as error:
        raise ModelError(
            f"cannot sample from {type(model).__name__}: {first_line(error)}",
            hint="choose a decoder-only model; most models on the hub are",
        ) from error
    try:
        context = Cached(model, [tuple(row[:-_NEW]) for row in (long, short, long)])
        context.keep(torch.tensor([1, 2], device=model.device))
        for number in range(-_NEW, 0):
            context.feed(torch.tensor([short[number], long[number]], device=model.device))
    except (*FAILURES, ModelError) as error:
        return first_line(error)
    limit = _ROUNDING.get(logits_precision(model), _COARSE_ROUNDING)
    off = float(((context.logits.float() - wanted).abs().amax(-1) / wanted.std(-1)).max())
    return "" if off <= limit else "its cache does not give the logits that the whole context gives"


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

    def replace(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Replace the keys and values of all rows."""
        self.keys, self.values, self.room = keys, values, 0

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        super().reorder_cache(beam_idx)
        self.room = 0


def _grown(states: torch.Tensor, room: int) -> torch.Tensor:
    rows, heads, positions, size = states.shape
    buffer = states.new_empty(rows, heads, positions + room, size)
    buffer[:, :, :positions] = states
    return buffer


def _joined(old: torch.Tensor, new: torch.Tensor, width: int) -> torch.Tensor:
    """Return the states of both, one after the other, with the last `width` positions of each; missing ones are 0."""
    both = old.new_zeros(len(old) + len(new), old.shape[1], width, old.shape[3])
    for part, states in ((both[: len(old)], old), (both[len(old) :], new)):
        kept = min(width, states.shape[2])
        part[:, :, width - kept :] = states[:, :, states.shape[2] - kept :]
    return both
