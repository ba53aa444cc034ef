"""A session with a worker of the sandbox: a private directory, and programs that are run in it."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import SandboxError
from halo_core.sandbox import cgroups, wire
from halo_core.sandbox.calls import Answer, Calls, Channel, Function
from halo_core.sandbox.sharing import Holder
from halo_core.sandbox.types import Limits, Outcome

if TYPE_CHECKING:
    from halo_core.sandbox.client import Sandbox

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
}
"""What a program finds in its environment, besides HOME and TMPDIR, which are its workspace."""

GRACE = 300.0
"""Seconds that a worker may take for its own work, beyond what the program it runs may take."""


class StuckError(SandboxError):
    """A worker did not answer in time."""


class Workspace:
    """A private directory in which programs run. Gone, with all they left, when the `with` block ends."""

    path: Path
    """Where programs find the directory, which is their working directory. In tier strong nothing is there
    outside: put files in and take them out by `write` and `read`."""

    def __init__(self, sandbox: Sandbox, session: socket.socket, holder: Holder) -> None:
        self._sandbox = sandbox
        self._session = session
        self._session.settimeout(GRACE)
        self._holder = holder
        self._directory = -1
        self._stuck = False  # its worker takes no session any more
        self._lock = threading.Lock()

    def write(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Put a file into the workspace. `name` is a plain file name; an existing file is replaced."""
        _plain(name)
        mode = 0o755 if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)
        with open(os.open(name, flags, mode, dir_fd=self._directory), "wb") as file:
            file.write(data)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return the first `max_bytes` of a file that a program left.

        Raises `FileNotFoundError` when there is none, and `SandboxError` for anything but a regular file
        with no other name: a link is never followed.
        """
        _plain(name)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        if not stat.S_ISREG(os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mode):
            raise SandboxError(f"{name!r} in the workspace is not a regular file")
        with open(os.open(name, flags, dir_fd=self._directory), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise SandboxError(f"{name!r} in the workspace is not a regular file")
            return file.read(max_bytes)

    def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        writable: bool = False,
        toolchain: bool = False,
        readable: Sequence[str | Path] = (),
    ) -> Outcome:
        """Run a program with the workspace as its working directory, and wait for its end.

        `argv[0]` is absolute or relative to the workspace; it is not searched for in PATH. `stdin` is a
        file to the program. With `writable` it may write in the workspace, otherwise nowhere. With
        `toolchain` it may start the compiler's own programs. `readable` names further files and
        directories that it may read.

        Raises `SandboxError` when the program could not be started or the sandbox itself failed; whatever
        the program does is in the `Outcome`. A file of the workspace that turns out to be no program ends
        with exit code 126, as from a shell.
        """
        request = {
            **asdict(limits),
            "wall_seconds": limits.wall,
            "main": "",
            "argv": list(argv),
            "env": {**ENVIRONMENT, "HOME": str(self.path), "TMPDIR": str(self.path)},
            "writable": writable,
            "toolchain": toolchain,
            "readable": [str(path) for path in readable],
        }
        with self._lock:
            with self._sandbox._turn.shared():
                outcome = self._run(request, stdin)
            if outcome.inconclusive:
                with self._sandbox._turn.alone():
                    outcome = self._run(request, stdin)
        return outcome

    def _call(
        self, source: str, function: str, rows: list[tuple[object, ...]], limits: Limits, paths: list[str]
    ) -> Calls:
        answers: list[Answer] = []
        with self._function(source, function, limits, paths) as called:
            for row in rows:
                answer = called(*row)
                if answer is None:
                    break
                answers.append(answer)
        return Calls(
            called.loaded, () if called.tampered else tuple(answers), called.tampered, called.outcome
        )

    @contextmanager
    def _function(self, source: str, function: str, limits: Limits, paths: list[str]) -> Iterator[Function]:
        request = guest_request("guest", limits, argv=paths, readable=paths)
        channel = self._start(request, limits.stdout_bytes)
        channel.allow(limits.wall + GRACE)  # by then the worker has ended it
        called = Function(channel)
        try:
            called._load(source, function)
            yield called
        finally:
            called._hang_up()
            called.outcome = self._outcome("the function", limits.wall + GRACE)

    def _start(self, request: wire.Message, max_bytes: int) -> Channel:
        """Start one of the worker's own functions in a process; return the channel to it."""
        ours, theirs = socket.socketpair()
        with theirs, suppress(ConnectionError):
            wire.send(self._session, request, [theirs.fileno()])
        return Channel(ours, max_bytes)

    def _run(self, request: wire.Message, stdin: bytes) -> Outcome:
        fds = [_memory_file(stdin)] if stdin else []
        try:
            with suppress(ConnectionError):
                wire.send(self._session, request, fds)
        finally:
            for fd in fds:
                os.close(fd)
        return self._outcome(request["argv"][0], request["wall_seconds"] + GRACE)

    def _receive(self, seconds: float) -> tuple[wire.Message, list[int]] | None:
        """Return what the worker says within `seconds`; None when it is gone. Otherwise it is not heard any more."""
        try:
            self._session.settimeout(seconds)
            return wire.receive(self._session)
        except BaseException as error:  # Ctrl-C too: what comes late must not be taken for the next answer
            with suppress(OSError):
                self._session.shutdown(socket.SHUT_RDWR)
            if isinstance(error, TimeoutError):
                self._stuck = True
                raise StuckError(
                    f"a sandbox worker has not answered for {seconds:.0f} seconds",
                    hint="the machine may be out of memory, or the worker was stopped",
                ) from None
            raise

    def _outcome(self, program: str, seconds: float) -> Outcome:
        """Return how the program ended. Raises a `StuckError` when that is not heard of within `seconds`."""
        received = self._receive(seconds)
        if received is None:
            raise SandboxError("a sandbox worker died", hint="the machine may be out of memory")
        reply, _ = received
        if "failure" in reply:
            raise _launch_error(program, reply["failure"])
        stdout, stderr = reply.pop("blobs")
        return Outcome(**reply, stdout=stdout, stderr=stderr)

    def _open(self) -> None:
        received = self._receive(GRACE)
        if received is None:
            raise SandboxError("the sandbox supervisor is gone")
        reply, fds = received
        if "failure" in reply:
            raise SandboxError(f"the sandbox failed: {reply['failure']}")
        (self._directory,) = fds
        self.path = Path(reply["path"])

    def _close(self) -> None:
        if self._directory >= 0:
            os.close(self._directory)
        try:
            if self._sandbox.usable:  # a forked process must not hang up for the one it came from
                self._session.shutdown(socket.SHUT_WR)
                self._session.recv(1)  # returns when the worker has wiped the directory and hung up
        except OSError:
            pass
        self._session.close()


def guest_request(main: str, limits: Limits, *, argv: Sequence[str], readable: Sequence[str]) -> wire.Message:
    """Return the request that starts `main`, one of the worker's own functions, in a confined process."""
    return {
        **asdict(limits),
        "wall_seconds": limits.wall,
        "main": main,
        "argv": list(argv),
        "env": {},
        "writable": False,
        "toolchain": False,
        "readable": list(readable),
    }


def _plain(name: str) -> None:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(f"not a plain file name: {name!r}")


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("stdin")
    with open(fd, "wb", closefd=False) as file:
        file.write(data)
    return fd


def _launch_error(program: str, code: int) -> SandboxError:
    if code == cgroups.LOST:
        return SandboxError(
            f"cannot run {program!r} within its limits: its control group is gone or cannot be entered",
            hint="`halo doctor` says whether cgroup v2 is still delegated; start halo again",
        )
    reason = os.strerror(code) if code > 0 else "internal error"
    return SandboxError(f"cannot run {program!r}: {reason}", hint="check that it exists and is executable")
