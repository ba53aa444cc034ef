"""Runs that neither the program nor the sandbox ended: the kernel or somebody else killed them."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halo_core.sandbox import Limits, Outcome, Sandbox, linux

WaitUntil = Callable[[Callable[[], bool]], None]
ROOM = Limits(cpu_seconds=5.0, wall_seconds=20.0, memory_bytes=1 << 29)


def run(box: Sandbox, code: str, **limits: int) -> Outcome:
    return box.run(
        [sys.executable, "-I", "-S", "-c", code], limits=Limits(cpu_seconds=5.0, wall_seconds=20.0, **limits)
    )


def running(mark: str) -> list[int]:
    """Return the processes that have `mark` in their command line, without those that only pass it on."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words and words[0].endswith(b"sleep"):
            found.append(int(place.name))
    return found


@pytest.mark.parametrize("times", [1, 2])
def test_a_kill_from_outside_is_inconclusive_unless_it_runs_to_its_end_alone(
    confined: Sandbox, wait_until: WaitUntil, times: int
) -> None:
    mark = f"2.{os.getpid()}{times}"

    def kill() -> None:
        killed: set[int] = set()
        while len(killed) < times:
            wait_until(lambda: bool(set(running(mark)) - killed))
            for pid in set(running(mark)) - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)

    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill)
        outcome = confined.run(["/bin/sleep", mark], limits=ROOM)
        killer.result()
    assert outcome.inconclusive == (times == 2)
    assert outcome.ok == (times == 1)


@pytest.mark.parametrize("processes", [1, 8])
@pytest.mark.parametrize("target", ["os.getpid()", "0", "-1", "-os.getpgid(0)"])
def test_a_program_cannot_kill_itself_to_look_like_a_victim(
    confined: Sandbox, target: str, processes: int
) -> None:
    outcome = run(confined, f"import os\nos.kill({target}, 9)", processes=processes)
    assert (outcome.exit_code, outcome.inconclusive) == (1, False)
    assert b"PermissionError" in outcome.stderr or b"ProcessLookupError" in outcome.stderr


def test_a_program_can_still_end_its_children_and_abort(confined: Sandbox) -> None:
    code = "import os, signal, time\np = os.fork()\nif p == 0:\n    time.sleep(60)\nos.kill(p, 15)\n"
    code += "assert os.waitpid(p, 0)[1] == 15"
    assert run(confined, code, processes=8).ok
    outcome = run(confined, "import os; os.abort()")
    assert (outcome.signal, outcome.inconclusive) == (signal.SIGABRT, False)


def test_the_kernel_counts_its_oom_kills() -> None:
    text = Path("/proc/vmstat").read_text()
    wanted = next((int(line.split()[1]) for line in text.splitlines() if line.startswith("oom_kill ")), 0)
    assert linux.oom_kills() >= wanted
