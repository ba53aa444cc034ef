"""Verification on Ray beside verification in halo's own process: how it scales, and what Ray costs.

    python benchmarks/bench_cluster.py
    python benchmarks/bench_cluster.py --samples 2000 --workers 1 2 4

The reference answers of the gcc demo are verified by threads of this process and by verifiers on Ray, 1, 2, ...
at once; the same samples, in turn, in the same process. Then a verifier that does nothing shows the cost of Ray for a
sample. Prints samples per second, and the speed relative to one worker of the same kind.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from halo_core import ClusterContext, Completion, Plan, Prompt
from halo_core.plugin.discovery import load
from halo_core.verification.verifiers import verification_threads
from halo_ray import Ray

NOTHING = '''
from halo_core import Stage, Status, Verdict, Verifier, driver


@driver
class Nothing(Verifier):
    """Passes everything."""

    def check(self, prompt, completion):
        return Verdict(Status.PASS, Stage.CORRECT)
'''
Check = Callable[[Sequence[Prompt], Sequence[Completion]], Any]


def timed(
    check: Check, prompts: Sequence[Prompt], completions: Sequence[Completion], *, repeat: int
) -> float:
    """Return the samples per second: the best of `repeat` times, after one that warms up."""
    check(prompts[:64], completions[:64])
    best = float("inf")
    for _ in range(repeat):
        start = time.perf_counter()
        check(prompts, completions)
        best = min(best, time.perf_counter() - start)
    return len(prompts) / best


def compare(
    raw: dict[str, Any],
    prompts: Sequence[Prompt],
    completions: Sequence[Completion],
    workers: Sequence[int],
    *,
    repeat: int,
) -> dict[tuple[str, int], float]:
    """Return the samples per second by kind and number of workers."""
    plan = Plan.from_raw(raw)
    verifiers = plan.drivers.verifiers
    verifiers.preflight(plan.config.sandbox)
    found = {}
    for number in workers:
        with verification_threads(number) as threads:
            found["threads", number] = timed(
                lambda *some, threads=threads: verifiers.check_all(*some, threads),
                prompts,
                completions,
                repeat=repeat,
            )
        context = ClusterContext(raw=raw, origins={}, directory=Path.cwd())
        with closing(Ray(address="local", verifiers=number).open(context)) as cluster:
            found["ray", number] = timed(
                lambda *some, cluster=cluster: cluster.verify(*some, lambda: None),
                prompts,
                completions,
                repeat=repeat,
            )
    return found


def show(title: str, found: dict[tuple[str, int], float]) -> None:
    """Print the speeds, each relative to the first of its kind."""
    print(f"\n{title}\n\n| workers | number | samples/s | of linear |\n|---|---|---|---|")
    first = {kind: speed / number for (kind, number), speed in reversed(found.items())}
    for (kind, number), speed in found.items():
        print(f"| {kind} | {number} | {speed:,.0f} | {speed / (first[kind] * number):.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200, help="of gcc; ten times as many of the other")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    gcc = load("verifier", "gcc").value()
    tasks = [(prompt, answer) for prompt in gcc.demo().prompts for answer in gcc.references(prompt)]
    number = range(given.samples)
    prompts = [tasks[n % len(tasks)][0] for n in number]
    texts = [f"{tasks[n % len(tasks)][1]}\n// {n}\n" for n in number]  # all different: none is verified once
    completions = [Completion(p.id, n, t) for n, (p, t) in enumerate(zip(prompts, texts, strict=True))]
    base = {"model": {"name": "unused", "device": "cpu"}, "data": {"prompts": "unused.jsonl"}, "plugins": []}
    options = {"workers": given.workers, "repeat": given.repeat}
    show("gcc", compare({**base, "verifier": ["gcc"]}, prompts, completions, **options))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "nothing.py"
        path.write_text(NOTHING)
        raw = {**base, "verifier": [f"{path}:Nothing"], "sandbox": "none"}
        number = range(10 * given.samples)
        completions = [Completion("p", n, f"answer {n}") for n in number]
        found = compare(raw, [Prompt("p")] * len(number), completions, **options)
    show("a verifier that does nothing", found)
    cost = 1 / found["ray", given.workers[0]] - 1 / found["threads", given.workers[0]]
    print(f"\nRay costs {1e3 * cost:.2f} ms a sample")


if __name__ == "__main__":
    main()
