"""Batches of token sequences as tensors. Imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress, repeat

import torch
from torch.nn.utils.rnn import pad_sequence

from halo_core.errors import TrainingError
from halo_core.model.sharing import common_prefix, tokens_of
from halo_core.model.units import Batch, Example, Unit


def pack(units: Sequence[Unit], device: torch.device, rows: Sequence[Sequence[int]] | None = None) -> Batch:
    """Put units of sequences into one batch.

    `rows` lists the sequences of each row by their number in the batch, in lexicographic order; None: each has a row of
    its own. Padding is on the right. It needs no attention mask in a batch without shared rows: under causal attention
    a token never sees later tokens. Raises a `TrainingError` if the sequences do not have the same columns.
    """
    examples = [example for unit in units for example in unit]
    rows = rows or [(index,) for index in range(len(examples))]
    trees = [_Tree([tokens_of(examples[index]) for index in row]) for row in rows]
    width = max(len(tree.ids) for tree in trees)
    nodes: list[torch.Tensor] = [torch.empty(0)] * len(examples)
    for number, (row, tree) in enumerate(zip(rows, trees, strict=True)):
        for index, path in zip(row, tree.paths, strict=True):
            nodes[index] = torch.tensor(path) + number * width
    carries = [_carries(example) for example in examples]
    ids = pad_sequence([torch.tensor(tree.ids) for tree in trees], batch_first=True)
    positions = [path[mask.nonzero().squeeze(1)] for path, mask in zip(nodes, carries, strict=True)]
    targets = [
        torch.tensor(example.prompt_ids + example.completion_ids)[1:][mask]
        for example, mask in zip(examples, carries, strict=True)
    ]
    inputs = _inputs(trees, width) if any(len(row) > 1 for row in rows) else {}
    return Batch(
        ids=ids.to(device),
        positions=torch.cat(positions).to(device),
        targets=torch.cat(targets).to(device),
        lengths=tuple(example.loss_tokens for example in examples),
        units=torch.tensor([number for number, unit in enumerate(units) for _ in unit]).to(device),
        weights=torch.tensor([example.weight for example in examples], dtype=torch.float32).to(device),
        columns={name: _column(name, examples).to(device) for name in examples[0].columns},
        inputs={name: tensor.to(device) for name, tensor in inputs.items()},
    )


class _Tree:
    """The prefix tree of sequences in lexicographic order; a node is a token, numbered when it first occurs."""

    def __init__(self, sequences: Sequence[tuple[int, ...]]) -> None:
        self.ids: list[int] = []
        self.depths: list[int] = []
        self.paths: list[list[int]] = []
        """The nodes of each sequence."""
        for number, tokens in enumerate(sequences):
            shared = common_prefix(sequences[number - 1], tokens) if number else 0
            start = len(self.ids)
            self.ids += tokens[shared:]
            self.depths += range(shared, len(tokens))
            path = [*self.paths[-1][:shared]] if number else []
            self.paths.append(path + list(range(start, len(self.ids))))


def _inputs(trees: Sequence[_Tree], width: int) -> dict[str, torch.Tensor]:
    """Return the positions [R, width] of the tokens, and the mask [R, 1, width, width] of what each attends to."""
    positions = torch.zeros(len(trees), width, dtype=torch.long)
    mask = torch.eye(width, dtype=torch.bool).repeat(len(trees), 1, 1, 1).view(len(trees), 1, width, width)
    for number, tree in enumerate(trees):
        positions[number, : len(tree.ids)] = torch.tensor(tree.depths)
        for nodes in tree.paths:
            path = torch.tensor(nodes)
            square = torch.ones(len(nodes), len(nodes), dtype=torch.bool).tril()
            mask[number, 0, path[:, None], path[None, :]] |= square
    return {"position_ids": positions, "attention_mask": mask}


def _carries(example: Example) -> torch.Tensor:
    """Return for each token that the model reads whether the next one carries loss."""
    own = torch.ones(len(example.completion_ids), dtype=torch.bool)
    if example.loss_mask is not None:
        own = torch.tensor(example.loss_mask, dtype=torch.bool)
    return torch.cat([torch.zeros(len(example.prompt_ids) - 1, dtype=torch.bool), own])


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
