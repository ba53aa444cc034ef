"""Synchronization between the threads that use a sandbox: a pool of sessions, and a readers-writer lock for runs.

Every wait ends. A thread acquires a session first and the lock second; a thread that has a session does not wait
for another session, and a thread that holds the lock does not wait for it again, so the thread waited for can always
proceed. Callbacks may depend on other threads in unknown ways, so each wait has a timeout as well.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakKeyDictionary

from halo_core.errors import SandboxError

MAX_SESSIONS = 256
"""Maximum number of open sessions of a sandbox, not counting further sessions of a thread that has one."""
SESSION_TIMEOUT = 1800.0
"""Seconds that a thread waits for a session before it gets an error."""
EXCLUSIVE_TIMEOUT = 300.0
"""Seconds that an exclusive run waits; then it starts beside the runs that have not ended."""


class SessionOwner:
    """The thread that uses a session; 0 while the session is idle."""

    def __init__(self, thread: int) -> None:
        self.thread = thread


class IdleSession(Protocol):
    """A session that stays open for reuse and may be ended at any time until then."""

    owner: SessionOwner

    def kill(self) -> None:
        """End the session."""


class SessionPool:
    """Counts the sessions of a sandbox, and keeps idle ones open for reuse.

    No thread waits for an idle session: it is ended for the thread that needs it. Waiting threads are served in
    order. A thread that has a session gets more at once, whatever the count: the threads that it would wait for
    could be waiting for it.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._changed = threading.Condition()
        self._limit = limit or MAX_SESSIONS
        self._open = 0
        self._closed = False
        self._used: Counter[int] = Counter()
        self._queue: deque[int] = deque()
        self._idle: WeakKeyDictionary[object, list[IdleSession]] = WeakKeyDictionary()

    @property
    def open_count(self) -> int:
        """Number of open sessions, idle ones included."""
        return self._open

    @property
    def used_by_thread(self) -> dict[int, int]:
        """Number of sessions in use by each thread that has any."""
        return dict(self._used)

    @contextmanager
    def acquire(self) -> Iterator[SessionOwner]:
        """Count one session until exit.

        Raises `SandboxError` when the sandbox is closed meanwhile, or after half an hour of waiting.
        """
        owner = self._acquire(threading.get_ident())
        try:
            yield owner
        finally:
            with self._changed:
                self._open -= 1
                self._release(owner)
                self._changed.notify_all()

    def keep(self, service: object, session: IdleSession) -> bool:
        """Keep `session` idle while `service` lives; return False if another thread needs its place."""
        with self._changed:
            if self._closed or self._queue or self._open > self._limit:
                return False
            self._release(session.owner)
            self._idle.setdefault(service, []).append(session)
            return True

    def reuse(self, service: object) -> IdleSession | None:
        """Return an idle session of `service`, now owned by this thread; None if there is none."""
        with self._changed:
            idle = self._idle.get(service)
            if not idle:
                return None
            session = idle.pop()
            session.owner.thread = threading.get_ident()
            self._used[session.owner.thread] += 1
            return session

    def drop(self, service: object) -> None:
        """End the idle sessions of `service`."""
        with self._changed:
            idle = self._idle.pop(service, [])
        for session in idle:
            session.kill()

    def close(self) -> None:
        """End all idle sessions and refuse new ones."""
        with self._changed:
            self._closed = True
            services = list(self._idle)
            self._changed.notify_all()
        for service in services:
            self.drop(service)

    def _acquire(self, me: int) -> SessionOwner:
        deadline = time.monotonic() + SESSION_TIMEOUT
        with self._changed:
            if not self._queue and self._open < self._limit and not self._closed:
                return self._assign(me)
            self._queue.append(me)
        try:
            while True:
                with self._changed:
                    spare = self._wait(me, deadline)
                    if spare is None:
                        return self._assign(me)
                spare.kill()  # takes milliseconds and frees a session
        finally:
            with self._changed:
                self._queue.remove(me)
                self._changed.notify_all()

    def _wait(self, me: int, deadline: float) -> IdleSession | None:
        """Wait until thread `me` may have a session; return the idle session that it must end first, or None."""
        while not self._closed:
            extra, first = self._used[me] > 0, self._queue[0] == me
            if first and self._open < self._limit:
                return None
            idle = next(filter(None, self._idle.values()), None)
            if idle and (first or extra):
                return idle.pop(0)
            if extra:
                return None
            if not self._changed.wait(deadline - time.monotonic()):
                raise SandboxError(
                    f"none of the sandbox's {self._limit} sessions has become free for half an hour",
                    hint="leave each `workspace` and `function` as soon as its work is done",
                )
        raise SandboxError("this sandbox is closed")

    def _assign(self, me: int) -> SessionOwner:
        self._open += 1
        self._used[me] += 1
        return SessionOwner(me)

    def _release(self, owner: SessionOwner) -> None:
        if owner.thread:
            self._used[owner.thread] -= 1
            if not self._used[owner.thread]:
                del self._used[owner.thread]
            owner.thread = 0


class ReadersWriterLock:
    """A lock that many threads share or one holds exclusively.

    Reentrant: a thread that holds it, in either mode, enters again at once and keeps the mode it has.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers: set[int] = set()
        self._exclusive = False
        self._local = threading.local()

    @property
    def readers(self) -> int:
        """Number of threads that share the lock."""
        return len(self._readers)

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hold the lock together with other readers, but not during an exclusive run."""
        me = threading.get_ident()
        with self._hold(lambda: self._readers.add(me), lambda: self._readers.discard(me)):
            yield

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Block new readers and wait until the current ones end, at most `EXCLUSIVE_TIMEOUT`."""
        with self._hold(self._block_readers, self._unblock_readers):
            yield

    @contextmanager
    def _hold(self, acquire: Callable[[], None], release: Callable[[], None]) -> Iterator[None]:
        """Hold the lock unless this thread already does; call `release` even if Ctrl-C interrupts `acquire`."""
        if self._held:
            yield
            return
        entered = False
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._exclusive)
                entered = self._local.held = True
                acquire()
            yield
        finally:
            if entered:
                with self._changed:
                    self._local.held = False
                    release()
                    self._changed.notify_all()

    def _block_readers(self) -> None:
        self._exclusive = True
        self._changed.wait_for(lambda: not self._readers, EXCLUSIVE_TIMEOUT)

    def _unblock_readers(self) -> None:
        self._exclusive = False

    @property
    def _held(self) -> bool:
        return getattr(self._local, "held", False)
