"""The `model` section: which model a run starts from."""

from __future__ import annotations

from typing import Literal

from halo_core.config.options import driver


@driver
class ModelConfig:
    """Which model a run starts from, and how it is held in memory."""

    name: str = ""
    """A name on the Hugging Face hub, or a local directory."""
    adapter: str | None = None
    """Directory or hub name of a PEFT adapter to go on from."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision of the forward pass. `auto`: bfloat16 on an accelerator that has it, else float32."""
    device: str = "auto"
    """`cpu`, `cuda` (ROCm too), `cuda:1`, `mps`, `xpu`. `auto`: the accelerator if there is one."""
    attn_implementation: str | None = None
    """Attention of transformers: `sdpa`, `eager`, `flash_attention_2`. None: the model's default."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for a source you trust."""
