"""Measure what sampling in rounds saves: one cycle of sampling and selection of a demo, with rounds and without.

    python benchmarks/rounds.py --verifier gcc --seeds 0 1 2 --prompts 96
    python benchmarks/rounds.py --verifier gcc --enough 4 --seen

The prompts are held-out ones of the demo, of which its model never solves some; with `--seen`, training prompts, which
it has learned before.

The selector is `best_of_n` with n = `--enough`, so a prompt can use that many passes. `plain` samples `--samples`
completions of each prompt. `rounds` may use as many tokens as `plain` did: what solved prompts save goes to others.
`stop` has at most as many completions of a prompt as `plain`: it only saves. Printed are the distinct passing
completions that are selected, the prompts that they belong to, and the tokens sampled; then, over all seeds, the change
in passes and in tokens relative to `plain`, each with a 95% interval by a bootstrap over prompts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DRAWS = 10_000


@dataclass
class Cycle:
    """Passes and tokens of one cycle of sampling, by prompt id."""

    passes: Counter[str] = field(default_factory=Counter)
    """Distinct passing completions that were selected."""
    tokens: Counter[str] = field(default_factory=Counter)
    """Tokens sampled."""


def prompts_of(verifier: str, seen: bool, place: Path) -> None:
    """Write prompts of the demo to `place`."""
    from halo_core.config.schema import DriverSpec
    from halo_core.verification.verifiers import VerifierSet

    demo = VerifierSet.load([DriverSpec(name=verifier)]).demo()
    prompts = demo.prompts if seen else demo.heldout
    rows = [{"id": p.id, "prompt": p.text, "reference": p.reference, **p.meta} for p in prompts]
    place.write_text("".join(json.dumps(row, default=dict) + "\n" for row in rows))


def cycle(given: argparse.Namespace, seed: int, rounds: dict[str, Any], data: dict[str, Any]) -> Cycle:
    """Sample and select one cycle."""
    from halo_core import Plan, Status
    from halo_core.config.schema import DriverSpec
    from halo_core.loop import reward, sample, select
    from halo_core.verification.verifiers import VerifierSet

    demo = VerifierSet.load([DriverSpec(name=given.verifier)]).demo()
    raw = {
        "verifier": given.verifier,
        "selector": {"name": "best_of_n", "n": given.enough, "threshold": 1.0},
        "samples_per_prompt": given.samples,
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
    distinct = {(s.prompt.id, s.completion.text) for s in chosen if s.verdict.status is Status.PASS}
    done = Cycle(Counter(prompt for prompt, _ in distinct))
    for one in samples:
        done.tokens[one.prompt.id] += one.completion.written
    return done


def main() -> None:
    """Write the prompts, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--enough", type=int, default=2, help="distinct passes that a prompt can use")
    parser.add_argument("--samples", type=int, default=8, help="completions of each prompt without rounds")
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--seen", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "prompts.jsonl"
        prompts_of(arguments.verifier, arguments.seen, place)
        compare(arguments, {"prompts": str(place), "limit": arguments.prompts})


def compare(arguments: argparse.Namespace, data: dict[str, Any]) -> None:
    """Print a row for each seed and way of sampling, then the changes over all seeds."""
    print(f"{'seed':>4}  {'sampling':<8}  {'passes':>6}  {'prompts':>7}  {'tokens':>7}")
    cycles: dict[str, list[Cycle]] = {"plain": [], "rounds": [], "stop": []}
    for seed in arguments.seeds:
        budget = 0
        for name, rounds in (
            ("plain", {}),
            ("rounds", {"size": 2, "most": 4 * arguments.samples, "enough": arguments.enough}),
            ("stop", {"size": 2, "most": arguments.samples, "enough": arguments.enough}),
        ):
            more = {"tokens": budget} if name == "rounds" else {}
            done = cycle(arguments, seed, {**rounds, **more}, data)
            cycles[name].append(done)
            passes, tokens = done.passes.total(), done.tokens.total()
            budget = budget or tokens
            print(f"{seed:4d}  {name:<8}  {passes:6d}  {len(done.passes):7d}  {tokens:7d}", flush=True)
    for name in ("rounds", "stop"):
        changes = [change(cycles["plain"], cycles[name], what) for what in ("passes", "tokens")]
        print(f"{name}: " + ", ".join(changes))


def change(before: list[Cycle], after: list[Cycle], what: str) -> str:
    """Return the relative change of a sum over seeds and prompts, with its 95% interval."""
    prompts = sorted({name for cycle in before for name in cycle.tokens})
    table = np.array(
        [[sum(getattr(each, what)[name] for each in side) for name in prompts] for side in (before, after)]
    )
    generator = np.random.default_rng(0)
    drawn = table[:, generator.integers(len(prompts), size=(DRAWS, len(prompts)))].sum(axis=2)
    low, high = np.quantile(drawn[1] / drawn[0] - 1, [0.025, 0.975])
    middle = table[1].sum() / table[0].sum() - 1
    return f"{what} {middle:+.1%} [{low:+.1%}, {high:+.1%}]"


if __name__ == "__main__":
    main()
