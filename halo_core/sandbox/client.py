"""The trainer's side of a supervisor process and its workers."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType

from halo_core.errors import SandboxError
from halo_core.sandbox import wire
from halo_core.sandbox.calls import Calls, Function, call_each, lend_function
from halo_core.sandbox.session import Session
from halo_core.sandbox.sharing import ReadersWriterLock, SessionPool
from halo_core.sandbox.starting import LANDLOCK_ABI, start_supervisor, unavailable
from halo_core.sandbox.types import Limits, Mode, Outcome, Tier
from halo_core.sandbox.workspace import Workspace, absolute


class Sandbox:
    """A supervisor process and the connection to it. Thread-safe."""

    def __init__(self, mode: Mode, *, landlock_abi: int = LANDLOCK_ABI) -> None:
        self.run_lock = ReadersWriterLock()
        """For `Service`: shared by runs, exclusive for a run that is repeated alone."""
        self.sessions = SessionPool()
        """For `Service`: the open sessions, idle ones included."""
        # Reentrant: garbage collection may close an unreferenced workspace in a thread that holds the lock.
        self._lock = threading.RLock()
        self._open: Counter[str] = Counter()
        self._workers: Counter[str] = Counter()
        self._pid = os.getpid()
        self._control, self._jobs, self.directory, hello, close = start_supervisor(mode, landlock_abi)
        self._finalizer = weakref.finalize(self, close)
        self.supervisor_pid = close.pid
        if not hello["tier"]:
            self.close()
            raise unavailable(mode, hello["reasons"])
        self.tier: Tier = hello["tier"]
        """The level of isolation; it never changes."""
        self._summary: str = hello["summary"]

    def describe(self) -> str:
        """Return one line: the tier, its mechanisms, and why the next tier is not available."""
        return self._summary

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Yield a private, empty directory to run programs in."""
        with self.session("run") as session:
            yield Workspace(session, self.run_lock)

    @contextmanager
    def session(self, kind: str, service_spec: wire.Message | None = None) -> Iterator[Session]:
        """Yield a session with a worker of `kind`; workers of that kind load `service_spec` when they start."""
        self._check_usable()
        with self.sessions.acquire() as owner:
            session = Session(self._connect(kind, service_spec), owner)
            try:
                session.open()
                yield session
            finally:
                session.close(hang_up=self.usable)
                with self._lock:
                    self._open[kind] -= 1
                    self._workers[kind] -= session.is_stuck

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        readable: Sequence[str | Path] = (),
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Outcome:
        """Run a program in an empty workspace; see `Workspace.run`."""
        with self.workspace() as space:
            return space.run(argv, stdin=stdin, limits=limits, readable=readable, env=env)

    def call(
        self,
        source: str,
        function: str,
        calls: Iterable[Sequence[object]],
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        paths: Sequence[str | Path] = (),
        trusted: bool = False,
    ) -> Calls:
        """Execute Python `source` in a separate process and call `function` in it once for each of `calls`.

        Arguments and results cross by value and by exact type; the expected results never leave the trainer's
        process. `limits` apply to all the calls together; `stdout_bytes` bounds each result, and everything
        that the function prints is dropped. `paths` are directories from which the source may import.

        With `trusted`, `source` is the verifier's own and contains nothing of a sample: it is executed once, outside
        of the confinement and of `limits`, and each process begins with a copy of the result.

        Raises `NotPlainError` when an argument is not plain data, and `SandboxError` as `Workspace.run` does, or when
        a trusted source fails.
        """
        rows = [tuple(arguments) for arguments in calls]
        folders = absolute(paths)
        text = "" if trusted else source
        # The session comes before the lock: a thread that holds the lock must not wait for a session.
        with self._calls(source, trusted=trusted) as session:
            with self.run_lock.shared():
                result = call_each(session, text, function, rows, limits, folders)
            if result.outcome.inconclusive:
                with self.run_lock.exclusive():
                    result = call_each(session, text, function, rows, limits, folders)
        return result

    @contextmanager
    def function(
        self,
        source: str,
        function: str,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        paths: Sequence[str | Path] = (),
        trusted: bool = False,
    ) -> Iterator[Function]:
        """Execute Python `source` in a separate process and yield `function` in it for individual calls.

        Prefer `call` if all arguments are known in advance: it repeats, with no other run beside it, a run that the
        wall clock ended on a busy machine. The time between the calls counts as wall time. `trusted` is as in `call`.
        """
        with (
            self._calls(source, trusted=trusted) as session,
            lend_function(session, "" if trusted else source, function, limits, absolute(paths)) as lent,
        ):
            yield lent

    def _calls(self, source: str, *, trusted: bool) -> AbstractContextManager[Session]:
        """Return a session with a worker for calls, which has executed a trusted source already."""
        if not trusted:
            return self.session("call")
        return self.session(f"call {hashlib.sha256(source.encode()).hexdigest()}", {"source": source})

    def close(self) -> None:
        """End the supervisor and all its processes. Idempotent."""
        self.sessions.close()
        self._finalizer()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connect(self, kind: str, service_spec: wire.Message | None) -> socket.socket:
        """Send one end of a new socket to the workers of `kind`, adding a worker if all are busy; return the other."""
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            try:
                if kind not in self._jobs:
                    self._jobs[kind], end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    with end:
                        message = {"kind": kind, "service_spec": service_spec}
                        wire.send(self._control, message, [end.fileno()])
                    self._workers[kind] += 1
                elif self._open[kind] == self._workers[kind]:
                    wire.send(self._control, {"kind": kind})
                    self._workers[kind] += 1
                socket.send_fds(self._jobs[kind], [b"s"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise SandboxError("the sandbox supervisor is gone") from error
            self._open[kind] += 1
        return ours

    @property
    def usable(self) -> bool:
        """True if the sandbox is open and was started by this process, not by a parent that forked it."""
        return self._finalizer.alive and os.getpid() == self._pid

    def _check_usable(self) -> None:
        if not self._finalizer.alive:
            raise SandboxError("this sandbox is closed")
        if os.getpid() != self._pid:
            raise SandboxError(
                "a sandbox cannot be used in a forked process", hint="start one in each process that needs it"
            )
