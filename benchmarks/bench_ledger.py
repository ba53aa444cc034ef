"""A million samples through the loop with fakes for model and verifier: speed, memory, and reading the run.

    python benchmarks/bench_ledger.py
    python benchmarks/bench_ledger.py --samples 100000 --keep runs/simulated

Each sample has a text of about 200 characters and 64 tokens. The speed of writing covers the whole loop: sampling,
verifying, storing, rewarding, selecting, reports, and the fakes' own time. The speed of reading is that of a resumed
run that reads all its samples. Goals: 20,000 samples per second, at most 400 MB above the start, `halo samples` and
`halo report` in under 3 seconds, and `halo reverify` with an unchanged verifier in under a second for 100,000 samples.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import cast

from halo_core.drivers import Generator, driver
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model.contexts import SamplingContext
from halo_core.progress import Progress
from halo_core.run.state import Run
from halo_core.seeds import derive_seed
from halo_core.testing import FakeActor, FakePolicy, FakeVerifier, fake_run
from halo_core.types import Completion, SamplingRequest
from halo_core.verification.reverify import reverify
from halo_core.verification.verifiers import VerifierSet

BATCH, CYCLES, PER_PROMPT = 1000, 20, 50
CONTEXT = tuple(range(100, 164))
BODY = (
    'int main(void) {\n    int n;\n    scanf("%d", &n);\n    printf("%d\\n", n * n);\n    return 0;\n}\n' * 2
)


@driver
class Fast(Generator):
    """Answers right with the actor's skill as probability, in texts of realistic length."""

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        """Yield batches; see `SamplingRequest`."""
        skill = cast(FakeActor, context.actor).skill
        jobs = [
            (prompt.id, index) for prompt in request.prompts for index in range(request.samples_per_prompt)
        ]
        for number in range(request.done, -(-len(jobs) // BATCH)):
            source = random.Random(derive_seed(request.seed, number))
            yield [
                Completion(
                    name,
                    index,
                    f"{'right' if source.random() < skill else 'wrong'} {source.getrandbits(20)}\n{BODY}",
                    CONTEXT,
                    tuple(source.randbytes(64)),
                )
                for name, index in jobs[number * BATCH : (number + 1) * BATCH]
            ]


class Memory:
    """Measures the resident memory of this process, in megabytes above the start."""

    def __init__(self) -> None:
        self.start = self.peak = resident()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Stop measuring; return the peak."""
        self._done.set()
        self._thread.join()
        return self.peak - self.start

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            self.peak = max(self.peak, resident())


def resident() -> float:
    with Path("/proc/self/statm").open() as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def simulate(place: Path, samples: int) -> None:
    prompts = samples // (CYCLES * PER_PROMPT)
    memory = Memory()
    run, hooks = fake_run(
        place, prompts=prompts, heldout=20, cycles=CYCLES, samples_per_prompt=PER_PROMPT,
        generator=Fast(), lr_policy=FakePolicy(base_lr=0.02),
    )  # fmt: skip
    total = prompts * CYCLES * PER_PROMPT
    start, busy = time.perf_counter(), time.process_time()
    with closing(run.ledger):
        run_cycles(run, hooks)
        written = time.perf_counter() - start
        read = read_back(run)
    busy = time.process_time() - busy
    print(
        f"written  {total / written:8.0f} samples/s in the loop ({total} samples in {written:.1f} s); goal 20000"
    )
    print(f"read     {total / read:8.0f} samples/s back")
    print(f"both     {total / (written + read):8.0f} samples/s; goal 20000")
    print(f"         {total / busy:8.0f} samples per second of CPU time, both")
    print(f"memory   {memory.stop():8.0f} MB above the start, peak; goal 400")
    print(f"disk     {run.ledger.path.stat().st_size / total:8.0f} bytes per sample")


def read_back(run: Run) -> float:
    start = time.perf_counter()
    for cycle in range(1, run.config.cycles + 1):
        assert sum(map(len, run.ledger.batches(cycle, "train", run.prompts))) == len(run.prompts) * PER_PROMPT
    return time.perf_counter() - start


def command(name: str, *arguments: object) -> None:
    start = time.perf_counter()
    words = [sys.executable, "-m", "halo_core", name, *map(str, arguments)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    print(f"{name:<8} {time.perf_counter() - start:8.2f} s  halo {name} {' '.join(map(str, arguments[1:]))}")


def time_reverify(place: Path) -> None:
    """Time the work of `halo reverify`, without its start, for an unchanged verifier."""
    ledger = Ledger(place)
    start = time.perf_counter()
    done = reverify(ledger, VerifierSet({"fake": FakeVerifier()}), nullcontext, Progress())
    spent = time.perf_counter() - start
    assert done.verified == done.cached == 0
    print(
        f"reverify {spent:8.2f} s  for {done.unchanged} samples of an unchanged verifier without the command's start"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--keep", type=Path, help="keep the run in this directory")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = args.keep or Path(folder) / "run"
        simulate(place, args.samples)
        command("samples", place, "--cycle", CYCLES, "--stage", "wrong")
        command("samples", place, "--text", "right 1234", "--limit", 3)
        command("report", place)
        time_reverify(place)


if __name__ == "__main__":
    main()
