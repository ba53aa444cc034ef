"""Log-probabilities of token sequences, computed as in training. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from halo_core.model.batching import token_batches

if TYPE_CHECKING:
    from halo_core.types import Completion

_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence: the context, and the completion that carries the loss."""

    prompt_ids: tuple[int, ...]
    """At least one id."""
    completion_ids: tuple[int, ...]
    weight: float = 1.0
    loss_mask: tuple[bool, ...] | None = None
    """Marks the `completion_ids` that carry loss; None: all of them."""

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def loss_tokens(self) -> int:
        """Number of tokens that carry loss."""
        return len(self.completion_ids) if self.loss_mask is None else sum(self.loss_mask)

    def with_weight(self, weight: float) -> Example:
        """Return this example with another weight."""
        return replace(self, weight=weight)


@dataclass(frozen=True, slots=True)
class Batch:
    """B sequences of at most T + 1 tokens, N of which carry loss."""

    ids: torch.Tensor
    """[B, T], padded on the right."""
    positions: torch.Tensor
    """[N], indices into the flattened [B * T]: the positions whose next token carries loss."""
    targets: torch.Tensor
    """[N], the tokens that carry loss, sequence by sequence."""
    weights: torch.Tensor
    """[N], the weight of each token's sequence."""


def token_logprobs(
    model: Any,
    completions: Sequence[Completion],
    *,
    device: torch.device,
    autocast: Callable[[], AbstractContextManager[object]],
) -> list[tuple[float, ...]]:
    """Return the log p of each token of each completion, in nats at temperature 1.

    Computed as in training: with the adapter next to the weights, not merged into them.
    """
    examples = [Example(completion.prompt_token_ids, completion.token_ids) for completion in completions]
    found: dict[int, tuple[float, ...]] = {}
    for rows in token_batches([len(example) for example in examples], _BATCH_TOKENS):
        batch = pack([examples[row] for row in rows], device)
        with torch.inference_mode(), autocast():
            logits = completion_logits(model, batch.ids, batch.positions).float()
        logprobs = logits.log_softmax(-1).gather(1, batch.targets[:, None]).squeeze(1)
        lengths = [len(examples[row].completion_ids) for row in rows]
        parts = torch.split(logprobs, lengths)
        found |= {row: tuple(part.tolist()) for row, part in zip(rows, parts, strict=True)}
    return [found[row] for row in range(len(examples))]


def completion_logits(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, V] of a causal language model on `ids` [B, T] at N flat `positions` of B * T.

    Only those positions reach the output head; any further processing of the logits by the model still applies. If
    the head cannot be found, the model computes all logits and those at the positions are selected.
    """
    head = model.get_output_embeddings()
    if head is None:
        return _take(model(input_ids=ids, use_cache=False).logits, positions)
    hook = head.register_forward_pre_hook(lambda _, args: (_take(args[0], positions), *args[1:]))
    try:
        logits: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    return logits


def _take(values: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    return values.flatten(0, 1).index_select(0, positions)


def pack(examples: Sequence[Example], device: torch.device) -> Batch:
    """Put sequences into one batch.

    Padding is on the right and needs no attention mask: under causal attention a token never sees later tokens.
    """
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
    weights = torch.tensor([[example.weight] for example in examples]).expand(carries.shape)
    return Batch(
        ids=ids[:, :-1].to(device),
        positions=carries.flatten().nonzero().squeeze(1).to(device),
        targets=ids[:, 1:][carries].to(device),
        weights=weights[carries].to(device),
    )
