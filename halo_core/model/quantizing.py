"""Weights in 4 bits, with bitsandbytes. Importing this module does not import torch."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from halo_core.config.model import ModelConfig
from halo_core.errors import ModelError

if TYPE_CHECKING:
    import torch


def check_quantization(config: ModelConfig) -> None:
    """Raise a `ModelError` if `config` quantizes and bitsandbytes is not installed."""
    if config.quantization != "none" and importlib.util.find_spec("bitsandbytes") is None:
        raise ModelError(
            "quantization nf4 needs bitsandbytes, which is not installed",
            hint="pip install 'halo-core[quantization]'",
        )


def check_full(config: ModelConfig) -> None:
    """Raise a `ModelError` if the weights of `config` cannot all be trained."""
    if config.quantization != "none":
        raise ModelError(
            "weights in 4 bits cannot be trained in full",
            hint="leave the trainer's `full` off, or set model.quantization=none",
        )


def quantization_options(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """Return the options of `from_pretrained` for the quantization of `config`; none without one.

    Raises a `ModelError` if bitsandbytes is not installed.
    """
    check_quantization(config)
    if config.quantization == "none":
        return {}
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def is_quantized(model: Any) -> bool:
    """Return whether weights of `model` are in 4 bits."""
    return bool(getattr(model, "is_loaded_in_4bit", False))


def prepare_quantized(model: Any) -> None:
    """Let each layer compute the same in training as in sampling.

    On some CPUs bitsandbytes otherwise rearranges the weights for a kernel without gradients when it is first sampled
    from, and later computes with that kernel in training, too.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def dequantized(model: Any) -> Any:
    """Return `model` with weights that are what its 4 bits stand for, in its precision; it is changed."""
    return model.dequantize() if is_quantized(model) else model
