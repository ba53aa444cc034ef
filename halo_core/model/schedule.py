"""The number of optimizer steps of a cycle, and the share of them that warmup may take."""

from __future__ import annotations

import math

from halo_core.config.training import FEW
from halo_core.tables import count

SHORT = 20
"""Cycles of fewer steps need no warmup if the optimizer's moments are carried over."""


def effective_steps(
    samples: int, batch: int, *, epochs: int = 1, world: int = 1, accumulation: int = 1
) -> int:
    """Return epochs x ceil(ceil(samples / (batch x world)) / accumulation), the optimizer steps of a cycle.

    `batch`: sequences per forward pass on each of `world` devices; `accumulation`: forward passes per optimizer
    step. Trainer `sft` uses one device and its `batch_size` counts all sequences of a step, so its `accumulation`
    and `world` are 1. The halo-forge notes divide without rounding and ignore the number of devices.
    """
    return epochs * math.ceil(math.ceil(samples / (batch * world)) / accumulation)


def warmup_advice(steps: int, carried: bool = False) -> int:
    """Return the recommended warmup for a cycle of `steps` steps: min(ceil(steps / 10), floor(steps / 4)).

    A tenth, and never more than a quarter of a short cycle: the rule of thumb of 2 / (1 - beta2) = 2000 steps (arXiv
    1910.04209) does not fit into a cycle. 0 for a cycle of fewer than `SHORT` steps whose optimizer is `carried` over
    from the previous cycle, because its second moments are warm. Confidence: low, our estimate.
    """
    return 0 if carried and steps < SHORT else min(math.ceil(steps / 10), steps // 4)


def warnings_for(steps: int, warmup: int) -> tuple[str, ...]:
    """Return a warning, one sentence each, for a long warmup and for too few steps at the full learning rate."""
    warnings = []
    total = count(steps, "optimizer step")
    if warmup and 2 * warmup >= steps:
        verb = "is" if warmup == 1 else "are"
        warnings.append(
            f"{warmup} of {total} {verb} warmup, half or more of the cycle: use {warmup_advice(steps)}"
        )
    if steps - warmup < FEW:
        after_warmup = f" ({max(0, steps - warmup)} at the full learning rate)" if warmup else ""
        warnings.append(f"only {total}{after_warmup}: sample more, lower the batch size or train more epochs")
    return tuple(warnings)
