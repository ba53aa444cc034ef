"""Start of a confined program by a worker: fork, drop privileges, exec."""

from __future__ import annotations

import mmap
import os
import signal
import struct
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from halo_core.sandbox.confine import Entry
    from halo_core.sandbox.wire import Message

_REPORT = struct.Struct("<dii")
"""CPU seconds used before exec, whether exec was reached, the errno that prevented it."""
_FAILED = 126


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
        _REPORT.pack_into(self._report, 0, 0.0, 0, 0)
        pid = os.fork()
        if pid:
            return pid
        try:
            self._execute(entry, request, stdio, main)
        except BaseException as error:
            code = (error.errno or -1) if isinstance(error, OSError) else -1
            _, reached, _ = _REPORT.unpack_from(self._report)
            _REPORT.pack_into(self._report, 0, time.process_time(), reached, code)
        finally:
            os._exit(_FAILED)

    def failure(self) -> tuple[int, bool]:
        """Return 0 if the program was executed, else the errno of the failure (or -1), and whether exec was reached."""
        _, reached, code = _REPORT.unpack_from(self._report)
        return code, bool(reached)

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
        entry.seal()
        _REPORT.pack_into(self._report, 0, time.process_time(), 1, 0)
        argv = request["argv"]
        if main is None:
            os.execve(entry.program, argv, request["env"])
        self._report.close()
        main(argv)
        os._exit(0)


def reset_signals() -> None:
    """Reset ignored and blocked signals that the worker inherited; programs would inherit them too."""
    for signum in signal.valid_signals():
        if signal.getsignal(signum) is signal.SIG_IGN and signum != signal.SIGPIPE:
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
