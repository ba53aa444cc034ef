"""Log-probabilities of token sequences, computed as in training. Imports torch."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from halo_core.errors import first_line
from halo_core.model.batching import token_batches
from halo_core.model.heads import FAILURES, head_of, logits_precision, scores_of, token_scores
from halo_core.model.packing import pack
from halo_core.model.positions import rotary_switch
from halo_core.model.units import Batch, Example

if TYPE_CHECKING:
    from halo_core.types import Completion

_BATCH_TOKENS = 4096
_ATTENTION = {"full_attention", "sliding_attention", "chunked_attention"}
"""Kinds of layers that see earlier tokens only through attention."""
_ROUNDING = {torch.float32: 1e-3}
"""Largest difference of log-probabilities that counts as rounding, in nats, by precision."""
_COARSE_ROUNDING = 0.1
"""The same for precisions of 16 bits."""


def token_logprobs(
    model: Any,
    completions: Sequence[Completion],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
) -> list[tuple[float, ...]]:
    """Return the log p of each token of each completion, in nats at temperature 1.

    Computed as in training: with the adapter next to the weights, not merged into them. A completion without token ids,
    or without those of its prompt, gets ().
    """
    with torch.inference_mode(), autocast():
        scorer = Scorer(model)
        return _by_token(completions, device, lambda batch: scorer.score(batch)[0])


def token_values(
    model: Any,
    value_head: torch.nn.Linear,
    completions: Sequence[Completion],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
) -> list[tuple[float, ...]]:
    """Return the value head's estimate from all tokens before each token; for which completions, see above."""
    with torch.inference_mode(), autocast():
        return _by_token(completions, device, Scorer(model, value_head).values)


def _by_token(
    completions: Sequence[Completion], device: torch.device, compute: Callable[[Batch], torch.Tensor]
) -> list[tuple[float, ...]]:
    """Return what `compute` returns [N] for the tokens of batches, by completion; () for one without token ids."""
    usable = [
        n for n, completion in enumerate(completions) if completion.prompt_token_ids and completion.token_ids
    ]
    examples = [Example(completions[n].prompt_token_ids, completions[n].token_ids) for n in usable]
    found: dict[int, tuple[float, ...]] = {}
    for rows in token_batches([len(example) for example in examples], _BATCH_TOKENS):
        batch = pack([(examples[row],) for row in rows], device)
        parts = torch.split(compute(batch), list(batch.lengths))
        found |= {usable[row]: tuple(part.tolist()) for row, part in zip(rows, parts, strict=True)}
    return [found.get(n, ()) for n in range(len(completions))]


class Scorer:
    """Computes the log-probabilities of batches with a causal language model."""

    def __init__(self, model: Any, value_head: torch.nn.Linear | None = None) -> None:
        self.model, self.head, self.value_head = model, head_of(model), value_head
        self._switch = rotary_switch(model.config) or sys.maxsize

    def score(self, batch: Batch, *, entropies: bool = False) -> tuple[torch.Tensor, Batch]:
        """Return the log-probability [N] of each token of `batch` that carries loss, and `batch` with what was added.

        That is its entropies if asked for, and its values if there is a value head. Differentiable. The logits
        of a few tokens exist at a time (`heads.token_scores`), unless the model's head cannot be computed apart from
        the model.
        """
        states, logits = self._states(batch)
        if self.head and states is not None:
            logprobs, found = token_scores(self.head, states, batch.targets, entropies=entropies)
        else:
            assert logits is not None
            logprobs, found = scores_of(logits.float(), batch.targets, entropies=entropies)
        return logprobs, replace(batch, entropies=found, values=self._values(states))

    def values(self, batch: Batch) -> torch.Tensor:
        """Return the value head's estimate [N] before each token of `batch` that carries loss. Differentiable."""
        found = self._values(self._states(batch)[0])
        assert found is not None, "the scorer has no value head"
        return found

    def _states(self, batch: Batch) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return what the head reads [N, H], if it is known, and the logits [N, V] unless the head gives them.

        A state depends on the context up to it. Where the model encodes longer contexts otherwise, the states of short
        contexts are computed from the beginnings of the rows, and the others from the whole long rows, as in sampling.
        """
        length = batch.ids.shape[1]
        if length <= self._switch:
            return self._forward(batch.ids, batch.positions, self._inputs(batch))
        assert not batch.inputs, "sequences with LongRoPE share no rows"
        row, column = batch.positions // length, batch.positions % length
        short = column < self._switch
        long_rows, place = torch.unique(row[~short], return_inverse=True)
        parts = (
            (batch.ids[:, : self._switch], (row * self._switch + column)[short]),
            (batch.ids[long_rows], place * length + column[~short]),
        )
        order = torch.cat([short.nonzero(), (~short).nonzero()]).squeeze(1).argsort()
        found = [self._forward(ids, positions, {}) for ids, positions in parts if len(positions)]
        states, logits = zip(*found, strict=True)
        return _merged(states, order), _merged(logits, order)

    def _forward(
        self, ids: torch.Tensor, positions: torch.Tensor, inputs: dict[str, torch.Tensor]
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Return states and logits as `_states` does, of `ids` [R, T] at N flat `positions` of R * T."""
        if self.head:
            return _take(self.head.hidden(self.model, input_ids=ids, **inputs), positions), None
        return _states_and_logits(self.model, positions, input_ids=ids, **inputs)

    def _values(self, states: torch.Tensor | None) -> torch.Tensor | None:
        """Return the values [N] of states [N, H]; in float32 under autocast too, which would round a matrix product."""
        if self.value_head is None:
            return None
        assert states is not None, "a value head reads the input of the output head"
        found: torch.Tensor = (states.float() * self.value_head.weight[0]).sum(-1) + self.value_head.bias
        return found

    def _inputs(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Return the further arguments of the model, with a mask as its attention takes it."""
        inputs = dict(batch.inputs)
        if inputs and self.model.config.get_text_config()._attn_implementation == "eager":
            mask = inputs["attention_mask"]
            lowest = torch.finfo(self.model.dtype).min
            inputs["attention_mask"] = torch.zeros(mask.shape, device=mask.device, dtype=self.model.dtype)
            inputs["attention_mask"].masked_fill_(~mask, lowest)
        return inputs

    def sharing_flaw(self, longest: int) -> str:
        """Return why sequences of up to `longest` tokens cannot share rows with this model; empty if they can.

        A layer that looks at earlier tokens other than through masked attention cannot: a recurrent layer, a window
        that is shorter than a sequence, positions that are counted in the row. The last is tried on a few tokens.
        """
        config = self.model.config.get_text_config()
        kinds = set(getattr(config, "layer_types", None) or ()) - _ATTENTION
        if kinds:
            return f"it has layers of kind {min(kinds)}"
        windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
        if any(window and window < longest for window in windows):
            return "its attention has a window shorter than a sequence"
        if _rope_types(getattr(config, "rope_parameters", None)) & {"dynamic", "longrope"}:
            return "its positions depend on the length of the row"
        if not {"attention_mask", "position_ids"} <= set(inspect.signature(self.model.forward).parameters):
            return "it accepts no mask or no positions"
        return self._difference_in_shared_rows()

    def _difference_in_shared_rows(self) -> str:
        rows = int(self.model.get_input_embeddings().weight.shape[0])
        ids = [(3 + 7 * n) % rows for n in range(9)]
        units = [(Example(tuple(ids[:3]), tuple(end)),) for end in (ids[3:6], ids[6:], [*ids[3:5], ids[8]])]
        training = self.model.training
        self.model.eval()
        try:
            with torch.no_grad():
                plain, _ = self.score(pack(units, self.model.device))
                shared, _ = self.score(pack(units, self.model.device, [(0, 2, 1)]))
        except FAILURES as error:
            return first_line(error)
        finally:
            self.model.train(training)
        off = float((plain - shared).abs().max())
        limit = _ROUNDING.get(logits_precision(self.model), _COARSE_ROUNDING)
        return "" if off <= limit else "it does not compute shared rows as it computes single ones"


def _states_and_logits(
    model: Any, positions: torch.Tensor, **inputs: Any
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Return what the output head of a causal language model reads [N, H], and the logits [N, V].

    They are those of `input_ids` [R, T] at N flat `positions` of R * T. Only those positions reach the output head; any
    further processing of the logits by the model still applies. If the head cannot be found, the model computes all
    logits and those at the positions are selected, without states.
    """
    head = model.get_output_embeddings()
    if head is None:
        return None, _take(model(**inputs, use_cache=False).logits, positions)
    states: list[torch.Tensor] = []

    def take(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        states.append(_take(arguments[0], positions))
        return states[0], *arguments[1:]

    hook = head.register_forward_pre_hook(take)
    try:
        logits: torch.Tensor = model(**inputs, use_cache=False).logits
    finally:
        hook.remove()
    return states[0], logits


def _merged(parts: Sequence[torch.Tensor | None], order: torch.Tensor) -> torch.Tensor | None:
    """Return the rows of `parts`, one part after the other, in `order`."""
    found = [part for part in parts if part is not None]
    return torch.cat(found).index_select(0, order) if found else None


def _take(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return values.flatten(0, 1).index_select(0, positions)


def _rope_types(parameters: Any) -> set[str]:
    """Return the kinds of rotary positions in a configuration, whose parameters may differ by kind of layer."""
    if not isinstance(parameters, dict):
        return set()
    nested = (_rope_types(value) for value in parameters.values())
    return {str(parameters.get("rope_type", ""))}.union(*nested)
