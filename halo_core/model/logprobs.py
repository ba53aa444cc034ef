"""Log-probabilities of token sequences, computed as in training. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import compress, repeat
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence

from halo_core.errors import TrainingError
from halo_core.model.batching import token_batches
from halo_core.model.heads import head_of, scores_of, token_scores
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
    usable = [
        n for n, completion in enumerate(completions) if completion.prompt_token_ids and completion.token_ids
    ]
    examples = [Example(completions[n].prompt_token_ids, completions[n].token_ids) for n in usable]
    found: dict[int, tuple[float, ...]] = {}
    with torch.inference_mode(), autocast():
        scorer = Scorer(model)
        for rows in token_batches([len(example) for example in examples], _BATCH_TOKENS):
            batch = pack([(examples[row],) for row in rows], device)
            parts = torch.split(scorer.score(batch)[0], list(batch.lengths))
            found |= {usable[row]: tuple(part.tolist()) for row, part in zip(rows, parts, strict=True)}
    return [found.get(n, ()) for n in range(len(completions))]


class Scorer:
    """Computes the log-probabilities of batches with a causal language model."""

    def __init__(self, model: Any) -> None:
        self.model, self.head = model, head_of(model)

    def score(self, batch: Batch, *, entropies: bool = False) -> tuple[torch.Tensor, Batch]:
        """Return the log-probability [N] of each token of `batch` that carries loss, and `batch` with its entropies.

        Differentiable. The logits of a few tokens exist at a time (`heads.token_scores`), unless the model's head
        cannot be computed apart from the model.
        """
        if self.head:
            states = _take(self.head.hidden(self.model, input_ids=batch.ids), batch.positions)
            logprobs, found = token_scores(self.head, states, batch.targets, entropies=entropies)
        else:
            logits = completion_logits(self.model, batch.ids, batch.positions).float()
            logprobs, found = scores_of(logits, batch.targets, entropies=entropies)
        return logprobs, batch if found is None else replace(batch, entropies=found)


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
