"""What is stuck, stopped or gone: whoever waits for it is told, and in time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, Sandbox, Service, starting, workspace

SOON = 10.0
"""Seconds within which whatever ends has ended."""
BRIEF = Limits(wall_seconds=0.5, memory_bytes=1 << 30)
MODULE = """
import os, signal, time
from halo_core.sandbox.service import ask

def pid():
    return os.getpid()

def hangs_up():
    os.close(3)
    time.sleep(1e6)

def babbles():
    os.write(3, b"\\xff" * 64)
    time.sleep(1e6)

def drips():
    os.write(3, b"\\xe8\\x03\\0\\0")
    while True:
        os.write(3, b".")
        time.sleep(0.1)

def pesters():
    while True:
        ask(time.sleep(0.01))

def stops():
    os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture(autouse=True)
def in_time() -> Iterator[None]:
    """Fail where a test takes longer than it may: whatever it waits for, it hangs."""

    def late(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("it hangs")

    previous = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(2 * SOON))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox of the test's own, in the place of the process-wide one."""
    with sandbox.start() as box:
        monkeypatch.setattr(sandbox, "get", lambda: box)
        yield box


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that a service can load."""
    monkeypatch.syspath_prepend(str(tmp_path))
    path = tmp_path / "stuck_things.py"
    path.write_text(MODULE)
    return path


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def supervisor_of(box: Sandbox) -> int:
    mark = box._directory.encode()
    (found,) = [
        child for child in children(os.getpid()) if mark in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
    return found


@pytest.mark.parametrize("end", ["os._exit(3)", "ctypes.string_at(0)"])
def test_a_module_that_ends_the_process_that_loads_it(own: Sandbox, module: Path, end: str) -> None:
    module.write_text(f"import ctypes, os\n{end}\n")
    service = Service("stuck_things:pid")
    for _ in range(2):
        with pytest.raises(SandboxError, match="while it loaded stuck_things:pid"):
            service.call()
    assert own.run(["/bin/true"]).ok
    module.write_text(MODULE)
    with suppress(SandboxError):  # of a worker that was made before
        service.call()
    assert service.call().ok


@pytest.mark.parametrize("function", ["hangs_up", "babbles", "drips", "pesters", "stops"])
def test_a_process_that_does_not_let_go_is_let_go(own: Sandbox, module: Path, function: str) -> None:
    service = Service(f"stuck_things:{function}", limits=BRIEF)
    begun = time.monotonic()
    reply = service.call(answer=lambda _: None)
    assert not reply.ok
    assert time.monotonic() - begun < SOON
    assert own._sessions._open == 0


@pytest.mark.parametrize("fresh", [False, True])
def test_a_process_that_is_stopped_from_outside(own: Sandbox, fresh: bool) -> None:
    service = Service("time:sleep", limits=Limits(wall_seconds=1.0, memory_bytes=1 << 30), fresh=fresh)

    def stop() -> None:
        time.sleep(0.4)
        for worker in children(supervisor_of(own)):
            for process in children(worker):
                os.kill(process, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    begun = time.monotonic()
    assert service.call(0.8).limit == (
        "wall" if fresh else None
    )  # it is taken to wait for the CPU, and tried again
    assert time.monotonic() - begun < SOON
    thread.join()
    assert service.call(0.0).ok


@pytest.mark.parametrize("way", ["run", "call", "service"])
def test_a_worker_that_is_stopped(own: Sandbox, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    service = Service("time:sleep", limits=BRIEF, fresh=True)
    source = "import time\ndef f():\n    time.sleep(0.3)\n"
    use = {
        "run": lambda: own.run(["/bin/sleep", "0.3"], limits=BRIEF),
        "call": lambda: own.call(source, "f", [()], limits=BRIEF),
        "service": lambda: service.call(0.3),
    }[way]
    use()
    workers = children(supervisor_of(own))
    monkeypatch.setattr(workspace, "GRACE", 0.5)

    def stop() -> None:
        time.sleep(0.1)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(SandboxError, match="has not answered"):
        use()
    thread.join()
    monkeypatch.setattr(workspace, "GRACE", SOON)
    use()  # by another worker
    own.close()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_supervisor_that_is_stopped_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_END", 0.3)
    box = sandbox.start()
    assert box.run(["/bin/true"]).ok
    supervisor = supervisor_of(box)
    os.kill(supervisor, signal.SIGSTOP)
    box.close()
    assert supervisor not in children(os.getpid())
    assert not Path(box._directory).exists()


def test_a_start_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_START", 0.001)
    before = children(os.getpid())
    with pytest.raises(SandboxError, match="did not start within"):
        sandbox.start()
    assert children(os.getpid()) == before


def test_a_forked_process_that_lives_on_does_not_keep_a_sandbox_open() -> None:
    box = sandbox.start()
    assert box.run(["/bin/true"]).ok
    pid = os.fork()
    if not pid:
        time.sleep(60)
        os._exit(0)
    try:
        begun = time.monotonic()
        box.close()
        assert time.monotonic() - begun < SOON
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_what_ctrl_c_cut_off_is_not_taken_for_the_next_answer(own: Sandbox) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with own.workspace() as space:
        previous = signal.signal(signal.SIGUSR1, interrupt)
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                space.run(["/bin/sh", "-c", "sleep 0.5; echo late"], limits=Limits(processes=9))
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, previous)
        time.sleep(0.5)
        with pytest.raises(SandboxError):
            space.run(["/bin/echo", "next"])
    assert own.run(["/bin/echo", "next"]).stdout == b"next\n"
