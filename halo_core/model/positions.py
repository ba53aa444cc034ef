"""The number of positions that a model can use, from its configuration.

Importing this module does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def context_length(config: Any) -> int | None:
    """Return the maximum number of tokens in the context of a model; None if its configuration sets no limit."""
    length: int | None = getattr(config.get_text_config(), "max_position_embeddings", None)
    return length if length and length > 0 else None


def rotary_switch(config: Any) -> int | None:
    """Return the length at which the position encoding of a model changes; None if it never does.

    LongRoPE (Ding et al. 2024, arXiv 2402.13753; Phi-3-128k, Phi-3.5, Phi-4-mini) rotates all positions of a sequence
    by other angles if it is longer than `original_max_position_embeddings`. In a batch, transformers takes the longest
    sequence for all of them. So sampling and training never compute a context up to this length together with a longer
    one: see `decoding.decode` and `logprobs.Scorer`.
    """
    text = config.get_text_config()
    limits = [
        int(limit)
        for each in _parameters(text)
        if each.get("rope_type", each.get("type")) == "longrope"
        and (
            limit := each.get("original_max_position_embeddings")
            or getattr(text, "original_max_position_embeddings", None)
        )
    ]
    return min(limits, default=None)


def _parameters(config: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the rotary parameters of a model: those of all layers, or of each type of layer."""
    found = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if isinstance(found, Mapping):
        yield found
        yield from (each for each in found.values() if isinstance(each, Mapping))
