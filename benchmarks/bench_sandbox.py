"""Measure the cost of the sandbox, its leaks, and the stability of its outcomes.

    python benchmarks/bench_sandbox.py                    all benchmarks, about ten minutes on two cores
    python benchmarks/bench_sandbox.py overhead rate      selected benchmarks
    python benchmarks/bench_sandbox.py --quick            a tenth of the runs

overhead   milliseconds per run of /bin/true, alternating with a bare subprocess
large      the same while this process holds 8 GB
rate       runs of /bin/true per second, 8 in flight
calls      milliseconds for three calls of a Python function
leaks      mixed runs, a tenth of them hostile: remaining processes, descriptors, files and memory
steady     programs run alone and with four times as many in flight as there are cores, twice each
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from halo_core import sandbox
from halo_core.sandbox import Limits, Sandbox

TRUE = "/bin/true"
CORES = os.cpu_count() or 1
MB = 1 << 20


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def bare() -> None:
    subprocess.run([TRUE], stdin=subprocess.DEVNULL, capture_output=True, check=True)


def percentile(times: list[float], share: float) -> float:
    return sorted(times)[min(int(share * len(times)), len(times) - 1)] * 1e3


def overhead(box: Sandbox, runs: int) -> float:
    """Alternate both kinds of runs, so that other load affects both; return the sandboxed median in ms."""
    box.run([TRUE])
    sandboxed, plain = [], []
    for _ in range(runs):
        sandboxed.append(seconds(lambda: box.run([TRUE])))
        plain.append(seconds(bare))
    extra = percentile(sandboxed, 0.5) - percentile(plain, 0.5)
    print(
        f"  {box.tier:9} p50 {percentile(sandboxed, 0.5):5.2f} ms  p99 {percentile(sandboxed, 0.99):5.2f} ms   "
        f"bare p50 {percentile(plain, 0.5):5.2f} ms   over bare {extra:+5.2f} ms"
    )
    return percentile(sandboxed, 0.5)


def bench_overhead(boxes: list[Sandbox], scale: float) -> None:
    for box in boxes:
        overhead(box, int(1000 * scale))


def bench_large(boxes: list[Sandbox], scale: float) -> None:
    for box in boxes:
        small, large = [], []
        for _ in range(3):
            small.append(overhead(box, int(200 * scale)))
            ballast = bytearray(8 << 30)
            ballast[:: 1 << 12] = b"x" * (len(ballast) >> 12)
            large.append(overhead(box, int(200 * scale)))
            del ballast
        change = statistics.median(large) / statistics.median(small) - 1
        print(f"  {box.tier:9} with 8 GB in the parent: {change:+.1%}")


def bench_rate(boxes: list[Sandbox], scale: float) -> None:
    runs = int(3000 * scale)
    with ThreadPoolExecutor(8) as pool:
        for box in boxes:
            list(pool.map(lambda _: box.run([TRUE]), range(50)))  # noqa: B023 - consumed at once
            elapsed = seconds(lambda: list(pool.map(lambda _: box.run([TRUE]), range(runs))))  # noqa: B023
            print(f"  {box.tier:9} {runs / elapsed:6.0f} runs/s, 8 in flight, {CORES} cores")


def bench_calls(boxes: list[Sandbox], scale: float) -> None:
    source = "import math\ndef f(a, b):\n    return math.gcd(a, b)"
    for box in boxes:
        times = [
            seconds(lambda: box.call(source, "f", [(4, 6), (9, 6), (5, 7)]))  # noqa: B023 - called at once
            for _ in range(int(500 * scale))
        ]
        print(
            f"  {box.tier:9} three calls: p50 {percentile(times, 0.5):.2f} ms  p99 {percentile(times, 0.99):.2f} ms"
        )


MIXED = {
    "true": "pass",
    "print": "print('x' * 1000)",
    "compute": "sum(i * i for i in range(20000))",
    "fail": "1 / 0",
    "exit": "raise SystemExit(3)",
    "abort": "import os; os.abort()",
}
HOSTILE = {
    "daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(999)",
    "fork bomb": "import os\nfor _ in range(99):\n    try: os.fork()\n    except OSError: pass",
    "flood": "import os\nwhile True: os.write(1, bytes(65536))",
    "files": "for n in range(200): open(f'f{n}', 'w').write('x' * 1000)",
    "memory": "x = []\nwhile True: x.append(bytearray(1 << 20))",
    "spin": "while True: pass",
}


def tree(root: int) -> list[int]:
    """Return `root` and its descendants, zombies included."""
    found = [root]
    for pid in found:
        try:
            found += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except OSError:
            continue
    return found


def footprint(box: Sandbox) -> dict[str, int]:
    """Count the resources that the sandbox's own processes hold."""
    pids = tree(box.supervisor_pid)
    status = [Path(f"/proc/{pid}/status").read_text() for pid in pids]
    resident = [int(line.split()[1]) for s in status for line in s.splitlines() if line.startswith("VmRSS")]
    return {
        "processes": len(pids),
        "zombies": sum("State:\tZ" in s for s in status),
        "descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),  # noqa: PTH208 - not paths
        "ours": len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        "files": sum(1 for _ in Path(box.directory).rglob("*")),
        "resident KB": sum(resident),
        "supervisor KB": resident[0],
    }


def bench_leaks(boxes: list[Sandbox], scale: float) -> None:
    runs = int(10_000 * scale)
    limits = Limits(cpu_seconds=0.3, memory_bytes=64 * MB, processes=16, file_bytes=MB)
    for box in boxes:
        rng = random.Random(0)
        plan = [rng.choice(list((HOSTILE if rng.random() < 0.1 else MIXED).values())) for _ in range(runs)]

        def run_one(source: str) -> str | None:
            with box.workspace() as space:  # noqa: B023 - all calls end within the iteration
                space.write("main.py", source.encode())
                argv = [sys.executable, "-I", "-S", "main.py"]
                return space.run(argv, limits=limits, writable=True).limit

        with ThreadPoolExecutor(2 * CORES) as pool:
            list(pool.map(run_one, plan[:50] + list(HOSTILE.values())))
            before = footprint(box)
            elapsed = seconds(lambda: list(pool.map(run_one, plan)))  # noqa: B023
        after = footprint(box)
        grown = ", ".join(f"{key} {after[key] - before[key]:+d}" for key in after)
        print(f"  {box.tier:9} {runs} runs in {elapsed:.0f} s: {grown}")


def bench_steady(boxes: list[Sandbox], scale: float) -> None:
    """Compare the outcomes of many kinds of programs; some come close to a limit."""
    programs = []
    rng = random.Random(1)
    for n in range(int(1000 * scale)):
        kind = n % 5
        if kind == 0:
            programs.append(f"print(sum(i * {n} for i in range({rng.randrange(1000, 200_000)})))")
        elif kind == 1:
            programs.append(f"raise SystemExit({n % 7})")
        elif kind == 2:
            programs.append(f"x = [{n}] * {rng.randrange(1, 4_000_000)}; print(len(x))")
        elif kind == 3:
            programs.append(
                "while True: pass" if n % 25 == 3 else "import time; time.sleep(0.05); print('slept')"
            )
        else:
            programs.append("print('y' * 2_000_000)" if n % 25 == 4 else "import os; os.abort()")
    limits = Limits(cpu_seconds=0.3)
    for box in boxes:

        def outcome(source: str) -> tuple[object, ...] | None:
            argv = [sys.executable, "-I", "-S", "-c", source]
            found = box.run(argv, limits=limits)  # noqa: B023
            if found.inconclusive:
                return None
            killed = None if found.limit else found.signal
            return (found.exit_code, killed, found.limit, found.stdout)

        rounds = []
        for width in (1, 4 * CORES, 1, 4 * CORES):
            with ThreadPoolExecutor(width) as pool:
                rounds.append(list(pool.map(outcome, programs)))
        counts = Counter(
            "inconclusive" if None in seen else "same" if len(set(seen)) == 1 else "different"
            for seen in zip(*rounds, strict=True)
        )
        total = len(programs)
        print(
            f"  {box.tier:9} {total} programs × 4: " + ", ".join(f"{counts[k]} {k}" for k in sorted(counts))
        )
        for source, seen in zip(programs, zip(*rounds, strict=True), strict=True):
            if None not in seen and len(set(seen)) > 1:
                print("    ", source, [s and s[:3] for s in seen])


BENCHMARKS = {
    "overhead": bench_overhead,
    "large": bench_large,
    "rate": bench_rate,
    "calls": bench_calls,
    "leaks": bench_leaks,
    "steady": bench_steady,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmarks", nargs="*", metavar="BENCHMARK", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the runs")
    parser.add_argument("--tiers", default="standard,strong", help="default: %(default)s")
    arguments = parser.parse_args()
    print(
        f"{CORES} cores, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}, {os.uname().release}"
    )
    for name in arguments.benchmarks or BENCHMARKS:
        print(name)
        for tier in arguments.tiers.split(","):
            with sandbox.start(tier) as box:
                BENCHMARKS[name]([box], 0.1 if arguments.quick else 1.0)


if __name__ == "__main__":
    main()
