"""Starting the supervisor, and ending it."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from halo_core.errors import SandboxError
from halo_core.sandbox import wire

_START = 120.0
"""Seconds that the supervisor may take to find out which tier holds."""
_END = 30.0
"""Seconds that it may take to end everything."""
_PREFIX = "halo-sandbox-"
_SETTLED = 60
"""Seconds after which a sandbox's directory that nobody holds the lock of is abandoned, not just being made."""
LANDLOCK_ABI = 7
"""The newest version of Landlock that is made use of; less only to test what an older kernel would do."""


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
    *_, hello, close = start_supervisor("doctor", LANDLOCK_ABI)
    close()
    return [(check, bool(holds), detail) for check, holds, detail in hello["rows"]]


def start_supervisor(
    mode: str, landlock_abi: int
) -> tuple[socket.socket, dict[str, socket.socket], str, wire.Message, Closer]:
    """Start a supervisor; return the way to it, a place for those to its workers, its directory, hello and end."""
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
    close = Closer(process, control, jobs, directory, lock)
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


class Closer:
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
        """End the supervisor with all its processes; in a forked process only let go of it."""
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
