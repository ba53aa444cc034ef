"""Measure the overhead of the loop, and the overlap of sampling and verification.

    python benchmarks/bench_loop.py

Overhead: 100,000 samples through hooks, the ledger, rewards and selection, with fake generation, verification and
training; the generator's own time is measured separately and subtracted. Goal: at most 200 microseconds per sample.

Overlap: a generator that only waits, as if for a GPU, and a verifier that only waits, as if for a compiler; the time of
both together, divided by the longer of the two alone. Goal: at most 1.1.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from halo_core.loop import run_cycles
from halo_core.model.contexts import SamplingContext
from halo_core.testing import FakeGenerator, FakeVerifier, fake_run
from halo_core.types import Prompt, SamplingRequest

PROMPTS, PER_PROMPT, BATCH = 12_500, 8, 128


def overhead() -> float:
    """Return the microseconds per sample, without the fake generator's own time."""
    generator = FakeGenerator(batch=BATCH)
    with tempfile.TemporaryDirectory() as folder:
        run, hooks = fake_run(
            Path(folder) / "run",
            prompts=PROMPTS,
            heldout=1,
            cycles=1,
            samples_per_prompt=PER_PROMPT,
            generator=generator,
        )
        started = time.perf_counter()
        run_cycles(run, hooks)
        total = time.perf_counter() - started
        prompts = tuple(Prompt(f"t{n}", "") for n in range(PROMPTS))
        request = SamplingRequest(
            cycle=1, split="train", prompts=prompts, samples_per_prompt=PER_PROMPT, seed=0
        )
        started = time.perf_counter()
        for _ in generator.generate(request, SamplingContext(actor=run.actor)):
            pass
        generation = time.perf_counter() - started
    return (total - generation) / (PROMPTS * PER_PROMPT) * 1e6


def sampling_stage(generate_seconds: float, verify_seconds: float) -> float:
    """Return the seconds of one cycle's sampling stage, given the delay per batch of 16 and per verdict."""
    with tempfile.TemporaryDirectory() as folder:
        run, hooks = fake_run(
            Path(folder) / "run", prompts=64, heldout=1, cycles=1, samples_per_prompt=8, workers=2,
            generator=FakeGenerator(batch=16, seconds=generate_seconds), verifier=FakeVerifier(seconds=verify_seconds),
        )  # fmt: skip
        return run_cycles(run, hooks)[-1].seconds["sample"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeat", type=int, default=3)
    repeat = parser.parse_args().repeat
    costs = [overhead() for _ in range(repeat)]
    print(
        f"overhead: {statistics.median(costs):.0f} us per sample (of {', '.join(f'{c:.0f}' for c in costs)}); goal 200"
    )
    for name, generate, verify in (
        ("sampling slower", 0.2, 0.015),
        ("equal", 0.2, 0.025),
        ("verification slower", 0.1, 0.025),
    ):
        ratios = []
        for _ in range(repeat):
            both = sampling_stage(generate, verify)
            ratios.append(both / max(sampling_stage(generate, 0.0), sampling_stage(0.0, verify)))
        print(f"overlap, {name}: {statistics.median(ratios):.2f} of the slower alone; goal 1.10")


if __name__ == "__main__":
    main()
