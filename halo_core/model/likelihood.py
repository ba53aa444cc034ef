"""The loss of supervised fine-tuning: the negative log-likelihood, weighted by sequence.

With weight w, T tokens and mean negative log-likelihood nll of each sequence i, the loss of a step is

    sum_i(w_i * T_i * nll_i) / sum_i(|w_i| * T_i)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from halo_core.model.units import Batch, Loss, Unit

if TYPE_CHECKING:
    import torch


def weighted_nll(batch: Batch, logprobs: torch.Tensor) -> Loss:
    """Return the sum of w * nll over the tokens; reported is the sum of |w| * nll, which is never negative."""
    weights = batch.by_token(batch.weights)
    return Loss((-logprobs * weights).sum(), reported=(-logprobs.detach() * weights.abs()).sum())


def weighted_tokens(units: Sequence[Unit]) -> float:
    """Return the sum of |w| over the tokens."""
    return sum(abs(example.weight) * example.loss_tokens for unit in units for example in unit)
