"""What the loop itself costs, and whether sampling and verification really run side by side.

    python benchmarks/bench_loop.py

Overhead: 100,000 samples through hooks, records, rewards and selection, with generation, verification and
training faked; the fakes' own time is measured apart and taken off. Goal: at most 200 microseconds a sample.

Overlap: a generator that only waits, as while a GPU works, and a verifier that only waits, as while a
compiler works; the time of both together over the longer of the two alone. Goal: at most 1.1.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from halo_core.loop import run_cycles
from halo_core.testing import FakeGenerator, FakeVerifier, fake_run
from halo_core.types import Prompt, SamplingRequest

PROMPTS, PER_PROMPT, BATCH = 12_500, 8, 128


def overhead() -> float:
    """Microseconds a sample, the fakes' own time taken off."""
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
        begin = time.perf_counter()
        run_cycles(run, hooks)
        whole = time.perf_counter() - begin
        begin = time.perf_counter()
        prompts = tuple(Prompt(f"t{n}", "") for n in range(PROMPTS))
        for _ in generator.generate(
            run.actor,
            SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=PER_PROMPT, seed=0),
        ):
            pass
        fakes = time.perf_counter() - begin
    return (whole - fakes) / (PROMPTS * PER_PROMPT) * 1e6


def sampling_stage(generate_seconds: float, verify_seconds: float) -> float:
    """Seconds of one cycle's sampling stage with the given waits per batch of 16 and per verdict."""
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
        f"overhead: {statistics.median(costs):.0f} us a sample (of {', '.join(f'{c:.0f}' for c in costs)}); goal 200"
    )
    for name, wait, judge in (
        ("sampling longer", 0.2, 0.015),
        ("equal", 0.2, 0.025),
        ("judging longer", 0.1, 0.025),
    ):
        ratios = []
        for _ in range(repeat):
            both, alone = sampling_stage(wait, judge), (sampling_stage(wait, 0.0), sampling_stage(0.0, judge))
            ratios.append(both / max(alone))
        print(f"overlap, {name}: {statistics.median(ratios):.2f} of the longer alone; goal 1.10")


if __name__ == "__main__":
    main()
