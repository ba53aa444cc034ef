"""Threads that share a sandbox: no thread waits for an idle session, and no threads wait for each other."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, Sandbox, Service, process_wide, sharing
from halo_core.sandbox.sharing import ReadersWriterLock, SessionOwner, SessionPool

SOON = 100.0
"""Seconds within which every wait must end."""


WaitUntil = Callable[[Callable[[], bool]], None]


class FakeSession:
    """A session without a worker."""

    def __init__(self, pool: SessionPool) -> None:
        self._lent = pool.acquire()
        self.owner: SessionOwner = self._lent.__enter__()

    def kill(self) -> None:
        self._lent.__exit__(None, None, None)


class FakeService:
    """An object that keeps idle sessions."""


def use(pool: SessionPool, service: object) -> None:
    """Use an idle session or a new one, and keep it."""
    session = pool.reuse(service) or FakeSession(pool)
    time.sleep(0.001)
    if not pool.keep(service, session):
        session.kill()


def all_end(*targets: Callable[[], object]) -> bool:
    """Run `targets` concurrently; return whether all of them end."""
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SOON
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A process-wide sandbox with four sessions."""
    monkeypatch.setattr(sharing, "MAX_SESSIONS", 4)
    monkeypatch.setattr(sharing, "SESSION_TIMEOUT", SOON)
    with sandbox.start() as box:
        monkeypatch.setattr(process_wide, "current", box)
        yield box


def test_idle_processes_are_ended_for_other_services(narrow: Sandbox) -> None:
    idle, wanted = Service("os:getpid"), Service("math:factorial")
    gate = threading.Barrier(4)

    def call_together(service: Service, *arguments: object) -> object:
        gate.wait(SOON)
        return service.call(*arguments, answer=lambda _: gate.wait(SOON)).value

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: call_together(idle), range(4)))
        assert list(pool.map(lambda n: call_together(wanted, n), range(4))) == [1, 1, 2, 6]
    assert all_end(lambda: narrow.run(["/bin/true"]))
    assert idle.call().ok


def test_a_thread_with_a_session_never_waits_for_another_session(narrow: Sandbox) -> None:
    service, gate = Service("os:getpid"), threading.Barrier(6)
    results: list[bool] = []

    def nested() -> None:
        with narrow.workspace() as outer:
            results.append(service.call().ok)
            with narrow.workspace():
                results.append(outer.run(["/bin/true"]).ok)
        gate.wait(SOON)

    assert all_end(*[nested] * 6)
    assert results == [True] * 12


def test_a_waiting_thread_is_served_although_other_threads_are_always_busy() -> None:
    pool, service, stop = SessionPool(2), FakeService(), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            use(pool, service)

    def once() -> None:
        with pool.acquire():
            stop.set()

    assert all_end(busy, busy, busy, once)


def test_the_count_of_sessions_is_exact_under_contention() -> None:
    pool, services, counts = SessionPool(3), [FakeService(), FakeService()], []
    lock, inside = threading.Lock(), [0]

    def work(number: int) -> None:
        for step in range(40):
            if (number + step) % 3:
                use(pool, services[step % 2])
                continue
            with pool.acquire():
                with lock:
                    inside[0] += 1
                    counts.append(inside[0])
                time.sleep(0.001)
                with lock:
                    inside[0] -= 1

    assert all_end(*[lambda number=number: work(number) for number in range(8)])
    assert 1 < max(counts) <= 3
    del services[:]
    held = [FakeSession(pool) for _ in range(3)]
    assert pool.open_count == len(held)
    assert pool.used_by_thread == {threading.get_ident(): 3}


def test_idle_sessions_end_with_their_service_or_on_drop() -> None:
    pool = SessionPool(3)
    first, second = FakeService(), FakeService()
    assert pool.keep(first, FakeSession(pool))
    assert pool.keep(second, FakeSession(pool))
    pool.drop(first)
    assert pool.reuse(first) is None
    assert pool.open_count == 1
    del second
    assert pool.open_count == 0


def test_waiting_for_a_session_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "SESSION_TIMEOUT", 0.1)
    pool = SessionPool(1)
    failed: list[SandboxError] = []

    def late() -> None:
        with pytest.raises(SandboxError, match="none of the sandbox's 1 sessions") as caught, pool.acquire():
            pass
        failed.append(caught.value)

    with pool.acquire():
        assert all_end(late)
    assert "workspace" in failed[0].hint
    with pool.acquire():
        pass


def test_closing_a_sandbox_raises_in_waiting_threads(narrow: Sandbox) -> None:
    refused: list[str] = []

    def waits() -> None:
        with pytest.raises(SandboxError) as caught, narrow.workspace():
            pass
        refused.append(str(caught.value))

    spaces = [narrow.workspace() for _ in range(4)]
    for space in spaces:
        space.__enter__()
    threads = [threading.Thread(target=waits, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    assert not refused
    narrow.close()
    for thread in threads:
        thread.join(SOON)
    assert refused == ["this sandbox is closed"] * 2


def test_a_callback_may_run_programs_while_a_thread_waits_for_exclusive_access(narrow: Sandbox) -> None:
    service, other = Service("halo_core.sandbox.service:ask"), Service("os:getpid")
    asked, waiting = threading.Event(), threading.Event()
    found: list[object] = []

    def answer(_: object) -> object:
        asked.set()
        waiting.wait(SOON)
        time.sleep(0.2)  # by now the other thread waits for this thread to end
        return narrow.run(["/bin/true"]).ok and other.call().ok

    def alone() -> None:
        asked.wait(SOON)
        waiting.set()
        with narrow.run_lock.exclusive():
            found.append("alone")

    assert all_end(lambda: found.append(service.call(1, answer=answer).value), alone)
    assert found == [True, "alone"]


def test_a_thread_that_waits_for_the_run_lock_has_a_session(narrow: Sandbox, wait_until: WaitUntil) -> None:
    """In the opposite order, threads with sessions would wait for a call that waits for a session."""
    service, started, go = Service("os:getpid"), threading.Event(), threading.Event()

    def alone() -> None:
        with narrow.run_lock.exclusive():
            started.set()
            go.wait(SOON)

    def runs() -> None:
        started.wait(SOON)
        assert narrow.run(["/bin/true"]).ok

    def calls() -> None:
        started.wait(SOON)
        service.call()

    threads = [threading.Thread(target=target, daemon=True) for target in (alone, runs, calls)]
    for thread in threads:
        thread.start()
    wait_until(lambda: narrow.sessions.open_count == 2)
    assert narrow.run_lock.readers == 0
    go.set()
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)


def test_waiting_for_the_run_lock_does_not_count_as_wall_time(narrow: Sandbox) -> None:
    fresh = Service("os:getpid", limits=Limits(wall_seconds=2.0), fresh=True)
    source = "def f():\n    return 1\n"
    results: list[bool] = []
    with narrow.run_lock.exclusive():
        threads = [
            threading.Thread(target=lambda: results.append(fresh.call().ok)),
            threading.Thread(
                target=lambda: results.append(
                    narrow.call(source, "f", [()], limits=Limits(wall_seconds=2.0)).outcome.ok
                )
            ),
        ]
        for thread in threads:
            thread.start()
        time.sleep(2.5)
    for thread in threads:
        thread.join(SOON)
    assert results == [True, True]


def test_many_readers_share_the_lock_and_a_writer_excludes_them() -> None:
    lock, together = ReadersWriterLock(), threading.Barrier(3)

    def meet() -> None:
        with lock.shared():
            together.wait(SOON)

    assert all_end(meet, meet, meet)
    seen: list[int] = []

    def write() -> None:
        with lock.exclusive():
            seen.append(lock.readers)
            time.sleep(0.01)
            seen.append(lock.readers)

    def read() -> None:
        for _ in range(20):
            with lock.shared():
                time.sleep(0.001)

    assert all_end(write, read, read, write)
    assert seen == [0] * 4


def test_a_reader_that_never_ends_does_not_block_a_writer_permanently(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "EXCLUSIVE_TIMEOUT", 0.1)
    lock = ReadersWriterLock()
    with lock.shared():
        assert all_end(lambda: lock.exclusive().__enter__())


def test_an_interrupt_while_waiting_for_exclusive_access_leaves_the_lock_usable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lock = ReadersWriterLock()
    wait_for = lock._changed.wait_for

    def interrupted(predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        if timeout is not None:
            raise KeyboardInterrupt
        return wait_for(predicate)

    monkeypatch.setattr(lock._changed, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt), lock.exclusive():
        pass
    with lock.shared():
        pass
    with lock.shared():  # this thread no longer counts as a holder
        assert lock.readers == 1


def test_a_forked_process_does_not_end_its_parents_sessions() -> None:
    service = Service("os:getpid")
    assert service.call().ok
    lent = sandbox.get().workspace()
    with lent as space:
        pid = os.fork()
        if not pid:
            try:
                lent.__exit__(None, None, None)
                box = sandbox.get()
                os._exit(0 if service.call().ok and box.run(["/bin/true"]).ok else 1)
            finally:
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        assert space.run(["/bin/true"]).ok
    assert service.call().ok


def test_a_process_forked_during_the_start_of_a_sandbox_can_start_another() -> None:
    with process_wide.lock:
        pid = os.fork()
        if not pid:
            os._exit(0 if process_wide.lock.acquire(timeout=SOON) else 1)
    assert os.waitpid(pid, 0)[1] == 0
