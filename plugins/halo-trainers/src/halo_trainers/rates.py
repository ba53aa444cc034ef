"""A warning about learning rates that are meant for another method."""

from __future__ import annotations

from dataclasses import replace

from halo_core import TrainingContext, TrainStats

SFT_RATE = 1e-4
"""From here on a learning rate suits `sft` with LoRA: 2e-4 is usual."""
TINY = 100_000_000
"""Models with fewer parameters need higher learning rates, so there is no warning about theirs."""


def with_warning(stats: TrainStats, context: TrainingContext, usual: str) -> TrainStats:
    """Return `stats` with a note if the learning rate is one for `sft`; `usual` is what the method needs."""
    parameters = sum(weight.numel() for weight in context.actor.model.parameters())
    if context.lr < SFT_RATE or parameters < TINY:
        return stats
    note = f"the learning rate {context.lr:.1e} is one for sft; this trainer usually needs {usual}"
    return replace(stats, notes=(*stats.notes, note))
