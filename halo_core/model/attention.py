"""Attention of the newest token of each row, in 16 bits on a CPU. Imports torch.

Where several heads share keys and no token is masked, transformers lets torch pair each head with its keys, and torch's
kernel for 16 bits then takes about five times as long as for heads that are packed as further positions of their
common keys. `benchmarks/bench_attention.py` measures it. The results are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_KIND = "sdpa"
_HALVES = (torch.bfloat16, torch.float16)


_lock = Lock()
_blocks = 0
"""Blocks that have been entered and not left, in all threads."""
_plain: Any = None


@contextmanager
def packed_heads() -> Iterator[None]:
    """Let models pack the heads that share keys, in the enclosed block, where that is faster."""
    global _blocks, _plain
    with _lock:
        _blocks += 1
        if _blocks == 1:
            _plain = ALL_ATTENTION_FUNCTIONS[_KIND]
            ALL_ATTENTION_FUNCTIONS[_KIND] = partial(_attend, _plain)
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if _blocks == 0:
                ALL_ATTENTION_FUNCTIONS[_KIND] = _plain


def _attend(
    plain: Callable[..., Any],
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None = None,
    **options: Any,
) -> Any:
    rows, heads, length, _ = query.shape
    shared = key.shape[1]
    biased = attention_mask is not None or options.get("position_bias") is not None
    halves = key.device.type == "cpu" and key.dtype in _HALVES
    if length > 1 or heads == shared or biased or not halves:
        return plain(module, query, key, value, attention_mask, **options)
    packed = query.reshape(rows, shared, heads // shared, -1)
    found, weights = plain(module, packed, key, value, None, **{**options, "is_causal": False})
    return found.transpose(1, 2).reshape(rows, 1, heads, -1), weights
