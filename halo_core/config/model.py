"""The `model` section: the model that a run starts from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import yaml
from pydantic import BeforeValidator, Field

from halo_core.config.options import driver


def _typed(values: Any) -> Any:
    """Return a mapping with the numbers and truth values that a command line gives as text: "false" is false."""
    return {key: _value(value) for key, value in values.items()} if isinstance(values, dict) else values


def _value(value: Any) -> Any:
    try:
        read = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        return value
    return read if isinstance(read, (bool, int, float)) else value


@driver
class ModelConfig:
    """The model that a run starts from, and its placement in memory."""

    name: str = ""
    """Name on the Hugging Face hub, or local directory, or GGUF file."""
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
    chat_template: str | None = None
    """Jinja file with a chat template, instead of the tokenizer's own. None: the tokenizer's."""
    chat_template_kwargs: Annotated[dict[str, Any], BeforeValidator(_typed)] = Field(default_factory=dict)
    """Values for the chat template, such as `enable_thinking: false`; one that it does not use is an error."""
