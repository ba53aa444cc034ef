"""Start of a confined program by a worker: fork, drop privileges, exec."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import NoReturn

    from halo_core.sandbox.confine import Entry
    from halo_core.sandbox.wire import Message

_REPORT = struct.Struct("<diii")
"""CPU seconds used before exec, whether exec was reached, the errno that prevented it, the readable path that cannot
be read (counted from 1)."""
_FAILED = 126


class _UnreadableError(OSError):
    """A path that the program should be able to read cannot be read."""

    def __init__(self, number: int, errno: int | None) -> None:
        super().__init__(errno, "cannot be read")
        self.number = number


class Launcher:
    """Starts programs. The child reports through a page of shared memory, which it loses at exec."""

    def __init__(self) -> None:
        self._report = mmap.mmap(-1, mmap.PAGESIZE)

    def start(
        self,
        entry: Entry,
        request: Message,
        stdio: tuple[int, int, int],
        main: Callable[[list[str]], None] | None,
    ) -> int:
        """Fork a child that executes the program, or calls `main` with argv; return its pid."""
        _REPORT.pack_into(self._report, 0, 0.0, 0, 0, 0)
        pid = os.fork()
        if pid:
            return pid
        try:
            self._execute(entry, request, stdio, main)
        except BaseException as error:
            code = (error.errno or -1) if isinstance(error, OSError) else -1
            unreadable = error.number if isinstance(error, _UnreadableError) else 0
            _, reached, *_ = _REPORT.unpack_from(self._report)
            _REPORT.pack_into(self._report, 0, time.process_time(), reached, code, unreadable)
        finally:
            os._exit(_FAILED)

    def failure(self) -> tuple[int, bool, int]:
        """Return 0 if the program was executed, else the errno of the failure (or -1); whether exec was reached; and
        the number of the readable path that cannot be read, counted from 1, 0 if that is not the cause.
        """
        _, reached, code, unreadable = _REPORT.unpack_from(self._report)
        return code, bool(reached), unreadable

    def setup_seconds(self) -> float:
        """Return the CPU time that the child used before exec."""
        return float(_REPORT.unpack_from(self._report)[0])

    def _execute(
        self,
        entry: Entry,
        request: Message,
        stdio: tuple[int, int, int],
        main: Callable[[list[str]], None] | None,
    ) -> NoReturn:
        os.setsid()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for fd, source in enumerate(stdio):
            os.dup2(source, fd)
        entry.enter(request)
        os.closerange(3, 1 << 30)
        _check_readable(request["readable"])
        entry.seal()
        _REPORT.pack_into(self._report, 0, time.process_time(), 1, 0, 0)
        argv = request["argv"]
        if main is None:
            os.execve(entry.program, argv, request["env"])
        self._report.close()
        main(argv)
        os._exit(0)


def _check_readable(paths: Sequence[str]) -> None:
    """Raise an `_UnreadableError` unless this process, confined as it is, can open each of `paths`."""
    for number, path in enumerate(paths, 1):
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
        except (OSError, ValueError) as error:
            code = error.errno if isinstance(error, OSError) else errno.ENOENT
            raise _UnreadableError(number, code) from error


def reset_signals() -> None:
    """Reset ignored and blocked signals that the worker inherited; programs would inherit them too."""
    for signum in signal.valid_signals():
        if signal.getsignal(signum) is signal.SIG_IGN and signum != signal.SIGPIPE:
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
