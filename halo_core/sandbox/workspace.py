"""A private directory, and the programs that run in it."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from halo_core.errors import SandboxError
from halo_core.sandbox.session import Session
from halo_core.sandbox.sharing import ReadersWriterLock
from halo_core.sandbox.types import Limits, Outcome

ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
}
"""The environment of every program, besides HOME and TMPDIR, which are its workspace."""


class Workspace:
    """A private directory in which programs run. The end of the `with` block deletes it with all files in it."""

    path: Path
    """The directory as programs see it; it is their working directory. In tier strong this path does not exist
    outside: use `write` and `read` to exchange files."""

    def __init__(self, session: Session, run_lock: ReadersWriterLock) -> None:
        self.path = Path(session.path)
        self._session = session
        self._directory = session.directory
        self._run_lock = run_lock
        self._lock = threading.Lock()

    def write(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Write a file into the workspace. `name` is a plain file name; an existing file is replaced."""
        _check_name(name)
        mode = 0o755 if executable else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)
        with open(os.open(name, flags, mode, dir_fd=self._directory), "wb") as file:
            os.fchmod(file.fileno(), mode)  # whatever the umask is: programs may run as another user
            file.write(data)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return the first `max_bytes` of a file in the workspace.

        Raises `FileNotFoundError` if the file does not exist, and `SandboxError` unless it is a regular file
        with one hard link. Symbolic links are never followed.
        """
        _check_name(name)
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
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Outcome:
        """Run a program with the workspace as its working directory, and wait until it ends.

        `argv[0]` is absolute or relative to the workspace; PATH is not searched. The program's stdin is a file
        that holds `stdin`. With `writable` the program may write in the workspace, otherwise nowhere. With
        `toolchain` it may start the system's programs, as compilers must. `readable` names further files and
        directories that it may read, and everything below them. `env` adds variables to `ENVIRONMENT` and replaces
        those of the same name; nothing else of this process's environment reaches the program.

        Raises `SandboxError` when the program could not be started, when it cannot read one of `readable`, or when
        the sandbox itself failed; everything that the program does is in the `Outcome`. A workspace file that cannot
        be executed ends with exit code 126, as in a shell.
        """
        if any(not name or "=" in name or "\0" in name + value for name, value in env.items()):
            raise ValueError(f"not an environment: {dict(env)!r}")
        request = {
            **asdict(limits),
            "wall_seconds": limits.wall,
            "main": "",
            "argv": list(argv),
            "env": {**ENVIRONMENT, "HOME": str(self.path), "TMPDIR": str(self.path), **env},
            "writable": writable,
            "toolchain": toolchain,
            "readable": absolute(readable),
        }
        with self._lock:
            with self._run_lock.shared():
                outcome = self._session.run(request, stdin)
            if outcome.inconclusive:
                with self._run_lock.exclusive():
                    outcome = self._session.run(request, stdin)
        return outcome


def absolute(paths: Sequence[str | Path]) -> list[str]:
    """Return `paths`, the relative ones below this process's working directory; raise `ValueError` for an empty one."""
    if not all(map(str, paths)):
        raise ValueError("a readable path is empty")
    return [os.path.abspath(path) for path in paths]


def _check_name(name: str) -> None:
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise ValueError(f"not a plain file name: {name!r}")
