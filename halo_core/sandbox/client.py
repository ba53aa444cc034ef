"""The trainer's side: a `Sandbox` is a supervisor, a `Workspace` a session with one of its workers."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import cast

from halo_core.errors import SandboxError
from halo_core.sandbox import cgroups, wire
from halo_core.sandbox.calls import Answer, Calls, Channel, Function
from halo_core.sandbox.sharing import Holder, Sessions, Turn
from halo_core.sandbox.types import Limits, Mode, Outcome, Tier

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
_START = 120.0
"""Seconds that the supervisor may take to find out which tier holds."""
_END = 30.0
"""Seconds that it may take to end everything."""
_PREFIX = "halo-sandbox-"
_SETTLED = 60
"""Seconds after which a sandbox's directory that nobody holds the lock of is abandoned, not just being made."""
LANDLOCK_ABI = 7
"""The newest version of Landlock that is made use of; less only to test what an older kernel would do."""


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
        self._control, self._jobs, self._directory, hello, close = _start_supervisor(mode, landlock_abi)
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


def refusal(mode: str, reasons: dict[str, str]) -> SandboxError:
    """Return the error that says why `mode` is not to be had here, and what to do."""
    tier = "standard" if mode == "auto" else mode
    lower = "standard" if tier == "strong" else "weak"
    return SandboxError(
        f"no {tier} sandbox on this machine: {reasons[tier]}",
        hint=f"`halo doctor` shows what is missing; `--sandbox {lower}` accepts less protection",
    )


def inspect() -> list[tuple[str, bool, str]]:
    """Try every tier and return what was found."""
    *_, hello, close = _start_supervisor("doctor", LANDLOCK_ABI)
    close()
    return [(check, bool(holds), detail) for check, holds, detail in hello["rows"]]


def _start_supervisor(
    mode: str, landlock_abi: int
) -> tuple[socket.socket, dict[str, socket.socket], str, wire.Message, _Closer]:
    import subprocess
    import tempfile

    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"programs can be contained on Linux only, not on {sys.platform}",
            hint="run halo in a Linux virtual machine or container",
        )
    _remove_abandoned(Path(tempfile.gettempdir()))
    directory = tempfile.mkdtemp(prefix=_PREFIX)
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(lock, fcntl.LOCK_EX)
    control, end = socket.socketpair()
    jobs: dict[str, socket.socket] = {}
    script = Path(__file__).with_name("supervisor.py")
    process = subprocess.Popen(
        [
            sys.executable,
            "-s",
            "-P",
            "-S",
            str(script),
            str(end.fileno()),
            directory,
            mode,
            str(landlock_abi),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=[end.fileno(), lock],
        env={**{k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}, "PYTHONHASHSEED": "0"},
        start_new_session=True,
    )
    end.close()
    close = _Closer(process, control, jobs, directory, lock)
    try:
        control.settimeout(_START)
        received = wire.receive(control)
        control.settimeout(None)
    except BaseException as error:
        close()
        if isinstance(error, TimeoutError):
            raise SandboxError(f"the sandbox did not start within {_START:.0f} seconds") from None
        raise
    if received is None:
        close()
        raise SandboxError("the sandbox supervisor did not start")
    return control, jobs, directory, received[0], close


class _Closer:
    """Ends a supervisor; holds no reference to the `Sandbox`, so that it can be its finalizer."""

    def __init__(
        self,
        process: object,
        control: socket.socket,
        jobs: Mapping[str, socket.socket],
        directory: str,
        lock: int,
    ) -> None:
        self._process = process
        self._control = control
        self._jobs = jobs
        self._directory = directory
        self._lock = lock
        self._pid = os.getpid()

    def __call__(self) -> None:
        import shutil
        import subprocess

        mine = os.getpid() == self._pid
        for sock in (self._control, *self._jobs.values()):
            if mine:  # a process that was forked from this one may have it open too
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if mine:
            process = cast("subprocess.Popen[bytes]", self._process)
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()  # its workers follow
                process.wait()
            shutil.rmtree(self._directory, ignore_errors=True)  # only where the supervisor could not
        os.close(self._lock)


def _remove_abandoned(temporary: Path) -> None:
    """Remove what sandboxes left behind whose trainer and supervisor were killed both."""
    import shutil

    for directory in temporary.glob(_PREFIX + "*"):
        with suppress(OSError):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(fd)
                if found.st_uid == os.geteuid() and time.time() - found.st_mtime > _SETTLED:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(fd)


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
