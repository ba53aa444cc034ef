"""Running out of memory in training: recognised, and answered by smaller batches. Imports torch."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from typing import Any

import torch

from halo_core.errors import OutOfMemoryError

_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether `error` means that a device, or the machine, has no memory left."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or (
        isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _MESSAGES)
    )


def release(device: torch.device) -> None:
    """Give memory that nothing uses any more back to the device."""
    gc.collect()
    if device.type != "cpu" and hasattr(module := torch.get_device_module(device), "empty_cache"):
        module.empty_cache()


def recomputes(model: torch.nn.Module) -> bool:
    """Return whether the backward pass computes activations of `model` again (gradient checkpointing)."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


def set_recomputing(model: Any, *, on: bool) -> None:
    """Compute the activations of a `PreTrainedModel` again in each backward pass, or keep them.

    Newer versions of transformers deprecate the names that begin with `gradient`.
    """
    prefix = "activation" if hasattr(model, "activation_checkpointing_enable") else "gradient"
    if on:
        getattr(model, f"{prefix}_checkpointing_enable")({"use_reentrant": False})
    else:
        getattr(model, f"{prefix}_checkpointing_disable")()


@dataclass(slots=True)
class Batching:
    """How training keeps within the memory; an actor keeps it from one training to the next."""

    budget: int
    """Tokens of a batch, padding included."""
    checkpointing: bool = False
    """Activations are computed again in the backward pass."""
    tried: bool = False
    """The largest batch was tried."""

    def reduce(self, largest: int, smallest: int, *, may_checkpoint: bool) -> str:
        """Answer a batch of `largest` tokens that did not fit, when no batch can be below `smallest`; return a note.

        The budget is halved. Once that is impossible, activations are computed again in the backward pass. Raises an
        `OutOfMemoryError` if that does not help, or is not allowed.
        """
        half = min(self.budget, largest) // 2
        if largest > smallest:
            self.budget = max(half, smallest)
            return f"out of memory with batches of {largest} tokens; now at most {self.budget}: the result is the same"
        if may_checkpoint and not self.checkpointing:
            self.checkpointing = True
            return f"out of memory with {largest} tokens; now with gradient checkpointing, a third slower"
        raise OutOfMemoryError(
            f"out of memory: a batch of {largest} tokens, the smallest possible, does not fit",
            hint="lower the generator's `max_new_tokens`, train LoRA instead of `full`, set `model.quantization=nf4`, "
            "or use a smaller model",
        )
