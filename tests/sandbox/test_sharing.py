"""Threads that share a sandbox: none waits for what nobody uses, and none waits for one that waits for it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_core.sandbox import Limits, Sandbox, Service, sharing
from halo_core.sandbox.sharing import Holder, Sessions, Turn

SOON = 10.0
"""Seconds within which whatever ends has ended."""


class Warm:
    """A session that is kept."""

    def __init__(self, sessions: Sessions) -> None:
        self._lent = sessions.one()
        self.holder: Holder = self._lent.__enter__()

    def kill(self) -> None:
        self._lent.__exit__(None, None, None)


class Owner:
    """Something that keeps sessions."""


def use(sessions: Sessions, owner: object) -> None:
    """Use a kept session or a new one, and keep it."""
    session = sessions.reuse(owner) or Warm(sessions)
    time.sleep(0.001)
    if not sessions.keep(owner, session):
        session.kill()


def ended(*targets: Callable[[], object]) -> bool:
    """Run `targets` side by side; return whether all of them end."""
    threads = [threading.Thread(target=target, daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SOON
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """The process-wide sandbox, with four sessions."""
    monkeypatch.setattr(sharing, "SESSIONS", 4)
    monkeypatch.setattr(sharing, "FOR_A_SESSION", SOON)
    with sandbox.start() as box:
        monkeypatch.setattr(sandbox, "get", lambda: box)
        monkeypatch.setattr(sandbox, "running", lambda: box)
        yield box


def test_processes_that_wait_for_calls_make_way(narrow: Sandbox) -> None:
    kept, wanted = Service("os:getpid"), Service("math:factorial")
    gate = threading.Barrier(4)

    def at_once(service: Service, *arguments: object) -> object:
        gate.wait(SOON)
        return service.call(*arguments, answer=lambda _: gate.wait(SOON)).value

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda _: at_once(kept), range(4)))
        assert list(pool.map(lambda n: at_once(wanted, n), range(4))) == [1, 1, 2, 6]
    assert ended(lambda: narrow.run(["/bin/true"]))
    assert kept.call().ok


def test_a_thread_within_a_session_never_waits_for_another(narrow: Sandbox) -> None:
    service, gate = Service("os:getpid"), threading.Barrier(6)
    said: list[bool] = []

    def nested() -> None:
        with narrow.workspace() as outer:
            said.append(service.call().ok)
            with narrow.workspace():
                said.append(outer.run(["/bin/true"]).ok)
        gate.wait(SOON)

    assert ended(*[nested] * 6)
    assert said == [True] * 12


def test_who_waits_for_a_session_is_served_though_others_use_theirs_without_a_pause() -> None:
    sessions, owner, stop = Sessions(2), Owner(), threading.Event()

    def busy() -> None:
        while not stop.is_set():
            use(sessions, owner)

    def once() -> None:
        with sessions.one():
            stop.set()

    assert ended(busy, busy, busy, once)


def test_nothing_is_counted_twice_or_forgotten_however_threads_meet() -> None:
    sessions, owners, most = Sessions(3), [Owner(), Owner()], []
    lock, inside = threading.Lock(), [0]

    def work(number: int) -> None:
        for turn in range(40):
            if (number + turn) % 3:
                use(sessions, owners[turn % 2])
                continue
            with sessions.one():
                with lock:
                    inside[0] += 1
                    most.append(inside[0])
                time.sleep(0.001)
                with lock:
                    inside[0] -= 1

    assert ended(*[lambda number=number: work(number) for number in range(8)])
    assert 1 < max(most) <= 3
    del owners[:]
    held = [Warm(sessions) for _ in range(3)]
    assert sessions._open == len(held)
    assert sessions._used == {threading.get_ident(): 3}


def test_what_an_owner_kept_ends_with_it_or_when_it_says_so() -> None:
    sessions = Sessions(3)
    first, second = Owner(), Owner()
    assert sessions.keep(first, Warm(sessions))
    assert sessions.keep(second, Warm(sessions))
    sessions.drop(first)
    assert sessions.reuse(first) is None
    assert sessions._open == 1
    del second
    assert sessions._open == 0


def test_waiting_for_a_session_ends_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "FOR_A_SESSION", 0.1)
    sessions = Sessions(1)
    failed: list[SandboxError] = []

    def late() -> None:
        with pytest.raises(SandboxError, match="none of the sandbox's 1 sessions") as caught, sessions.one():
            pass
        failed.append(caught.value)

    with sessions.one():
        assert ended(late)
    assert "workspace" in failed[0].hint
    with sessions.one():
        pass


def test_a_sandbox_that_is_closed_lets_go_of_those_who_wait_for_it(narrow: Sandbox) -> None:
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


def test_what_runs_in_turn_may_ask_for_a_run_of_its_own(narrow: Sandbox) -> None:
    service, other = Service("halo_core.sandbox.service:ask"), Service("os:getpid")
    asked, waiting = threading.Event(), threading.Event()
    found: list[object] = []

    def answer(_: object) -> object:
        asked.set()
        waiting.wait(SOON)
        time.sleep(0.2)  # by now the other thread waits for this one to end
        return narrow.run(["/bin/true"]).ok and other.call().ok

    def alone() -> None:
        asked.wait(SOON)
        waiting.set()
        with narrow._turn.alone():
            found.append("alone")

    assert ended(lambda: found.append(service.call(1, answer=answer).value), alone)
    assert found == [True, "alone"]


def test_who_waits_for_a_turn_has_a_session_already(narrow: Sandbox) -> None:
    """Were it the other way round, a call that waits for a session would be waited for by those who have them."""
    service, begun, go = Service("os:getpid"), threading.Event(), threading.Event()

    def alone() -> None:
        with narrow._turn.alone():
            begun.set()
            go.wait(SOON)

    def runs() -> None:
        begun.wait(SOON)
        assert narrow.run(["/bin/true"]).ok

    def calls() -> None:
        begun.wait(SOON)
        service.call()

    threads = [threading.Thread(target=target, daemon=True) for target in (alone, runs, calls)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + SOON
    while narrow._sessions._open < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert narrow._sessions._open == 2
    assert narrow._turn._running == 0
    go.set()
    for thread in threads:
        thread.join(SOON)
    assert not any(thread.is_alive() for thread in threads)


def test_the_time_that_a_run_waits_for_its_turn_is_not_the_runs(narrow: Sandbox) -> None:
    fresh = Service("os:getpid", limits=Limits(wall_seconds=0.3), fresh=True)
    source = "def f():\n    return 1\n"
    said: list[bool] = []
    with narrow._turn.alone():
        threads = [
            threading.Thread(target=lambda: said.append(fresh.call().ok)),
            threading.Thread(
                target=lambda: said.append(
                    narrow.call(source, "f", [()], limits=Limits(wall_seconds=0.3)).outcome.ok
                )
            ),
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.8)
    for thread in threads:
        thread.join(SOON)
    assert said == [True, True]


def test_runs_go_side_by_side_and_one_alone() -> None:
    turn, together = Turn(), threading.Barrier(3)

    def shared() -> None:
        with turn.shared():
            together.wait(SOON)

    assert ended(shared, shared, shared)
    seen: list[int] = []

    def alone() -> None:
        with turn.alone():
            seen.append(turn._running)
            time.sleep(0.01)
            seen.append(turn._running)

    def beside() -> None:
        for _ in range(20):
            with turn.shared():
                time.sleep(0.001)

    assert ended(alone, beside, beside, alone)
    assert seen == [0] * 4


def test_a_run_that_never_ends_does_not_keep_another_from_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "FOR_QUIET", 0.1)
    turn = Turn()
    with turn.shared():
        assert ended(lambda: turn.alone().__enter__())


def test_an_interrupt_while_it_waits_to_be_alone_leaves_the_turn_to_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    turn = Turn()
    waits = turn._changed.wait_for

    def interrupted(predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        if timeout is not None:
            raise KeyboardInterrupt
        return waits(predicate)

    monkeypatch.setattr(turn._changed, "wait_for", interrupted)
    with pytest.raises(KeyboardInterrupt), turn.alone():
        pass
    with turn.shared():
        pass
    with turn.shared():  # it is not believed to have a turn
        assert turn._running == 1


def test_a_forked_process_leaves_the_sessions_of_the_one_it_came_from_alone() -> None:
    service = Service("os:getpid")
    assert service.call().ok
    with sandbox.get().workspace() as space:
        pid = os.fork()
        if not pid:
            try:
                space._close()
                box = sandbox.get()
                os._exit(0 if service.call().ok and box.run(["/bin/true"]).ok else 1)
            finally:
                os._exit(2)
        assert os.waitpid(pid, 0)[1] == 0
        assert space.run(["/bin/true"]).ok
    assert service.call().ok


def test_a_process_that_is_forked_while_a_sandbox_starts_can_start_its_own() -> None:
    with sandbox._lock:
        pid = os.fork()
        if not pid:
            os._exit(0 if sandbox._lock.acquire(timeout=SOON) else 1)
    assert os.waitpid(pid, 0)[1] == 0
