"""Measure the CPU time of drawing tokens, beside a draw that sorts the vocabulary.

    python benchmarks/bench_draw.py

One step of sampling draws a token for each of 64 rows of logits in bfloat16, and records its log-probability. Both
draws take turns at the vocabularies of the demo, of SmolLM2 and of Qwen2.5; medians of CPU milliseconds per step and
their ratio are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as in a run: waiting threads use no CPU time

import torch

from halo_core.model.drawing import Sampling

VOCABULARIES = (1_024, 49_152, 151_936)
ROWS = 64
Draw = Callable[[torch.Tensor, float], object]


def by_halo(logits: torch.Tensor, top_p: float) -> object:
    return Sampling(0.8, top_p).draw(logits, torch.Generator().manual_seed(0))


def by_sorting(logits: torch.Tensor, top_p: float) -> object:
    """Sort the probabilities, cut them at `top_p`, and draw by multinomial."""
    logits = logits.float()
    probabilities = (logits / 0.8).softmax(-1)
    if top_p < 1:
        ordered, order = probabilities.sort(-1, descending=True)
        ordered[ordered.cumsum(-1) - ordered >= top_p] = 0
        probabilities = torch.zeros_like(probabilities).scatter_(-1, order, ordered)
    tokens = probabilities.multinomial(1, generator=torch.Generator().manual_seed(0))
    return logits.gather(1, tokens).squeeze(1) - logits.logsumexp(-1)


def cpu_milliseconds(draw: Draw, logits: torch.Tensor, top_p: float, steps: int) -> float:
    start = time.process_time()
    for _ in range(steps):
        draw(logits, top_p)
    return (time.process_time() - start) / steps * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="draws per round")
    args = parser.parse_args()
    print(f"{'vocabulary':>10}  {'top_p':>5}  {'halo ms':>8}  {'sorting ms':>10}  {'ratio':>5}")
    for vocabulary in VOCABULARIES:
        logits = (torch.randn(ROWS, vocabulary, generator=torch.Generator().manual_seed(0)) * 3).bfloat16()
        for top_p in (1.0, 0.95):
            times: dict[Draw, list[float]] = {by_halo: [], by_sorting: []}
            for draw in times:
                draw(logits, top_p)
            for _ in range(args.rounds):
                for draw, measured in times.items():
                    measured.append(cpu_milliseconds(draw, logits, top_p, args.steps))
            halo, sorting = (statistics.median(measured) for measured in times.values())
            print(f"{vocabulary:>10,}  {top_p:>5}  {halo:>8.1f}  {sorting:>10.1f}  {sorting / halo:>5.1f}")


if __name__ == "__main__":
    main()
