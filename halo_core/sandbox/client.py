"""The trainer's side: a `Sandbox` is a supervisor process and the way to its workers."""

from __future__ import annotations

import os
import socket
import threading
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from halo_core.errors import SandboxError
from halo_core.sandbox import wire
from halo_core.sandbox.calls import Calls, Function
from halo_core.sandbox.sharing import Sessions, Turn
from halo_core.sandbox.starting import LANDLOCK_ABI, refusal, start_supervisor
from halo_core.sandbox.types import Limits, Mode, Outcome, Tier
from halo_core.sandbox.workspace import Workspace


class Sandbox:
    """A supervisor process and the way to it. Safe to use from many threads."""

    def __init__(self, mode: Mode, *, landlock_abi: int = LANDLOCK_ABI) -> None:
        self._turn = Turn()
        self._sessions = Sessions()
        self._lock = (
            threading.RLock()
        )  # a workspace that nobody refers to any more is closed wherever that is noticed
        self._open: Counter[str] = Counter()
        self._workers: Counter[str] = Counter()
        self._pid = os.getpid()
        self._control, self._jobs, self._directory, hello, close = start_supervisor(mode, landlock_abi)
        self._finalizer = weakref.finalize(self, close)
        if not hello["tier"]:
            self.close()
            raise refusal(mode, hello["reasons"])
        self.tier: Tier = hello["tier"]
        """The protection that holds, for this sandbox's whole life."""
        self._line: str = hello["line"]

    def describe(self) -> str:
        """Return one line: which tier holds, by what, and why not the next."""
        return self._line

    @contextmanager
    def workspace(self) -> Iterator[Workspace]:
        """Lend a private, empty directory to run programs in."""
        with self._lend("run") as space:
            yield space

    @contextmanager
    def _lend(self, kind: str, trade: wire.Message | None = None) -> Iterator[Workspace]:
        """Lend a session with a worker of `kind`; `trade` says what the first of its kind must learn."""
        self._check_usable()
        with self._sessions.one() as holder:
            space = Workspace(self, self._session(kind, trade), holder)
            try:
                space._open()
                yield space
            finally:
                space._close()
                with self._lock:
                    self._open[kind] -= 1
                    self._workers[kind] -= space._stuck

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        readable: Sequence[str | Path] = (),
    ) -> Outcome:
        """Run a program that needs no files of its own; see `Workspace.run`."""
        with self.workspace() as space:
            return space.run(argv, stdin=stdin, limits=limits, readable=readable)

    def call(
        self,
        source: str,
        function: str,
        calls: Iterable[Sequence[object]],
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        paths: Sequence[str | Path] = (),
    ) -> Calls:
        """Execute Python `source` in a process of its own and call `function` in it once for each of `calls`.

        Arguments and results cross by value and by exact type; what the results are compared with never
        leaves this process. `limits` are for all the calls together; `stdout_bytes` bounds each result, and
        what the function prints is dropped. `paths` are directories from which the source may import.

        Raises `NotPlainError` when an argument is not plain data, and `SandboxError` as `Workspace.run` does.
        """
        rows = [tuple(arguments) for arguments in calls]
        with self._lend(
            "call"
        ) as space:  # before the turn: who has a turn must not have to wait for a session
            with self._turn.shared():
                result = space._call(source, function, rows, limits, [*map(str, paths)])
            if result.outcome.inconclusive:
                with self._turn.alone():
                    result = space._call(source, function, rows, limits, [*map(str, paths)])
        return result

    @contextmanager
    def function(
        self,
        source: str,
        function: str,
        *,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        paths: Sequence[str | Path] = (),
    ) -> Iterator[Function]:
        """Execute Python `source` in a process of its own and lend `function` in it, to be called one by one.

        As `call`, which to prefer where all arguments are known beforehand: it tries again, alone, what the
        wall clock ended on a busy machine. The time between the calls counts as wall time.
        """
        with (
            self._lend("call") as space,
            space._function(source, function, limits, [*map(str, paths)]) as called,
        ):
            yield called

    def close(self) -> None:
        """End the supervisor and everything under it. Idempotent."""
        self._sessions.close()
        self._finalizer()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _session(self, kind: str, trade: wire.Message | None) -> socket.socket:
        ours, theirs = socket.socketpair()
        with self._lock, theirs:
            try:
                if kind not in self._jobs:
                    self._jobs[kind], end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                    with end:
                        wire.send(self._control, {"kind": kind, "trade": trade}, [end.fileno()])
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
        """Whether it is open, and was started by this process rather than by one it was forked from."""
        return self._finalizer.alive and os.getpid() == self._pid

    def _check_usable(self) -> None:
        if not self._finalizer.alive:
            raise SandboxError("this sandbox is closed")
        if os.getpid() != self._pid:
            raise SandboxError(
                "a sandbox cannot be used in a forked process", hint="start one in each process that needs it"
            )
