"""Verifications per second of the gcc verifier, compared with the bare compiler and naive subprocesses.

    python benchmarks/bench_verify_c.py               speed for C and C++, about two minutes on two cores
    python benchmarks/bench_verify_c.py c --quick     speed for C only, with a fifth of the programs
    python benchmarks/bench_verify_c.py forbid        the cost of the search for forbidden features
    python benchmarks/bench_verify_c.py fuzz          100,000 random texts through all code that reads them before
                                                      the compiler does

All programs are different, so that no result can be reused, and each has three tests. The columns:

ms CPU     processor time per program of all processes: this one, the sandbox, the compiler, the program
/s/core    programs per second on one core, computed from the processor time
/s         programs per second of wall time, with one thread per core

The rows:

bare       `gcc -O0 -Wall -Wextra` in a subprocess, nothing else
naive      the same, then the program on three inputs, each in a subprocess
halo       the verifier: the same work in the sandbox, and the comparison
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from halo_core import sandbox
from halo_core.types import Completion, Prompt, Status
from halo_verifier_gcc import GCC, forbidden, lexer
from halo_verifier_gcc.extraction import candidates
from halo_verifier_gcc.precompiled import leading_headers
from halo_verifier_gcc.source import count_silencing_directives

CORES = os.cpu_count() or 1
ROUNDS = 6
TICKS = os.sysconf("SC_CLK_TCK")
TESTS = [
    {"stdin": f"{n}\n" + " ".join(map(str, range(n))), "stdout": str(n * (n - 1) // 2)} for n in (3, 10, 25)
]
PROMPT = Prompt("sum", "Read n and n integers and print their sum.", reference={"tests": TESTS})
C = """#include <stdio.h>
#include <stdlib.h>

int compare(const void *a, const void *b) {
    return *(const int *)a - *(const int *)b;
}

int main(void) {
    int n, total = 0;
    if (scanf("%d", &n) != 1)
        return 1;
    int *all = malloc(n * sizeof *all);
    for (int i = 0; i < n; i++)
        if (scanf("%d", &all[i]) != 1)
            return 1;
    qsort(all, n, sizeof *all, compare);
    for (int i = 0; i < n; i++)
        total += all[i];
    printf("%d\\n", total);
    free(all);
    return 0; /* NUMBER */
}
"""
CPP = """#include <algorithm>
#include <iostream>
#include <vector>

int main() {
    int n, total = 0;
    std::cin >> n;
    std::vector<int> all(n);
    for (auto& each : all)
        std::cin >> each;
    std::sort(all.begin(), all.end());
    for (int each : all)
        total += each;
    std::cout << total << std::endl;
    return 0; /* NUMBER */
}
"""
FLAGS = ["-O0", "-Wall", "-Wextra"]


def processor_seconds() -> float:
    """Return the processor time of this process and its descendants, including those that have ended."""
    parents, used = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], used[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    mine = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in mine} - mine:
        mine |= more
    return sum(used[pid] for pid in mine) / TICKS


def measure(rows: dict[str, Callable[[str], None]], code: str, count: int) -> dict[str, float]:
    """Print a row for each kind of work, and return its milliseconds of CPU time per program.

    The kinds alternate, so that other load on the machine affects all of them alike.
    """
    busy, clock = dict.fromkeys(rows, 0.0), dict.fromkeys(rows, 0.0)
    with ThreadPoolExecutor(CORES) as pool:
        for turn in range(-1, ROUNDS):  # the first turn is a warm-up
            for name, work in rows.items():
                number = count // ROUNDS if turn >= 0 else 2 * CORES + 2
                codes = [code.replace("NUMBER", f"{name} {turn} {n}") for n in range(number)]
                before, started = processor_seconds(), time.perf_counter()
                list(pool.map(work, codes))
                if turn >= 0:
                    busy[name] += processor_seconds() - before
                    clock[name] += time.perf_counter() - started
    each = {name: 1e3 * busy[name] / count for name in rows}
    for name in rows:
        print(f"  {name:32} {each[name]:9.1f} {1e3 / each[name]:9.1f} {count / clock[name]:9.1f}", flush=True)
    return each


def bare(compiler: str, suffix: str, tests: bool) -> Callable[[str], None]:
    def work(code: str) -> None:
        with tempfile.TemporaryDirectory() as directory:
            source, program = Path(directory) / f"main{suffix}", Path(directory) / "main"
            source.write_text(code)
            subprocess.run([compiler, *FLAGS, "-o", program, source], check=True, capture_output=True)
            for test in TESTS if tests else []:
                done = subprocess.run(
                    [program], input=test["stdin"], capture_output=True, text=True, timeout=5, check=True
                )
                assert done.stdout.split() == test["stdout"].split()

    return work


def halo(**options: object) -> Callable[[str], None]:
    verifier = GCC(**options)  # type: ignore[arg-type]

    def work(code: str) -> None:
        verdict = verifier.check(PROMPT, Completion("sum", 0, code))
        assert verdict.status is Status.PASS, verdict

    return work


def bench_forbid(scale: float) -> None:
    rows = {
        "C    halo, 3 tests": halo(),
        "C    halo, forbidden features": halo(forbid=(r"\bgoto\b", r"#\s*include\s*<math")),
    }
    measure(rows, C, int(300 * scale))


def bench_c(scale: float) -> None:
    rows = {
        "C    bare gcc -O0": bare("gcc", ".c", tests=False),
        "C    naive, 3 tests": bare("gcc", ".c", tests=True),
        "C    halo, 3 tests": halo(),
    }
    compiler, _, ours = measure(rows, C, int(300 * scale)).values()
    print(f"  {compiler / ours:.0%} of the bare compiler's speed")


def bench_cpp(scale: float) -> None:
    rows = {
        "C++  bare g++ -O0": bare("g++", ".cpp", tests=False),
        "C++  naive, 3 tests": bare("g++", ".cpp", tests=True),
        "C++  halo, 3 tests, plain": halo(precompile=False),
        "C++  halo, 3 tests, precompiled": halo(),
    }
    *_, without, with_it = measure(rows, CPP, int(60 * scale)).values()
    print(f"  precompiled headers raise the speed by a factor of {without / with_it:.1f}")


TOKENS = """<think> </think> > - 1. ... template< class asm(
``` ~~~ ```c ```cpp main( main ( ) { } ; # %: ??= ??/ \\ /* */ // " ' 1' R" R"x( )x" u8R"( a 0 3 é pragma
diagnostic system_header #include <map> <iostream> line 0x1p-3 std:: using goto ## 'a' "b" """
PIECES = [*TOKENS.split(), "\\\n", "\0", "\ud800"]


def fuzz(scale: float) -> None:
    """Extract and scan random texts, and print the time of the slowest."""
    count = int(100_000 * scale)
    rng, slowest = random.Random(0), 0.0
    started = time.process_time()
    for _ in range(count):
        glue = rng.choice((" ", "", "\n"))
        text = glue.join(rng.choices(PIECES, k=rng.randrange(200)))
        before = time.process_time()
        source = candidates(text)[0]
        code = source.code
        code.encode()
        count_silencing_directives(code)
        leading_headers(code)
        lexer.masked(code)
        forbidden.in_source([r"\bgoto\b"], source)
        slowest = max(slowest, time.process_time() - before)
    print(
        f"{count} texts, no exception, slowest {1e3 * slowest:.1f} ms, {time.process_time() - started:.0f} s in all"
    )


BENCHES = {"c": bench_c, "c++": bench_cpp, "forbid": bench_forbid, "fuzz": fuzz}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "benchmark", choices=["rates", *BENCHES], nargs="?", default="rates", help="rates: c and c++"
    )
    parser.add_argument("--quick", action="store_true", help="run a fifth of the programs")
    args = parser.parse_args()
    if args.benchmark != "fuzz":
        print(sandbox.get().describe())
        print(f"  {'':32} {'ms CPU':>9} {'/s/core':>9} {'/s':>9}")
    for name in ["c", "c++"] if args.benchmark == "rates" else [args.benchmark]:
        BENCHES[name](0.2 if args.quick else 1.0)


if __name__ == "__main__":
    main()
