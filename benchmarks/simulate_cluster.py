"""Simulate a cycle on clusters of any size, driven by what a recorded run has measured.

    python benchmarks/simulate_cluster.py runs/mine
    python benchmarks/simulate_cluster.py runs/mine --prompts 20000 --samplers 1 16 256 --verifiers 1 64 4096

The simulation is one of discrete events. Its events are the ends of batches and of pieces of batches; the policies are
those of halo and of its cluster `ray`: which batch is asked for next, how many may wait, how batches are split for the
verifiers. Lengths of completions and times of verdicts are drawn from those of the run. What does not depend on the run
is measured here, before the simulation: writing a batch to a ledger, the loop's own work on a sample, and packing a
batch for the network.

For each size it prints the completions per second, what the samplers and verifiers are busy with, and the limit: the
resource that is busy more than 90% of the time. If there is none, workers wait for the slowest verdict of a batch, or
for the last batches of the cycle.
"""

from __future__ import annotations

import argparse
import heapq
import pickle
import random
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from halo_core.ledger.ledger import open_run
from halo_core.testing import fake_run
from halo_core.types import Sample, Split
from halo_ray.cluster import batches_in_flight
from halo_ray.verifying import piece_size

SAMPLERS = (1, 4, 16, 64, 256)
VERIFIERS = (1, 16, 256, 4096)
BUSY = 0.9
"""Share of the time from which a resource is the limit."""


@dataclass(frozen=True)
class Measured:
    """The measurements that drive the simulation."""

    tokens: Sequence[int]
    """Lengths of completions."""
    verdicts: Sequence[float]
    """Seconds of verdicts."""
    batch: int = 256
    """Completions of a batch."""
    token_seconds: float = 1e-3
    """Seconds of a sampler for a step, in which each unfinished completion of its batch gets a token."""
    ledger: float = 30e-6
    """Seconds of the ledger for a sample."""
    loop: float = 60e-6
    """Seconds of halo's own process for a sample: unpacking, checking, asking for its verdict."""
    network_bytes: float = 8000.0
    """Bytes of a sample on the network."""
    call: float = 0.5e-3
    """Seconds of halo's own process for a call of a worker."""
    bandwidth: float = 1.25e9
    """Bytes per second of the driver's network: 10 Gbit/s."""


@dataclass(frozen=True)
class Outcome:
    """The result for one size."""

    samplers: int
    verifiers: int
    seconds: float
    per_second: float
    """Completions per second."""
    busy: dict[str, float]
    """Share of the time that a resource was busy."""
    limit: str


class Simulation:
    """One cycle of `batches` batches."""

    def __init__(
        self, measured: Measured, batches: int, samplers: int, verifiers: int, seed: int = 0
    ) -> None:
        self.m, self.batches = measured, batches
        self.samplers, self.verifiers = samplers, verifiers
        self._rng = random.Random(seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._now = self._driver_free = 0.0
        self._busy = dict.fromkeys(("samplers", "verifiers", "loop", "ledger", "network"), 0.0)
        self._verdict = sum(measured.verdicts) / len(measured.verdicts)
        self._free_samplers, self._free_verifiers = samplers, verifiers
        self._in_flight = batches_in_flight(samplers)
        self._asked = self._taken = self._stored = 0
        """Numbers of batches, in the order of the request, that have reached a stage."""
        self._sampled: set[int] = set()
        self._waiting: deque[int] = deque()
        """Batches that wait to be verified."""
        self._open: dict[int, int] = {}
        """Completions without a verdict of each batch that is being verified."""
        self._judged: set[int] = set()
        self._pieces: deque[tuple[int, int]] = deque()
        """Batch and completions of each piece that waits for a verifier."""

    def run(self) -> Outcome:
        """Simulate; return the outcome."""
        self._advance()
        while self._events:
            self._now, _, react = heapq.heappop(self._events)
            react()
            self._advance()
        seconds = max(self._now, self._driver_free)
        counts = {"samplers": self.samplers, "verifiers": self.verifiers}
        busy = {name: used / seconds / counts.get(name, 1) for name, used in self._busy.items()}
        per_second = self.batches * self.m.batch / seconds
        return Outcome(self.samplers, self.verifiers, seconds, per_second, busy, limit_of(busy))

    def _at(self, seconds: float, react: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (seconds, self._count, react))

    def _drive(self, seconds: float, resource: str) -> None:
        """Let halo's own process, which does one thing at a time, work for `seconds`."""
        self._driver_free = max(self._driver_free, self._now) + seconds
        self._busy[resource] += seconds

    def _advance(self) -> None:
        """Start whatever can start now."""
        while self._taken in self._sampled and self._taken - self._stored <= self._in_flight:
            self._waiting.append(self._taken)
            self._taken += 1
        while self._waiting and len(self._open) < self._in_flight // 2:
            self._split(self._waiting.popleft())
        window = self._taken + 4 * self.samplers
        while self._free_samplers and self._asked < min(self.batches, window):
            self._sample(self._asked)
            self._asked += 1
        while self._free_verifiers and self._pieces:
            self._verify(*self._pieces.popleft())

    def _sample(self, number: int) -> None:
        self._free_samplers -= 1
        seconds = max(self._rng.choices(self.m.tokens, k=self.m.batch)) * self.m.token_seconds
        self._busy["samplers"] += seconds

        def done() -> None:
            self._free_samplers += 1
            self._sampled.add(number)

        self._at(self._now + seconds, done)

    def _split(self, number: int) -> None:
        """Take a batch from its sampler, and split it for the verifiers."""
        size = piece_size(self.m.batch, self._in_flight // 2, self.verifiers, self._verdict)
        counts = [min(size, self.m.batch - first) for first in range(0, self.m.batch, size)]
        self._busy["network"] += self.m.batch * self.m.network_bytes / self.m.bandwidth
        self._drive(self.m.batch * self.m.loop + (len(counts) + 1) * self.m.call, "loop")
        self._open[number] = self.m.batch
        self._pieces.extend((number, count) for count in counts)

    def _verify(self, number: int, count: int) -> None:
        self._free_verifiers -= 1
        seconds = sum(self._rng.choices(self.m.verdicts, k=count))
        self._busy["verifiers"] += seconds

        def done() -> None:
            self._free_verifiers += 1
            self._open[number] -= count
            if not self._open[number]:
                del self._open[number]
                self._judged.add(number)
            while self._stored in self._judged:
                self._drive(self.m.batch * self.m.ledger, "ledger")
                self._stored += 1

        self._at(max(self._now, self._driver_free) + seconds, done)


def limit_of(busy: dict[str, float]) -> str:
    """Return the resource that limits the throughput; the driver does the work of loop and ledger."""
    driver = busy["loop"] + busy["ledger"]
    if driver > BUSY:
        return "loop" if busy["loop"] >= busy["ledger"] else "ledger"
    name = max(("samplers", "verifiers", "network"), key=busy.__getitem__)
    return name if busy[name] > BUSY else "slowest verdicts, last batches"


def measure(directory: Path, *, batch: int | None = None) -> Measured:
    """Return what the run in `directory` has measured, and what this machine needs for the loop and the ledger."""
    ledger = open_run(directory)
    batches: list[list[Sample]] = []
    seconds = 0.0
    splits: tuple[Split, ...] = ("train", "heldout")
    for report in ledger.reports():
        for split in splits:
            batches += ledger.batches(report.cycle, split, ledger.prompts(split))
        seconds += sum(value for stage, value in report.seconds.items() if stage != "train")
    samples = [sample for each in batches for sample in each]
    steps = sum(max(sample.completion.written for sample in each) for each in batches)
    costs = measure_costs(samples[:512])
    return replace(
        Measured(
            [sample.completion.written for sample in samples],
            [sample.verdict.wall_seconds for sample in samples],
        ),
        batch=batch or max(1, round(len(samples) / len(batches))),
        token_seconds=seconds / max(steps, 1),
        **costs,
    )


def measure_costs(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the seconds of ledger and loop, and the bytes on the network, for one of `samples`."""
    packed = pickle.dumps([(sample.prompt, sample.completion) for sample in samples])
    start = time.perf_counter()
    for _ in range(5):
        pickle.loads(pickle.dumps([(sample.prompt, sample.completion) for sample in samples]))
    packing = (time.perf_counter() - start) / 5
    with tempfile.TemporaryDirectory() as folder:
        run, _ = fake_run(Path(folder) / "run", prompts=1)
        stored = [
            replace(
                sample, prompt=run.prompts[0], completion=replace(sample.completion, prompt_id="t0", index=n)
            )
            for n, sample in enumerate(samples)
        ]
        run.ledger.open_request(1, "train", "measured")
        start = time.perf_counter()
        run.ledger.append(1, "train", stored)
        appending = time.perf_counter() - start
        run.ledger.close()
    number = len(samples)
    return {
        "ledger": appending / number,
        "loop": packing / number,
        "network_bytes": len(packed) / number,
    }


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the outcomes as a table in Markdown."""
    head = "| samplers | verifiers | completions/s | samplers busy | verifiers busy | driver busy | limit |"
    rows = [head, "|---|---|---|---|---|---|---|"]
    for each in outcomes:
        driver = each.busy["loop"] + each.busy["ledger"]
        rows.append(
            f"| {each.samplers} | {each.verifiers} | {each.per_second:,.0f} | {each.busy['samplers']:.0%} | "
            f"{each.busy['verifiers']:.0%} | {driver:.0%} | {each.limit} |"
        )
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="directory of a run")
    parser.add_argument("--completions", type=int, default=131_072, help="completions of the simulated cycle")
    parser.add_argument("--samplers", type=int, nargs="+", default=SAMPLERS)
    parser.add_argument("--verifiers", type=int, nargs="+", default=VERIFIERS)
    parser.add_argument("--batch", type=int, help="completions of a batch; default: those of the run")
    parser.add_argument(
        "--token-seconds", type=float, help="seconds of a step of a sampler; default: measured"
    )
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    measured = measure(given.run, batch=given.batch)
    if given.token_seconds:
        measured = replace(measured, token_seconds=given.token_seconds)
    mean = sum(measured.verdicts) / len(measured.verdicts)
    print(
        f"{len(measured.tokens)} completions of {sum(measured.tokens) / len(measured.tokens):.0f} tokens; a verdict "
        f"takes {1e3 * mean:.1f} ms, a step {1e3 * measured.token_seconds:.2f} ms, a sample {1e6 * measured.loop:.0f} "
        f"us of the loop, {1e6 * measured.ledger:.0f} us of the ledger and {measured.network_bytes:.0f} bytes\n"
    )
    batches = max(1, given.completions // measured.batch)
    sizes = [(samplers, verifiers) for samplers in given.samplers for verifiers in given.verifiers]
    print(table([Simulation(measured, batches, *size, seed=given.seed).run() for size in sizes]))


if __name__ == "__main__":
    main()
