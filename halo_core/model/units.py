"""The data of the training loop: sequences, units of sequences, and the batches that a loss gets.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, Self

from halo_core.errors import TrainingError
from halo_core.types import Sample

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Example:
    """A sequence: the context, and the completion that carries the loss."""

    prompt_ids: tuple[int, ...]
    """At least one id."""
    completion_ids: tuple[int, ...]
    weight: float = 1.0
    """Its meaning is up to the loss: a count, an advantage."""
    loss_mask: tuple[bool, ...] | None = None
    """Marks the `completion_ids` that carry loss; None: all of them."""
    columns: Mapping[str, tuple[float, ...]] = field(default_factory=dict, hash=False)
    """Further numbers for the loss, by name, one for each of `completion_ids`: log-probabilities of a reference."""

    def __post_init__(self) -> None:
        for name, values in self.columns.items():
            if len(values) != len(self.completion_ids):
                raise TrainingError(
                    f"column {name!r} has {len(values)} values for {len(self.completion_ids)} tokens",
                    hint="a column has one value for each token of the completion",
                )

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def loss_tokens(self) -> int:
        """Number of tokens that carry loss."""
        return len(self.completion_ids) if self.loss_mask is None else sum(self.loss_mask)

    @classmethod
    def of(cls, sample: Sample, **columns: Sequence[float] | None) -> Self:
        """Return the sampled tokens of `sample` with its weight, its loss mask and `columns`.

        Raises a `TrainingError` if the sample has no token ids, or if a column is None: the generator recorded no
        log-probabilities, for example.
        """
        completion = sample.completion
        which = f"completion {completion.index} of prompt {completion.prompt_id!r}"
        if not completion.prompt_token_ids or not completion.token_ids:
            raise TrainingError(
                f"{which} has no token ids",
                hint="training needs the sampled tokens; use a generator that records them",
            )
        found: dict[str, tuple[float, ...]] = {}
        for name, values in columns.items():
            if values is None:
                raise TrainingError(
                    f"{which} has no {name}", hint="use a generator that records log-probabilities"
                )
            found[name] = tuple(values)
        ids = completion.prompt_token_ids, completion.token_ids
        return cls(*ids, weight=sample.weight, loss_mask=completion.loss_mask, columns=found)

    def with_weight(self, weight: float) -> Self:
        """Return this example with another weight."""
        return replace(self, weight=weight)


Unit = Sequence[Example]
"""Sequences that stay together in a step and in a batch, in this order: one sequence, a pair, a group."""


@dataclass(frozen=True, slots=True)
class Batch:
    """U units, B sequences in R rows of at most T tokens, N tokens that carry loss.

    Units are complete. The sequences of a unit follow each other in the order of the unit, and the tokens that carry
    loss are ordered by sequence. Sequences that begin alike may share a row, in which the common tokens occur once;
    otherwise row i is sequence i.
    """

    ids: torch.Tensor
    """[R, T], padded on the right; without the last token of each sequence."""
    positions: torch.Tensor
    """[N], indices into the flattened [R * T]: the positions whose next token carries loss."""
    targets: torch.Tensor
    """[N], the tokens that carry loss."""
    lengths: tuple[int, ...]
    """B numbers: the tokens of each sequence that carry loss. They sum to N."""
    units: torch.Tensor
    """[B], the number of each sequence's unit, from 0."""
    weights: torch.Tensor
    """[B], the weight of each sequence."""
    columns: Mapping[str, torch.Tensor]
    """[N] each: the columns of the examples, at the tokens that carry loss."""
    inputs: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Further arguments of the model if sequences share rows: `position_ids` [R, T] and `attention_mask` [R, 1, T, T],
    which is true where a token attends to another."""
    entropies: torch.Tensor | None = None
    """[N], the entropy of the model's prediction of each token, in nats, differentiable; None unless asked for."""
    values: torch.Tensor | None = None
    """[N], the value head's estimate from all tokens before each token, differentiable; None unless asked for."""

    def by_token(self, values: torch.Tensor) -> torch.Tensor:
        """Return [N]: for each token, the value of its sequence, of `values` [B]."""
        import torch

        lengths = torch.tensor(self.lengths, device=values.device)
        return values.repeat_interleave(lengths, output_size=sum(self.lengths))

    def sums(self, values: torch.Tensor) -> torch.Tensor:
        """Return [B]: `values` [N], summed over the tokens of each sequence."""
        import torch

        return torch.stack([part.sum() for part in torch.split(values, list(self.lengths))])

    def means(self, values: torch.Tensor) -> torch.Tensor:
        """Return [B]: the mean of `values` [N] over the tokens of each sequence; 0 for one without such tokens."""
        import torch

        lengths = torch.tensor(self.lengths, device=values.device, dtype=values.dtype)
        return self.sums(values) / lengths.clamp(min=1)


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss of a batch, with statistics."""

    total: torch.Tensor
    """A scalar: the loss summed over the batch, which the loop divides by the denominator of the whole step."""
    metrics: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """Statistics by name, with any shape; `TrainStats.metrics` has the mean over all elements of all batches."""
    reported: torch.Tensor | None = None
    """A scalar to report as the loss instead of `total`, summed over the batch like it."""


LossFunction = Callable[[Batch, "torch.Tensor"], "torch.Tensor | Loss"]
"""Takes a batch and the log-probability [N] of each token that carries loss, in nats at temperature 1.

Returns the loss, summed over the batch: a scalar, or a `Loss` with statistics. It must depend on its arguments alone.
"""

Per = Literal["unit", "sequence", "token"] | Callable[[Sequence[Unit]], float]
"""The items over which the loss of a step is a mean; a function computes the denominator from the units of the step."""
