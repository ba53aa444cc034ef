"""Measure the attention of one new token per row in 16 bits on the CPU: heads paired with their keys, or packed.

    python benchmarks/bench_attention.py

The shape is that of SmolLM2-135M: 9 heads of 64 numbers, which share 3 heads of keys and values, as views of the longer
buffers that halo keeps. One thread; CPU milliseconds of one layer, the least of several.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from halo_core.model.attention import packed_heads


def milliseconds(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, repeats: int) -> float:
    """Return the least CPU time of a call of the attention that models call."""
    module = SimpleNamespace(num_key_value_groups=query.shape[1] // keys.shape[1], is_causal=True)
    attend, times = ALL_ATTENTION_FUNCTIONS["sdpa"], []
    for _ in range(repeats):
        start = time.thread_time()
        attend(module, query, keys, values, None, scaling=query.shape[-1] ** -0.5)
        times.append(time.thread_time() - start)
    return 1000 * min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dtype", choices=["bfloat16", "float16"], default="bfloat16")
    parser.add_argument("--repeats", type=int, default=10)
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype)
    torch.set_num_threads(1)
    print("rows  tokens  paired  packed  ratio")
    with torch.inference_mode():
        for rows in (8, 64):
            for length in (64, 160, 512):
                query = torch.randn(rows, 9, 1, 64).to(dtype)
                keys, values = (
                    torch.randn(rows, 3, length + 64, 64).to(dtype)[:, :, :length] for _ in range(2)
                )
                paired = milliseconds(query, keys, values, given.repeats)
                with packed_heads():
                    packed = milliseconds(query, keys, values, given.repeats)
                print(f"{rows:4}  {length:6}  {paired:6.2f}  {packed:6.2f}  {paired / packed:5.2f}")


if __name__ == "__main__":
    main()
