"""A real model of a few thousand parameters, for tests of whatever samples, trains or tokenizes."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.pretraining import new_checkpoint, new_tokenizer

_ARCHITECTURE = {
    "model_type": "llama",
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
    "initializer_range": 0.3,
}
"""Large random weights: predictions that differ, so that tests can tell two models or two tokens apart."""
_CHAT_TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}] {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


def tiny_actor(seed: int = 0) -> Actor:
    """Return a Llama model of 6,000 parameters with random weights, on the CPU in float32.

    The tokenizer has a token for each byte, a few longer ones and an end token; there is a chat template, and the
    context has 256 tokens. Takes milliseconds once transformers is imported, and needs no network. Equal seeds give
    equal weights.
    """
    return Actor(ModelConfig(name=_checkpoint(seed).name, device="cpu", dtype="float32"))


@cache
def _checkpoint(seed: int) -> tempfile.TemporaryDirectory[str]:
    """Return the directory of the checkpoint, which is deleted when the process ends."""
    directory = tempfile.TemporaryDirectory(prefix="halo-tiny-")
    tokenizer = new_tokenizer([_CHAT_TEMPLATE], 272)
    tokenizer.chat_template = _CHAT_TEMPLATE
    new_checkpoint(Path(directory.name), _ARCHITECTURE, tokenizer, seed=seed)
    return directory
