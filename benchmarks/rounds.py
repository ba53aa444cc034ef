"""Measure what sampling in rounds saves: one cycle of sampling and selection of a demo, with rounds and without.

    python benchmarks/rounds.py --verifier gcc --seeds 0 1 2

The selector is `best_of_n` with n = `--enough`, so a prompt can use that many passes. `plain` samples 8 completions of
each prompt. `rounds` may use as many tokens as `plain` did: what solved prompts save goes to others. `stop` has at most
8 completions of a prompt: it only saves. Printed are the distinct passing completions that are selected, the prompts
that they belong to, and the tokens sampled.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any


def cycle(verifier: str, seed: int, rounds: dict[str, Any], enough: int, limit: int) -> tuple[int, int, int]:
    """Sample and select one cycle; return distinct passes selected, their prompts, and tokens sampled."""
    from halo_core import Plan, Status
    from halo_core.loop import reward, sample, select

    raw = {
        "verifier": verifier,
        "selector": {"name": "best_of_n", "n": enough, "threshold": 1.0},
        "samples_per_prompt": 8,
        "data": {"limit": limit},
        "seed": seed,
        "rounds": rounds,
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        Plan.from_raw(raw).open(Path(folder) / "run") as (run, hooks),
        run.observed(hooks, []),
    ):
        samples = reward(run, hooks, 1, sample(run, hooks, 1))
        chosen = select(run, hooks, 1, samples)
    passes = {(s.prompt.id, s.completion.text) for s in chosen if s.verdict.status is Status.PASS}
    return len(passes), len({name for name, _ in passes}), sum(s.completion.written for s in samples)


def main() -> None:
    """Print a row for each seed and way of sampling."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--enough", type=int, default=4, help="distinct passes that a prompt can use")
    parser.add_argument("--prompts", type=int, default=32)
    arguments = parser.parse_args()
    print(f"{'seed':>4}  {'sampling':<8}  {'passes':>6}  {'prompts':>7}  {'tokens':>7}")
    for seed in arguments.seeds:
        budget: int | None = None
        for name, rounds in (
            ("plain", {}),
            ("rounds", {"size": 2, "most": 32, "enough": arguments.enough}),
            ("stop", {"size": 2, "most": 8, "enough": arguments.enough}),
        ):
            more = {"tokens": budget} if name == "rounds" else {}
            passes, prompts, tokens = cycle(
                arguments.verifier, seed, {**rounds, **more}, arguments.enough, arguments.prompts
            )
            budget = budget or tokens
            print(f"{seed:4d}  {name:<8}  {passes:6d}  {prompts:7d}  {tokens:7d}", flush=True)


if __name__ == "__main__":
    main()
