"""A warning about learning rates that are meant for another method."""

from __future__ import annotations

from halo_core import Actor

SFT_RATE = 1e-4
"""From here on a learning rate suits `sft` with LoRA: 2e-4 is usual."""
TINY = 100_000_000
"""Models with fewer parameters need higher learning rates, so there is no warning about theirs."""


def warning(lr: float, actor: Actor, usual: str) -> str:
    """Return a warning if the learning rate is one for `sft`, or ""; `usual` is what the method needs."""
    parameters = sum(weight.numel() for weight in actor.model.parameters())
    if lr < SFT_RATE or parameters < TINY:
        return ""
    return f"the learning rate {lr:.1e} is one for sft; this trainer usually needs {usual}"
