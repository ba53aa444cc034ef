"""Benchmark of Python verification: programs per second of one core, in the sandbox and in plain subprocesses.

    python benchmarks/bench_verify_python.py                 takes about a minute
    python benchmarks/bench_verify_python.py --runs 5        takes fewer measurements per method

values          a function with 3 tests by value; plain: `python FILE` with the asserts appended to the program
asserts         HumanEval's `check(candidate)` with 3 asserts, unchanged; plain: the same as for values
files           a pytest file with 3 tests, against proxies; plain: `pytest FILE` in its own process
files shared    the same file, with the program imported into its process

This process and its children are pinned to one core. The methods alternate, so that other load on the machine affects
them equally. Rates are per second of wall time and of CPU time (user and system, of all processes).
Goals per second and core: at least 200 for values, at least 12 for files.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from halo_core import sandbox
from halo_core.types import Completion, Prompt, Status
from halo_verifier_pytest import Pytest

PROGRAM = '''def clean(words, least=2):
    """Return the words in small letters, without repeats, the short ones left out."""
    seen = []
    for word in words:
        word = word.strip().lower()
        if len(word) >= least and word not in seen:
            seen.append(word)
    return seen
'''
CALLS = [
    (["Ab", "ab ", "c"], ["ab"]),
    (["one", "Two", "one"], ["one", "two"]),
    (["x", "yy", " zzz"], ["yy", "zzz"]),
]
ASSERTS = "".join(f"    assert candidate({call!r}) == {expected!r}\n" for call, expected in CALLS)
CHECK = f"def check(candidate):\n{ASSERTS}"
FILE = "from solution import clean\n\n" + "".join(
    f"def test_{n}():\n    assert clean({call!r}) == {expected!r}\n\n"
    for n, (call, expected) in enumerate(CALLS)
)
PROMPTS: dict[str, dict[str, Any]] = {
    "values": {"entry_point": "clean", "tests": [{"args": [call], "expected": e} for call, e in CALLS]},
    "asserts": {"entry_point": "clean", "test": CHECK},
    "files": {"files": {"test_clean.py": FILE}, "solution": PROGRAM},
    "files shared": {"files": {"test_clean.py": FILE}},
}


def halo(form: str) -> Callable[[], None]:
    """Return a function that verifies the program with one form of test."""
    verifier = Pytest()
    prompt = Prompt("p", "t", reference=PROMPTS[form])
    completion = Completion("p", 0, f"Here it is:\n```python\n{PROGRAM}```\n")

    def run() -> None:
        verdict = verifier.check(prompt, completion)
        assert verdict.status is Status.PASS, verdict.detail
        assert (verdict.integrity == "split") == (form != "files shared")

    return run


def plain(folder: Path, form: str) -> Callable[[], None]:
    """Return a function that does the same in a plain subprocess and trusts its exit code."""
    if form == "files":
        (folder / "solution.py").write_text(PROGRAM)
        (folder / "test_clean.py").write_text(FILE)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_clean.py"]
    else:
        (folder / "run.py").write_text(f"{PROGRAM}\n{CHECK}\ncheck(clean)\n")
        command = [sys.executable, "run.py"]

    def run() -> None:
        subprocess.run(command, cwd=folder, check=True, capture_output=True)

    return run


def cpu_seconds(supervisor: int) -> float:
    """Return the CPU seconds of this process and the sandbox, including their live and their awaited children."""
    times = os.times()
    return (
        times.user
        + times.system
        + times.children_user
        + times.children_system
        + sum(map(_process_seconds, _process_tree(supervisor)))
    )


def _process_tree(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _process_tree(int(child)))]


def _process_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def supervisor_of() -> int:
    """Return the process id of the sandbox's supervisor, the only child of this process."""
    return int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[0])


def main() -> None:
    """Print one row per form of test."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=25)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    box = sandbox.get()
    supervisor = supervisor_of()
    with tempfile.TemporaryDirectory() as folder:
        methods: dict[str, Any] = {form: halo(form) for form in PROMPTS}
        methods |= {f"plain {form}": plain(Path(folder), form) for form in ("values", "files")}
        totals = {name: [0.0, 0.0, 0.0] for name in methods}
        for method in methods.values():
            method()
            method()
        for _ in range(arguments.runs):
            for name, method in methods.items():
                repeats = 2 if name == "plain files" else 20
                cpu_before, started = cpu_seconds(supervisor), time.perf_counter()
                for _ in range(repeats):
                    method()
                wall = time.perf_counter() - started
                cpu = cpu_seconds(supervisor) - cpu_before
                totals[name] = [a + b for a, b in zip(totals[name], (repeats, wall, cpu), strict=True)]
    print(f"sandbox {box.tier}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':14}  {'per s':>8}  {'CPU ms':>7}  {'per CPU s':>12}  {'plain':>8}  {'ratio':>5}")
    for form in PROMPTS:
        count, wall, cpu = totals[form]
        baseline = totals["plain files" if form.startswith("files") else "plain values"]
        plain_rate = baseline[0] / baseline[2]
        print(
            f"{form:14}  {count / wall:8.1f}  {1e3 * cpu / count:7.2f}  {count / cpu:12.1f}  {plain_rate:8.1f}  "
            f"{count / cpu / plain_rate:5.1f}"
        )


if __name__ == "__main__":
    main()
