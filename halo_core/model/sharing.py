"""Sequences that begin with the same tokens share a row of a batch, so that what they share is computed once.

A row holds the prefix tree of its sequences: each of its tokens attends to the tokens before it in its own sequences
only, and its position is its depth in the tree. Rows are formed where that needs less arithmetic; a longer row costs
more attention. Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from halo_core.model.batching import token_batches
from halo_core.model.units import Example, Unit

_LEAST_SAVING = 0.95
"""Sharing is used if it needs at most this share of the arithmetic."""
_ATTENTION_WEIGHT = 2.0
"""Time of an operation of attention under a mask, in operations of a linear layer."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The arithmetic of a row, in operations."""

    token: float
    """Operations of the layers for each token."""
    pair: float
    """Operations of attention for each pair of tokens."""

    def of_tree(self, tokens: int) -> float:
        """Return the cost of a row of `tokens` tokens under a mask."""
        return self.token * tokens + self.pair * tokens**2

    def of_sequence(self, tokens: int) -> float:
        """Return the cost of one sequence of `tokens` tokens, whose attention skips later tokens."""
        return self.token * tokens + self.pair * tokens**2 / 2

    @classmethod
    def of_model(cls, model: Any) -> Cost:
        """Estimate the cost of a `PreTrainedModel`, whatever its kind."""
        config = model.config.get_text_config()
        head, embeddings = model.get_output_embeddings(), model.get_input_embeddings()
        apart = {id(part.weight) for part in (head, embeddings) if hasattr(part, "weight")}
        weights = sum(_numbers(weight) for weight in model.parameters() if id(weight) not in apart)
        pair = 4 * config.hidden_size * config.num_hidden_layers
        return cls(2.0 * weights, _ATTENTION_WEIGHT * pair)


@dataclass(frozen=True, slots=True)
class Rows:
    """Units of a step that go into the same batch, and the rows of their sequences."""

    units: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    """Each row as indices into the sequences of the units, in order."""
    length: int
    """Tokens of the longest row; a row that is not shared counts its last token, which no pass needs."""


def _numbers(weight: Any) -> int:
    state = getattr(weight, "quant_state", None)  # of a weight in 4 bits, which are packed
    return int((state.shape if state else weight.shape).numel())


def common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    """Return the number of tokens with which both begin."""
    for count, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return count
    return min(len(left), len(right))


def tokens_of(example: Example) -> tuple[int, ...]:
    """Return the tokens of `example` that the model reads: all but the last."""
    return (example.prompt_ids + example.completion_ids)[:-1]


def shared_rows(examples: Sequence[Example], cost: Cost, limit: int) -> list[tuple[int, ...]]:
    """Distribute `examples` over rows of at most `limit` tokens; return the indices in each row.

    A sequence joins the row of its neighbour in lexicographic order if that needs less arithmetic than a row of its
    own.
    """
    read = [tokens_of(example) for example in examples]
    rows: list[tuple[int, ...]] = []
    size = 0
    for index in sorted(range(len(read)), key=lambda index: (read[index], index)):
        tokens = read[index]
        if rows:
            more = len(tokens) - common_prefix(read[rows[-1][-1]], tokens)
            before = cost.of_sequence(size) if len(rows[-1]) == 1 else cost.of_tree(size)
            joined = cost.of_tree(size + more) - before
            if size + more <= limit and joined < cost.of_sequence(len(tokens)):
                rows[-1] = (*rows[-1], index)
                size += more
                continue
        rows.append((index,))
        size = len(tokens)
    return rows


def size_of(examples: Sequence[Example]) -> int:
    """Return the number of tokens of a row of `examples`, given in lexicographic order."""
    read = [tokens_of(example) for example in examples]
    shared = (common_prefix(left, right) for left, right in pairwise(read))
    return sum(map(len, read)) - sum(shared)


def batches(
    units: Sequence[Unit], budget: int, cost: Cost | None
) -> list[tuple[list[int], list[tuple[int, ...]]]]:
    """Split the units of a step into batches of at most `budget` tokens, padding included.

    Return the indices of the units of each batch, and its rows as indices into the sequences of those units. Without a
    `cost`, each sequence has a row of its own.
    """
    parts = _alone(units) if cost is None else _together(units, cost, budget - 1)
    found = []
    for chosen in token_batches([it.length for it in parts], budget, [len(it.rows) for it in parts]):
        indices: list[int] = []
        rows: list[tuple[int, ...]] = []
        for part in (parts[number] for number in chosen):
            start = sum(len(units[index]) for index in indices)
            rows += [tuple(start + index for index in row) for row in part.rows]
            indices += part.units
        found.append((indices, rows))
    return found


def _alone(units: Sequence[Unit]) -> list[Rows]:
    return [
        Rows((number,), tuple((index,) for index in range(len(unit))), max(map(len, unit)))
        for number, unit in enumerate(units)
    ]


def _together(units: Sequence[Unit], cost: Cost, limit: int) -> list[Rows]:
    """Let single sequences share rows, and the sequences of each larger unit among themselves."""
    single = [number for number, unit in enumerate(units) if len(unit) == 1]
    examples = [units[number][0] for number in single]
    found = [
        Rows(tuple(single[index] for index in row), (tuple(range(len(row))),), _length(examples, row))
        for row in shared_rows(examples, cost, limit)
    ]
    for number, unit in enumerate(units):
        if len(unit) > 1:
            rows = shared_rows(unit, cost, limit)
            found.append(Rows((number,), tuple(rows), max(_length(unit, row) for row in rows)))
    return found


def _length(examples: Sequence[Example], row: Sequence[int]) -> int:
    return size_of([examples[index] for index in row]) + 1


def prompts_of(units: Sequence[Unit]) -> list[tuple[int, ...] | int]:
    """Return a key for each unit: the prompt of a single sequence, else the number of the unit, which no other has."""
    return [unit[0].prompt_ids if len(unit) == 1 else number for number, unit in enumerate(units)]


def saves(units: Sequence[Unit], steps: Sequence[Sequence[int]], budget: int, cost: Cost) -> bool:
    """Return whether sharing makes the `steps`, lists of indices of `units`, cheaper by a worthwhile share."""
    plain = shared = 0.0
    for step in steps:
        chosen = [units[index] for index in step]
        plain += sum(cost.of_sequence(len(example)) for unit in chosen for example in unit)
        for part in _together(chosen, cost, budget - 1):
            sequences = [example for number in part.units for example in chosen[number]]
            for row in part.rows:
                single = len(row) == 1
                size = _length(sequences, row)
                shared += cost.of_sequence(size) if single else cost.of_tree(size)
    return shared <= _LEAST_SAVING * plain
