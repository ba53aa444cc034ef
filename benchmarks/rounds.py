"""Measure what sampling in rounds saves: one cycle of sampling and selection of a demo, with rounds and without.

    python benchmarks/rounds.py --verifier gcc --seeds 0 1 2
    python benchmarks/rounds.py --verifier gcc --enough 4 --seen

The prompts are held-out ones of the demo, of which its model never solves some; with `--seen`, training prompts, which
it has learned before.

The selector is `best_of_n` with n = `--enough`, so a prompt can use that many passes. `plain` samples 8 completions of
each prompt. `rounds` may use as many tokens as `plain` did: what solved prompts save goes to others. `stop` has at most
8 completions of a prompt: it only saves. Printed are the distinct passing completions that are selected, the prompts
that they belong to, and the tokens sampled.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any


def prompts_of(verifier: str, seen: bool, place: Path) -> None:
    """Write prompts of the demo to `place`."""
    from halo_core.config.schema import DriverSpec
    from halo_core.verification.verifiers import VerifierSet

    demo = VerifierSet.load([DriverSpec(name=verifier)]).demo()
    prompts = demo.prompts if seen else demo.heldout
    rows = [{"id": p.id, "prompt": p.text, "reference": p.reference, **p.meta} for p in prompts]
    place.write_text("".join(json.dumps(row, default=dict) + "\n" for row in rows))


def cycle(
    verifier: str, seed: int, rounds: dict[str, Any], enough: int, data: dict[str, Any]
) -> tuple[int, int, int]:
    """Sample and select one cycle; return distinct passes selected, their prompts, and tokens sampled."""
    from halo_core import Plan, Status
    from halo_core.config.schema import DriverSpec
    from halo_core.loop import reward, sample, select
    from halo_core.verification.verifiers import VerifierSet

    demo = VerifierSet.load([DriverSpec(name=verifier)]).demo()
    raw = {
        "verifier": verifier,
        "selector": {"name": "best_of_n", "n": enough, "threshold": 1.0},
        "samples_per_prompt": 8,
        "model": {"name": str(demo.model)},
        "generator": {**demo.settings.get("generator", {})},
        "data": data,
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
    """Write the prompts, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--enough", type=int, default=2, help="distinct passes that a prompt can use")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--seen", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "prompts.jsonl"
        prompts_of(arguments.verifier, arguments.seen, place)
        compare(arguments, {"prompts": str(place), "limit": arguments.prompts})


def compare(arguments: argparse.Namespace, data: dict[str, Any]) -> None:
    """Print a row for each seed and way of sampling."""
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
                arguments.verifier, seed, {**rounds, **more}, arguments.enough, data
            )
            budget = budget or tokens
            print(f"{seed:4d}  {name:<8}  {passes:6d}  {prompts:7d}  {tokens:7d}", flush=True)


if __name__ == "__main__":
    main()
