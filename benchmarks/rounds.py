"""Measure what sampling in rounds saves: one cycle of sampling and selection of a demo, with rounds and without.

    python benchmarks/rounds.py --verifier gcc --seeds 0 1 2
    python benchmarks/rounds.py --verifier gcc --samples 8 --enough 4 --seen

The prompts are held-out ones of the demo, of which its model never solves some; with `--seen`, training prompts, which
it has learned before.

For each seed, `--most` completions of each prompt are sampled and verified once. Each way of sampling then takes from
the beginning of every prompt's completions: `plain` takes `--samples` of each prompt; `rounds` takes as many as
`halo_core.run.rounds` asks for, with at most as many tokens as `plain`; `stop` takes at most `--samples` of a prompt,
so it only saves. So the ways differ in nothing but which completions they ask for. The selector is `best_of_n` with n =
`--enough`, so a prompt can use that many passes. Several numbers are tried on the same completions.

Printed are the distinct passing completions that are selected, the prompts that they belong to, and the tokens sampled;
then, over all seeds, the change in passes and in tokens relative to `plain`, each with a 95% interval by a bootstrap
over prompts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from halo_core.config.rounds import Rounds
from halo_core.run.rounds import round_request
from halo_core.run.unselected import selection_context
from halo_trainers.imitation import BestOfN

if TYPE_CHECKING:
    from halo_core import Sample, SamplingRequest

DRAWS = 10_000
Counts = list[tuple[Counter[str], Counter[str]]]
"""Selected distinct passes and sampled tokens by prompt id, one pair for each seed."""
Table = dict[tuple[int, int], dict[str, Counts]]
"""Counts by `--samples` and `--enough`, and by way of sampling."""


def prompts_of(verifier: str, seen: bool, place: Path) -> None:
    """Write prompts of the demo to `place`."""
    demo = demo_of(verifier)
    prompts = demo.prompts if seen else demo.heldout
    rows = [{"id": p.id, "prompt": p.text, "reference": p.reference, **p.meta} for p in prompts]
    place.write_text("".join(json.dumps(row, default=dict) + "\n" for row in rows))


def demo_of(verifier: str) -> Any:
    """Return the demo of a verifier."""
    from halo_core.config.schema import DriverSpec
    from halo_core.verification.verifiers import VerifierSet

    return VerifierSet.load([DriverSpec(name=verifier)]).demo()


def measure(given: argparse.Namespace, seed: int, data: dict[str, Any], table: Table) -> None:
    """Sample one cycle, add the counts of each way of sampling to `table`, and print them."""
    from halo_core import Plan
    from halo_core.loop import reward, sample

    demo = demo_of(given.verifier)
    raw = {
        "verifier": given.verifier,
        "reward": "binary",  # so that all passes can be selected, those with warnings too
        "samples_per_prompt": given.most,
        "model": {"name": str(demo.model)},
        "generator": {**demo.settings.get("generator", {})},
        "data": data,
        "seed": seed,
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        Plan.from_raw(raw).open(Path(folder) / "run") as (run, hooks),
        run.observed(hooks, []),
    ):
        pool: dict[str, list[Sample]] = {}
        for each in sorted(
            reward(run, hooks, 1, sample(run, hooks, 1)), key=lambda each: each.completion.index
        ):
            pool.setdefault(each.prompt.id, []).append(each)
        for samples, enough in product(given.samples, given.enough):
            ways = table.setdefault((samples, enough), {"plain": [], "rounds": [], "stop": []})
            request = replace(run.request(1, "train"), samples_per_prompt=samples)
            budget: int | None = None
            for name, rounds in (
                ("plain", Rounds()),
                ("rounds", Rounds(size=2, enough=enough, most=given.most)),
                ("stop", Rounds(size=2, enough=enough, most=samples)),
            ):
                limit = budget if name == "rounds" else None
                taken = take(pool, request, replace(rounds, tokens=limit))
                eligible = [each for each in taken if each.reward is not None]
                selector = BestOfN(n=enough, threshold=1.0)
                passes = passes_of(selector.select(eligible, selection_context(seed, 1)))
                tokens = tokens_of(taken)
                budget = budget or tokens.total()
                ways[name].append((passes, tokens))
                figures = f"{passes.total():6d}  {len(passes):7d}  {tokens.total():7d}"
                print(f"{seed:4d}  {samples:7d}  {enough:6d}  {name:<8}  {figures}", flush=True)


def take(pool: dict[str, list[Sample]], request: SamplingRequest, rounds: Rounds) -> list[Sample]:
    """Return the samples that `rounds` ask for, each prompt's in the order of `pool`."""
    taken: list[Sample] = []
    number = 0
    while part := round_request(rounds, request, number, taken):
        used = Counter(each.prompt.id for each in taken)
        for prompt in part.prompts:
            first = used[prompt.id]
            taken += pool[prompt.id][first : first + part.samples_per_prompt]
        number += 1
    return taken


def passes_of(chosen: Sequence[Sample]) -> Counter[str]:
    """Return the number of distinct passing completions by prompt id."""
    from halo_core import Status

    distinct = {(s.prompt.id, s.completion.text) for s in chosen if s.verdict.status is Status.PASS}
    return Counter(prompt for prompt, _ in distinct)


def tokens_of(samples: Sequence[Sample]) -> Counter[str]:
    """Return the number of sampled tokens by prompt id."""
    found: Counter[str] = Counter()
    for each in samples:
        found[each.prompt.id] += each.completion.written
    return found


def change(plain: Counts, other: Counts, which: int) -> str:
    """Return how a sum over seeds and prompts changes relative to `plain`, with its 95% interval."""
    prompts = sorted({prompt for _, tokens in plain for prompt in tokens})
    sums = np.array(
        [[sum(pair[which][prompt] for pair in counts) for prompt in prompts] for counts in (plain, other)]
    )
    generator = np.random.default_rng(0)
    drawn = sums[:, generator.integers(len(prompts), size=(DRAWS, len(prompts)))].sum(axis=2)
    low, high = np.quantile(drawn[1] / drawn[0] - 1, [0.025, 0.975])
    return f"{sums[1].sum() / sums[0].sum() - 1:+.1%} [{low:+.1%}, {high:+.1%}]"


def main() -> None:
    """Write the prompts, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--verifier", default="gcc")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--samples", type=int, nargs="+", default=[4, 8], help="completions of each prompt without rounds"
    )
    parser.add_argument("--most", type=int, default=32, help="most completions of a prompt with rounds")
    parser.add_argument(
        "--enough", type=int, nargs="+", default=[2, 4], help="distinct passes that a prompt can use"
    )
    parser.add_argument("--prompts", type=int, default=96)
    parser.add_argument("--seen", action="store_true")
    arguments = parser.parse_args()
    table: Table = {}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "prompts.jsonl"
        prompts_of(arguments.verifier, arguments.seen, place)
        print(f"{'seed':>4}  samples  enough  {'sampling':<8}  {'passes':>6}  {'prompts':>7}  {'tokens':>7}")
        for seed in arguments.seeds:
            measure(arguments, seed, {"prompts": str(place), "limit": arguments.prompts}, table)
    for (samples, enough), ways in table.items():
        for name in ("rounds", "stop"):
            passes, tokens = (change(ways["plain"], ways[name], which) for which in (0, 1))
            print(f"samples {samples}, enough {enough}, {name}: passes {passes}, tokens {tokens}")


if __name__ == "__main__":
    main()
