"""What the threads that use a sandbox share: the sessions there may be at once, and the quiet to run alone.

No wait for either is without an end. A thread takes a session first and a turn after it; who has a session does
not wait for another, who has a turn does not wait for another: whoever is waited for can go on. What a callback
does in other threads cannot be known, so time bounds the waits as well.
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

SESSIONS = 256
"""Sessions that a sandbox has at once, but for those of threads that have one already."""
FOR_A_SESSION = 1800.0
"""Seconds after which a thread that has waited for a session is told that there is none."""
FOR_QUIET = 300.0
"""Seconds after which a run that should be alone begins beside those that have not ended."""


class Holder:
    """Who uses a session: a thread, or nobody while it is kept."""

    def __init__(self, thread: int) -> None:
        self.thread = thread


class Kept(Protocol):
    """A session that is kept open for later and may be ended until then."""

    holder: Holder

    def kill(self) -> None:
        """End it."""


class Sessions:
    """Counts the sessions of a sandbox, and has those that their owners keep open for later.

    Nobody waits for a session that is only kept: it is ended for the one who needs it. Who waits is served in
    order. A thread that has a session gets more at once, whatever the count: those it would wait for could be
    waiting for it.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._changed = threading.Condition()
        self._limit = limit or SESSIONS
        self._open = 0
        self._closed = False
        self._used: Counter[int] = Counter()
        self._queue: deque[int] = deque()
        self._kept: WeakKeyDictionary[object, list[Kept]] = WeakKeyDictionary()

    @contextmanager
    def one(self) -> Iterator[Holder]:
        """Count a session for as long as this lasts.

        Raises a `SandboxError` when the sandbox is closed meanwhile, or after half an hour of waiting.
        """
        holder = self._take(threading.get_ident())
        try:
            yield holder
        finally:
            with self._changed:
                self._open -= 1
                self._set_down(holder)
                self._changed.notify_all()

    def keep(self, owner: object, session: Kept) -> bool:
        """Keep `session`, unused from now on, while `owner` lives; return False where there is no room for it."""
        with self._changed:
            if self._closed or self._queue or self._open > self._limit:
                return False
            self._set_down(session.holder)
            self._kept.setdefault(owner, []).append(session)
            return True

    def reuse(self, owner: object) -> Kept | None:
        """Return a session that was kept for `owner`, for this thread to use; None if there is none."""
        with self._changed:
            kept = self._kept.get(owner)
            if not kept:
                return None
            session = kept.pop()
            session.holder.thread = threading.get_ident()
            self._used[session.holder.thread] += 1
            return session

    def drop(self, owner: object) -> None:
        """End what is kept for `owner`."""
        with self._changed:
            kept = self._kept.pop(owner, [])
        for session in kept:
            session.kill()

    def close(self) -> None:
        """End what is kept; nobody gets a session any more."""
        with self._changed:
            self._closed = True
            owners = list(self._kept)
            self._changed.notify_all()
        for owner in owners:
            self.drop(owner)

    def _take(self, me: int) -> Holder:
        deadline = time.monotonic() + FOR_A_SESSION
        with self._changed:
            if not self._queue and self._open < self._limit and not self._closed:
                return self._pick_up(me)
            self._queue.append(me)
        try:
            while True:
                with self._changed:
                    spare = self._wait(me, deadline)
                    if spare is None:
                        return self._pick_up(me)
                spare.kill()  # takes milliseconds, and a session becomes free by it
        finally:
            with self._changed:
                self._queue.remove(me)
                self._changed.notify_all()

    def _wait(self, me: int, deadline: float) -> Kept | None:
        """Return when thread `me` may have a session, with what it must end first, if anything."""
        while not self._closed:
            extra, first = self._used[me] > 0, self._queue[0] == me
            if first and self._open < self._limit:
                return None
            kept = next(filter(None, self._kept.values()), None)
            if kept and (first or extra):
                return kept.pop(0)
            if extra:
                return None
            if not self._changed.wait(deadline - time.monotonic()):
                raise SandboxError(
                    f"none of the sandbox's {self._limit} sessions has become free for half an hour",
                    hint="leave each `workspace` and `function` as soon as its work is done",
                )
        raise SandboxError("this sandbox is closed")

    def _pick_up(self, me: int) -> Holder:
        self._open += 1
        self._used[me] += 1
        return Holder(me)

    def _set_down(self, holder: Holder) -> None:
        if holder.thread:
            self._used[holder.thread] -= 1
            if not self._used[holder.thread]:
                del self._used[holder.thread]
            holder.thread = 0


class Turn:
    """Lets runs go side by side, and one go alone when it must.

    A thread that has a turn, because what it runs asked for a run in turn, does that within the one it has.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._threads: set[int] = set()
        self._alone = False
        self._here = threading.local()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Run beside others, but not beside one that runs alone."""
        me = threading.get_ident()
        with self._taken(lambda: self._threads.add(me), lambda: self._threads.discard(me)):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody begin, and run when the others have ended; after `FOR_QUIET`, beside those that have not."""
        with self._taken(self._hush, self._unhush):
            yield

    @contextmanager
    def _taken(self, begin: Callable[[], None], end: Callable[[], None]) -> Iterator[None]:
        """Enclose a turn, unless this thread has one; `end` follows `begin`, also when Ctrl-C came in the midst."""
        if self._held:
            yield
            return
        begun = False
        try:
            with self._changed:
                self._changed.wait_for(lambda: not self._alone)
                begun = self._here.held = True
                begin()
            yield
        finally:
            if begun:
                with self._changed:
                    self._here.held = False
                    end()
                    self._changed.notify_all()

    def _hush(self) -> None:
        self._alone = True
        self._changed.wait_for(lambda: not self._running, FOR_QUIET)

    def _unhush(self) -> None:
        self._alone = False

    @property
    def _running(self) -> int:
        return len(self._threads)

    @property
    def _held(self) -> bool:
        return getattr(self._here, "held", False)
