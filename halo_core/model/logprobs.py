"""Log-probabilities of token sequences, computed as in training. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import compress, repeat
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.checkpoint import checkpoint

from halo_core.errors import TrainingError
from halo_core.model.batching import token_batches
from halo_core.model.units import Batch, Example, Unit

if TYPE_CHECKING:
    from halo_core.types import Completion

_BATCH_TOKENS = 4096


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

    def logprobs(batch: Batch) -> torch.Tensor:
        with autocast():
            logits = completion_logits(model, batch.ids, batch.positions).float()
        return logits.log_softmax(-1).gather(1, batch.targets[:, None]).squeeze(1)

    return _by_token(completions, device, logprobs)


def token_values(
    model: Any,
    value_head: torch.nn.Linear,
    completions: Sequence[Completion],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
) -> list[tuple[float, ...]]:
    """Return the value head's estimate from all tokens before each token; for which completions, see above."""

    def values(batch: Batch) -> torch.Tensor:
        with autocast():
            _, states = _logits_and_states(model, batch.ids, batch.positions)
        assert states is not None, "a value head reads the input of the output head"
        return _values(value_head, states)

    return _by_token(completions, device, values)


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
        with torch.inference_mode():
            parts = torch.split(compute(batch), list(batch.lengths))
        found |= {usable[row]: tuple(part.tolist()) for row, part in zip(rows, parts, strict=True)}
    return [found.get(n, ()) for n in range(len(completions))]


def completion_logits(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, V] of a causal language model on `ids` [B, T] at N flat `positions` of B * T.

    Only those positions reach the output head; any further processing of the logits by the model still applies. If
    the head cannot be found, the model computes all logits and those at the positions are selected.
    """
    return _logits_and_states(model, ids, positions)[0]


def _logits_and_states(
    model: Any, ids: torch.Tensor, positions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return the logits [N, V] and the states [N, H] that the output head computes them from, if it is known."""
    head = model.get_output_embeddings()
    if head is None:
        return _take(model(input_ids=ids, use_cache=False).logits, positions), None
    states: list[torch.Tensor] = []

    def take(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
        states.append(_take(arguments[0], positions))
        return states[0], *arguments[1:]

    hook = head.register_forward_pre_hook(take)
    try:
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    return logits, states[0]


def _take(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return values.flatten(0, 1).index_select(0, positions)


def batch_logprobs(
    model: Any, batch: Batch, *, entropies: bool = False, value_head: torch.nn.Linear | None = None
) -> tuple[torch.Tensor, Batch]:
    """Return the log-probability [N] of each token of `batch` that carries loss, and `batch` with what was asked for.

    Differentiable. The backward pass of the entropies computes the probabilities again instead of keeping them.
    """
    logits, states = _logits_and_states(model, batch.ids, batch.positions)
    logits = logits.float()
    if value_head is not None and states is not None:
        batch = replace(batch, values=_values(value_head, states))
    if not entropies:
        return -functional.cross_entropy(logits, batch.targets, reduction="none"), batch
    logprobs = logits.log_softmax(-1)
    found = checkpoint(_entropies, logprobs, use_reentrant=False, preserve_rng_state=False)
    return logprobs.gather(1, batch.targets[:, None]).squeeze(1), replace(batch, entropies=found)


def _values(value_head: torch.nn.Linear, states: torch.Tensor) -> torch.Tensor:
    """Return the values [N] of states [N, H]; in float32 under autocast too, which would round a matrix product."""
    return (states.float() * value_head.weight[0]).sum(-1) + value_head.bias


def _entropies(logprobs: torch.Tensor) -> torch.Tensor:
    return -(logprobs.exp() * logprobs).sum(-1)


def pack(units: Sequence[Unit], device: torch.device) -> Batch:
    """Put units of sequences into one batch.

    Padding is on the right and needs no attention mask: under causal attention a token never sees later tokens.
    Raises a `TrainingError` if the sequences do not have the same columns.
    """
    examples = [example for unit in units for example in unit]
    rows = [torch.tensor(example.prompt_ids + example.completion_ids) for example in examples]
    ids = pad_sequence(rows, batch_first=True)
    starts = torch.tensor([[len(example.prompt_ids)] for example in examples])
    ends = torch.tensor([[len(example)] for example in examples])
    column = torch.arange(1, ids.shape[1])
    carries = (column >= starts) & (column < ends)
    for row, example in enumerate(examples):
        if example.loss_mask is not None:
            start = len(example.prompt_ids) - 1
            carries[row, start : start + len(example.loss_mask)] &= torch.tensor(example.loss_mask)
    return Batch(
        ids=ids[:, :-1].to(device),
        positions=carries.flatten().nonzero().squeeze(1).to(device),
        targets=ids[:, 1:][carries].to(device),
        lengths=tuple(example.loss_tokens for example in examples),
        units=torch.tensor([number for number, unit in enumerate(units) for _ in unit]).to(device),
        weights=torch.tensor([example.weight for example in examples], dtype=torch.float32).to(device),
        columns={name: _column(name, examples).to(device) for name in examples[0].columns},
    )


def _column(name: str, examples: Sequence[Example]) -> torch.Tensor:
    """Return the values of a column at the tokens that carry loss."""
    found: list[float] = []
    for example in examples:
        if name not in example.columns:
            raise TrainingError(
                f"a sequence has no column {name!r}", hint="give each sequence the same columns"
            )
        found += compress(example.columns[name], example.loss_mask or repeat(True))
    return torch.tensor(found, dtype=torch.float32)
