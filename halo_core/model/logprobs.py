"""Log-probabilities of sequences under the actor as it is trained. Imports torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from halo_core.model.batching import token_batches

if TYPE_CHECKING:
    from halo_core.model.actor import Actor
    from halo_core.types import Completion

_BATCH_TOKENS = 4096


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence: the context as the model saw it, and the completion that carries the loss."""

    prompt_ids: tuple[int, ...]
    """At least one."""
    completion_ids: tuple[int, ...]
    weight: float = 1.0
    loss_mask: tuple[bool, ...] | None = None
    """Which of `completion_ids` carry loss; None: all."""

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def loss_tokens(self) -> int:
        """Number of tokens that carry loss."""
        return len(self.completion_ids) if self.loss_mask is None else sum(self.loss_mask)

    def weighing(self, weight: float) -> Example:
        """Return this example with another weight."""
        return replace(self, weight=weight)


@dataclass(frozen=True, slots=True)
class Batch:
    """B sequences of at most T + 1 tokens, N of which carry loss."""

    ids: torch.Tensor
    """[B, T], padded on the right."""
    positions: torch.Tensor
    """[N], into the flattened [B * T]: where the next token carries loss."""
    targets: torch.Tensor
    """[N], those tokens, sequence by sequence."""
    weights: torch.Tensor
    """[N], of their sequences."""


def token_logprobs(actor: Actor, completions: Sequence[Completion]) -> list[tuple[float, ...]]:
    """Return, for each completion, log p of each of its tokens in nats at temperature 1.

    Computed as training does: with the adapter beside the weights, not folded into them.
    """
    examples = [Example(it.prompt_token_ids, it.token_ids) for it in completions]
    found: dict[int, tuple[float, ...]] = {}
    for rows in token_batches([len(example) for example in examples], _BATCH_TOKENS):
        scored = _scored(actor, [examples[row] for row in rows])
        found |= dict(zip(rows, scored, strict=True))
    return [found[row] for row in range(len(examples))]


def _scored(actor: Actor, examples: Sequence[Example]) -> Iterator[tuple[float, ...]]:
    batch = pack(examples, actor.device)
    model = actor.model.get_base_model() if actor.has_adapter else actor.model
    with torch.inference_mode(), actor.autocast():
        logits = completion_logits(model, batch.ids, batch.positions).float()
    logprobs = logits.log_softmax(-1).gather(1, batch.targets[:, None]).squeeze(1)
    lengths = [len(example.completion_ids) for example in examples]
    for part in torch.split(logprobs, lengths):
        yield tuple(part.tolist())


def completion_logits(model: Any, ids: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Return the logits [N, V] of a causal language model on `ids` [B, T] at N flat `positions` of B * T.

    The output head is given those positions only, which leaves whatever the model does to its logits in
    place. A model whose head cannot be found computes them all, and the positions are taken out.
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
    """Lay sequences side by side.

    Padding is on the right and no attention mask is needed: under causal attention a token never sees what
    comes after it.
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
