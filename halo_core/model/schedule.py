"""The number of optimizer steps of a cycle, and advice about its warmup."""

from __future__ import annotations

import math

FEW = 10
"""Fewer steps than this at the peak learning rate get a warning (an estimate; the notes' cycle has 16)."""
SHORT = 20
"""A cycle of fewer steps needs no warmup if its optimizer's moments are carried over."""


def effective_steps(
    samples: int, batch: int, *, epochs: int = 1, world: int = 1, accumulation: int = 1
) -> int:
    """Return the optimizer steps of a cycle: epochs x ceil(ceil(samples / (batch x world)) / accumulation).

    `batch`: sequences of one forward pass on one of `world` devices; `accumulation`: forward passes of an optimizer
    step. Trainer `sft` uses one device, and its `batch_size` counts all sequences of a step, so for it `accumulation`
    and `world` are 1. The halo-forge notes divide without rounding and ignore the number of devices.
    """
    return epochs * math.ceil(math.ceil(samples / (batch * world)) / accumulation)


def warmup_advice(steps: int, carried: bool = False) -> int:
    """Return the advised warmup steps for a cycle of `steps`: min(ceil(steps / 10), floor(steps / 4)).

    That is a tenth, and never a large part of a short cycle; the rule of thumb of 2 / (1 - beta2) = 2000 steps (arXiv
    1910.04209) does not fit into a cycle. 0 for a short cycle whose optimizer is `carried` over from the last one: its
    second moments are warm. Confidence: low, an estimate.
    """
    return 0 if carried and steps < SHORT else min(math.ceil(steps / 10), steps // 4)


def warnings_for(steps: int, warmup: int) -> tuple[str, ...]:
    """Return warnings about a cycle of `steps` with `warmup` steps of warmup, one sentence each."""
    found = []
    if warmup and 2 * warmup >= steps:
        found.append(
            f"{warmup} of {steps} optimizer steps are warmup, half or more of the cycle:"
            f" {warmup_advice(steps)} would do"
        )
    if steps - warmup < FEW:
        left = f" ({max(0, steps - warmup)} at the full rate)" if warmup else ""
        found.append(
            f"{steps} optimizer steps{left} teach little: sample more, lower the batch or take more epochs"
        )
    return tuple(found)
