"""Processes that are stuck, stopped or dead: every thread that waits for one gets an error in time."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, Sandbox, Service, process_wide, session, starting

SOON = 100.0
"""Seconds within which every wait ends, however busy the machine is."""
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
def time_limit() -> Iterator[None]:
    """Fail a test that hangs."""

    def fail(_number: int, _frame: FrameType | None) -> None:
        raise AssertionError("the test hangs")

    previous = signal.signal(signal.SIGALRM, fail)
    signal.alarm(int(2 * SOON))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def fresh_box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A new sandbox in place of the process-wide one."""
    with sandbox.start() as box:
        monkeypatch.setattr(process_wide, "current", box)
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


@pytest.mark.parametrize("end", ["os._exit(3)", "ctypes.string_at(0)"])
def test_a_module_that_ends_its_worker_at_import_raises(fresh_box: Sandbox, module: Path, end: str) -> None:
    module.write_text(f"import ctypes, os\n{end}\n")
    service = Service("stuck_things:pid")
    for _ in range(2):
        with pytest.raises(SandboxError, match="while it loaded stuck_things:pid"):
            service.call()
    assert fresh_box.run(["/bin/true"]).ok
    module.write_text(MODULE)
    with suppress(SandboxError):  # the error of a worker that loaded the old module
        service.call()
    assert service.call().ok


@pytest.mark.parametrize("function", ["hangs_up", "babbles", "drips", "pesters", "stops"])
def test_a_process_that_does_not_reply_is_abandoned(fresh_box: Sandbox, module: Path, function: str) -> None:
    service = Service(f"stuck_things:{function}", limits=BRIEF)
    reply = service.call(answer=lambda _: None)
    assert not reply.ok
    assert fresh_box.sessions.open_count == 0


@pytest.mark.parametrize("fresh", [False, True])
def test_a_process_that_is_stopped_from_outside_times_out(
    fresh_box: Sandbox, wait_until: Callable[[Callable[[], bool]], None], fresh: bool
) -> None:
    service = Service("time:sleep", limits=Limits(wall_seconds=3.0, memory_bytes=1 << 30), fresh=fresh)

    def stop() -> None:
        wait_until(lambda: any(map(children, children(fresh_box.supervisor_pid))))
        time.sleep(0.2)
        for worker in children(fresh_box.supervisor_pid):
            for process in children(worker):
                os.kill(process, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    # Unless fresh, the process counts as waiting for the CPU and the call is repeated.
    assert service.call(2.0).limit == ("wall" if fresh else None)
    thread.join()
    assert service.call(0.0).ok


@pytest.mark.parametrize("way", ["run", "call", "service"])
def test_a_worker_that_is_stopped_raises(
    fresh_box: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Callable[[Callable[[], bool]], None],
    way: str,
) -> None:
    service = Service("time:sleep", limits=BRIEF, fresh=True)
    source = "import time\ndef f():\n    time.sleep(0.3)\n"
    uses: dict[str, Callable[[], object]] = {
        "run": lambda: fresh_box.run(["/bin/sleep", "0.3"], limits=BRIEF),
        "call": lambda: fresh_box.call(source, "f", [()], limits=BRIEF),
        "service": lambda: service.call(0.3),
    }
    use = uses[way]
    use()
    workers = children(fresh_box.supervisor_pid)
    monkeypatch.setattr(session, "GRACE", 0.5)

    def stop() -> None:
        wait_until(lambda: any(map(children, workers)))
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)

    thread = threading.Thread(target=stop)
    thread.start()
    with pytest.raises(SandboxError, match="has not answered"):
        use()
    thread.join()
    monkeypatch.setattr(session, "GRACE", SOON)
    use()  # by another worker
    fresh_box.close()
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)


def test_a_stopped_supervisor_is_killed_on_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_END_TIMEOUT", 0.3)
    box = sandbox.start()
    assert box.run(["/bin/true"]).ok
    supervisor = box.supervisor_pid
    os.kill(supervisor, signal.SIGSTOP)
    box.close()
    assert supervisor not in children(os.getpid())
    assert not Path(box.directory).exists()


def test_a_start_that_takes_too_long_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_START_TIMEOUT", 0.001)
    before = children(os.getpid())
    with pytest.raises(SandboxError, match="did not start within"):
        sandbox.start()
    assert children(os.getpid()) == before


def test_a_forked_process_does_not_keep_a_sandbox_open() -> None:
    box = sandbox.start()
    assert box.run(["/bin/true"]).ok
    pid = os.fork()
    if not pid:
        time.sleep(600)
        os._exit(0)
    try:
        box.close()
        assert os.waitpid(pid, os.WNOHANG) == (0, 0), "closing waited for the other process to end"
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_a_reply_after_ctrl_c_is_not_read_as_the_next_answer(fresh_box: Sandbox) -> None:
    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with fresh_box.workspace() as space:
        previous = signal.signal(signal.SIGUSR1, interrupt)
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGUSR1))
        timer.start()
        try:
            with pytest.raises(KeyboardInterrupt):
                space.run(["/bin/sh", "-c", "sleep 2; echo late"], limits=Limits(processes=9))
        finally:
            timer.join()
            signal.signal(signal.SIGUSR1, previous)
        time.sleep(2)
        with pytest.raises(SandboxError):
            space.run(["/bin/echo", "next"])
    assert fresh_box.run(["/bin/echo", "next"]).stdout == b"next\n"
