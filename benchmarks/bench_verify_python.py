"""Verifications of Python a second on one core, in the sandbox, beside the same work done naively.

    python benchmarks/bench_verify_python.py                 about a minute
    python benchmarks/bench_verify_python.py --runs 5        fewer of each

values          a function with 3 tests by value; naively: `python FILE`, the asserts appended to the program
asserts         HumanEval's `check(candidate)` with 3 asserts, unchanged; naively the same
files           a pytest file with 3 tests, against stand-ins; naively: `pytest FILE` in a process of its own
files shared    the same file, the program imported into its process

All on one core (this process and all that it starts are pinned to it), the ways in turn, so that whatever else the
machine does hits them alike. Rates are by wall time and by CPU time: user and system, of all processes.
Goals: values at least 200 a second and core, files at least 12.
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
    """Return what judges the program by one form of test."""
    verifier = Pytest()
    prompt = Prompt("p", "t", reference=PROMPTS[form])
    completion = Completion("p", 0, f"Here it is:\n```python\n{PROGRAM}```\n")

    def run() -> None:
        verdict = verifier.check(prompt, completion)
        assert verdict.status is Status.PASS, verdict.detail
        assert (verdict.integrity == "split") == (form != "files shared")

    return run


def naive(folder: Path, form: str) -> Callable[[], None]:
    """Return what does the same in a bare subprocess, believing its exit code."""
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
    """CPU time of this process, of what it waited for, and of the sandbox with all that it waited for or runs."""
    own = os.times()
    return (
        own.user
        + own.system
        + own.children_user
        + own.children_system
        + sum(map(_ticks, _family(supervisor)))
    )


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in _family(int(child)))]


def _ticks(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def supervisor_of() -> int:
    """Return the process id of the sandbox's supervisor: this process's one child."""
    return int(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()[0])


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=25)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    box = sandbox.get()
    supervisor = supervisor_of()
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Any] = {form: halo(form) for form in PROMPTS}
        ways |= {f"naive {form}": naive(Path(folder), form) for form in ("values", "files")}
        spent = {name: [0.0, 0.0, 0.0] for name in ways}
        for way in ways.values():
            way()
            way()
        for _ in range(arguments.runs):
            for name, way in ways.items():
                repeats = 2 if name == "naive files" else 20
                cpu, begun = cpu_seconds(supervisor), time.perf_counter()
                for _ in range(repeats):
                    way()
                took = time.perf_counter() - begun
                used = cpu_seconds(supervisor) - cpu
                spent[name] = [a + b for a, b in zip(spent[name], (repeats, took, used), strict=True)]
    print(f"sandbox {box.tier}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    print(f"{'':14}  {'a second':>8}  {'CPU ms':>7}  {'a CPU second':>12}  {'naively':>8}  {'ratio':>5}")
    for form in PROMPTS:
        count, wall, cpu = spent[form]
        other = spent["naive files" if form.startswith("files") else "naive values"]
        plain = other[0] / other[2]
        print(
            f"{form:14}  {count / wall:8.1f}  {1e3 * cpu / count:7.2f}  {count / cpu:12.1f}  {plain:8.1f}  "
            f"{count / cpu / plain:5.1f}"
        )


if __name__ == "__main__":
    main()
