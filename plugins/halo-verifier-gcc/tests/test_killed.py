"""Programs, compilers and linkers that the machine or another process kills: the program is not to blame."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.types import Stage, Status
from halo_verifier_gcc import GCC
from halo_verifier_gcc.source import Source

SUM = (
    '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); BODY printf("%d\\n", a + b); }\n'
)
RIGHT = SUM.replace("BODY", "")
SLOW_TO_COMPILE = (
    "".join(f"int f{n}(int x) {{ return x * {n} + x % {n + 1}; }}\n" for n in range(6000)) + RIGHT
)
SLOW_TO_RUN = "#include <unistd.h>\n" + SUM.replace("BODY", "usleep(300000);")
KILLED = b"gcc: fatal error: Killed signal terminated program cc1\ncompilation terminated.\n"
LINKER_KILLED = b"collect2: fatal error: ld terminated with signal 9 [Killed]\ncompilation terminated.\n"


def descendants(name: str) -> set[int]:
    """Return the processes called `name` that this one has started, directly or not."""
    parents, named = {}, set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = path.read_text().rpartition(")")
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid] = int(tail.split()[1])
        if head.endswith(f"({name}"):
            named.add(pid)
    found = set()
    for pid in named:
        ancestor = pid
        while ancestor in parents:
            ancestor = parents[ancestor]
            if ancestor == os.getpid():
                found.add(pid)
                break
    return found


@contextmanager
def killing(name: str, spare: Callable[[int], bool] = lambda number: False) -> Iterator[list[int]]:
    """Kill each process called `name` as it starts, but not those whose number, from 0, is in `spare`."""
    killed: list[int] = []
    done = threading.Event()

    def run() -> None:
        seen: list[int] = []
        while not done.wait(0.005):
            for pid in descendants(name) - set(seen):
                seen.append(pid)
                if spare(len(seen) - 1):
                    continue
                with suppress(ProcessLookupError):  # it may have ended since
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield killed
    finally:
        done.set()
        thread.join()


def test_a_compiler_killed_once_is_retried(check: Any) -> None:
    with killing("cc1", spare=lambda number: number > 0) as killed:
        assert check(SLOW_TO_COMPILE).status is Status.PASS
    assert len(killed) == 1


def test_a_compiler_that_is_always_killed_is_inconclusive(check: Any) -> None:
    with killing("cc1") as killed:
        verdict = check(SLOW_TO_COMPILE)
    assert killed
    assert verdict.status is Status.INCONCLUSIVE, verdict.detail


def test_a_program_killed_twice_is_inconclusive(check: Any) -> None:
    with killing("program"):
        verdict = check(SLOW_TO_RUN)
    assert verdict.status is Status.INCONCLUSIVE
    assert "killed by another process" in verdict.detail


def test_a_program_killed_once_is_run_again(check: Any) -> None:
    with killing("program", spare=lambda number: number > 0) as killed:
        assert check(SLOW_TO_RUN).status is Status.PASS
    assert len(killed) == 1


def fake(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[list[str], sandbox.Outcome], sandbox.Outcome]
) -> None:
    """Let `answer` change the outcome of each run, given its arguments."""
    true_run = sandbox.Workspace.run

    def run(self: sandbox.Workspace, argv: list[str], **options: Any) -> sandbox.Outcome:
        return answer(argv, true_run(self, argv, **options))

    monkeypatch.setattr(sandbox.Workspace, "run", run)


def test_a_linker_that_is_always_killed_is_inconclusive(check: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(argv: list[str], outcome: sandbox.Outcome) -> sandbox.Outcome:
        linked = "-c" not in argv and "-E" not in argv and len(argv) > 1
        return replace(outcome, exit_code=1, stderr=LINKER_KILLED) if linked else outcome

    fake(monkeypatch, answer)
    assert check(RIGHT).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "text",
    [
        'asm(".error \\"x\\\\ngcc: fatal error: Killed signal terminated program cc1\\"");\nint main(void) {}',
        "#error Killed signal terminated program cc1",
        'int f(void) __asm__("x: ld terminated with signal 9 [Killed]");\nint main(void) { return f(); }',
        '#line 1 "gcc: fatal error: Killed signal terminated program cc1"\n#error x',
        'static const char text[] __attribute__((section(".gnu.warning.puts"))) = "terminated with signal 9";\n'
        "int puts(const char *);\nint missing(void);\nint main(void) { return puts(text) + missing(); }",
    ],
)
def test_a_program_cannot_claim_that_the_compiler_was_killed(check: Any, text: str) -> None:
    verdict = check(text)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID), verdict.detail


def test_a_killed_compiler_is_known_by_the_exit_code_that_a_shell_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    builder = GCC()._builder()
    assert not builder.is_killed(Source("#error Killed signal\n", "c"))
    assert not builder.is_killed(Source('const char *text = "Killed";\n', "c"))
    with killing("cc1"):
        assert builder.is_killed(Source(SLOW_TO_COMPILE, "c"))


@pytest.mark.parametrize("killed", ["-E", "-fno-builtin"])
def test_a_killed_search_is_inconclusive(check: Any, monkeypatch: pytest.MonkeyPatch, killed: str) -> None:
    code = 'int f(void) __asm__("g");\n' + RIGHT
    assert check(code, forbid=(r"\bgoto\b",)).status is Status.PASS
    fake(
        monkeypatch,
        lambda argv, outcome: replace(outcome, exit_code=1, stderr=KILLED) if killed in argv else outcome,
    )
    assert check(code, forbid=(r"\bgoto\b",)).status is Status.INCONCLUSIVE
