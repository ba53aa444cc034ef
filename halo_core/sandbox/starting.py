"""Start and end of the supervisor."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import SandboxError
from halo_core.sandbox import confine, wire
from halo_core.sandbox.session import HIGHER_LIMIT
from halo_core.sandbox.types import Limits

if TYPE_CHECKING:
    import subprocess

_START_TIMEOUT = 120.0
"""Seconds that the supervisor may take to determine the tier."""
_END_TIMEOUT = 30.0
"""Seconds that the supervisor may take to end all its processes."""
_PREFIX = "halo-sandbox-"
_MIN_AGE = 60
"""Age in seconds below which an unlocked sandbox directory may be one that is just being created."""
LANDLOCK_ABI = 7
"""The newest version of Landlock that is used; tests pass a lower one to emulate older kernels."""


def unavailable(mode: str, reasons: dict[str, str]) -> SandboxError:
    """Return the error for an unavailable `mode`, with the reason and the remedy."""
    tier = "standard" if mode == "auto" else mode
    lower = "standard" if tier == "strong" else "weak"
    return SandboxError(
        f"no {tier} sandbox on this machine: {reasons[tier]}",
        hint=f"`halo doctor` shows what is missing; `--sandbox {lower}` accepts less protection",
    )


def check_tiers() -> list[tuple[str, bool, str]]:
    """Try every tier; return for each check its name, whether it holds, and the details."""
    *_, hello, close = start_supervisor("doctor", LANDLOCK_ABI)
    close()
    return [(check, bool(holds), detail) for check, holds, detail in hello["rows"]]


def start_supervisor(
    mode: str, landlock_abi: int
) -> tuple[socket.socket, dict[str, socket.socket], str, wire.Message, Closer]:
    """Start a supervisor; return control socket, job sockets by kind (none yet), directory, first message, closer."""
    import subprocess
    import tempfile

    if not sys.platform.startswith("linux"):
        raise SandboxError(
            f"programs can be confined on Linux only, not on {sys.platform}",
            hint="run halo in a Linux virtual machine or container",
        )
    if mode not in ("none", "doctor") and (limit := confine.shortage(asdict(Limits()))):
        raise SandboxError(f"no program can be run: {limit}", hint=HIGHER_LIMIT)
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
        control.settimeout(_START_TIMEOUT)
        received = wire.receive(control)
        control.settimeout(None)
    except BaseException as error:
        close()
        if isinstance(error, TimeoutError):
            raise SandboxError(f"the sandbox did not start within {_START_TIMEOUT:.0f} seconds") from None
        raise
    if received is None:
        close()
        raise SandboxError("the sandbox supervisor did not start")
    return control, jobs, directory, received[0], close


class Closer:
    """Ends a supervisor; holds no reference to the `Sandbox`, so that it can be its finalizer."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        control: socket.socket,
        jobs: Mapping[str, socket.socket],
        directory: str,
        lock: int,
    ) -> None:
        self.pid = process.pid
        """Process id of the supervisor."""
        self._process = process
        self._control = control
        self._jobs = jobs
        self._directory = directory
        self._lock = lock
        self._trainer = os.getpid()

    def __call__(self) -> None:
        """End the supervisor with all its processes; in a forked process only close the descriptors."""
        import shutil
        import subprocess

        mine = os.getpid() == self._trainer
        for sock in (self._control, *self._jobs.values()):
            if mine:  # a forked process may hold the socket open, so closing it is not enough
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        if mine:
            try:
                self._process.wait(_END_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()  # its workers follow
                self._process.wait()
            shutil.rmtree(self._directory, ignore_errors=True)  # in case the supervisor did not
        os.close(self._lock)


def _remove_abandoned(temporary: Path) -> None:
    """Remove the directories of sandboxes whose trainer and supervisor were both killed."""
    import shutil

    for directory in temporary.glob(_PREFIX + "*"):
        with suppress(OSError):
            fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                found = os.fstat(fd)
                if found.st_uid == os.geteuid() and time.time() - found.st_mtime > _MIN_AGE:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(directory, ignore_errors=True)
            finally:
                os.close(fd)
