"""The `model` section: the model that a run starts from."""

from __future__ import annotations

from typing import Literal

from halo_core.config.options import driver


@driver
class ModelConfig:
    """The model that a run starts from, and its placement in memory."""

    name: str = ""
    """Name on the Hugging Face hub, or local directory."""
    adapter: str | None = None
    """Directory or hub name of a PEFT adapter to start from."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the forward pass. `auto`: bfloat16 on an accelerator that supports it, and on a CPU that is
    measured to be faster with it, for models of at least 50 million parameters; else float32. A run keeps it."""
    quantization: Literal["none", "nf4"] = "none"
    """`nf4`: hold the weights of the linear layers in 4 bits, double-quantized (QLoRA, arXiv 2305.14314), and train an
    adapter beside them. Needs bitsandbytes; works on a CPU too, where it saves memory and costs time."""
    device: str = "auto"
    """`cpu`, `cuda` (ROCm too), `cuda:1`, `mps`, `xpu`. `auto`: the accelerator if there is one."""
    attn_implementation: str | None = None
    """Attention implementation of transformers: `sdpa`, `eager`, `flash_attention_2`. None: the model's default."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Enable it only for sources that you trust."""
