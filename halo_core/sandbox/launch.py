"""From a worker to a confined program: fork, give everything up, exec."""

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

_NOTE = struct.Struct("<dii")
"""CPU seconds used before exec, whether exec was reached, the errno that prevented it."""
_FAILED = 126


class Launcher:
    """Starts programs. The child reports through a page of memory that exec takes from it."""

    def __init__(self) -> None:
        self._note = mmap.mmap(-1, mmap.PAGESIZE)

    def start(
        self,
        entry: Entry,
        request: Message,
        stdio: tuple[int, int, int],
        main: Callable[[list[str]], None] | None,
    ) -> int:
        """Fork a child that becomes the program, or in which `main` is called with argv; return its pid."""
        _NOTE.pack_into(self._note, 0, 0.0, 0, 0)
        pid = os.fork()
        if pid:
            return pid
        try:
            self._become(entry, request, stdio, main)
        except BaseException as error:
            code = (error.errno or -1) if isinstance(error, OSError) else -1
            _, reached, _ = _NOTE.unpack_from(self._note)
            _NOTE.pack_into(self._note, 0, time.process_time(), reached, code)
        finally:
            os._exit(_FAILED)

    def failure(self) -> tuple[int, bool]:
        """Return 0 if the program was executed, otherwise the errno (or -1) that kept it from that.

        And whether it was exec that failed, rather than a step before it.
        """
        _, reached, code = _NOTE.unpack_from(self._note)
        return code, bool(reached)

    def setup_seconds(self) -> float:
        """CPU time the child used before the program was executed."""
        return float(_NOTE.unpack_from(self._note)[0])

    def _become(
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
        _NOTE.pack_into(self._note, 0, time.process_time(), 1, 0)
        argv = request["argv"]
        if main is None:
            os.execve(entry.program, argv, request["env"])
        self._note.close()
        main(argv)
        os._exit(0)


def forget_signals() -> None:
    """In a worker, undo what whoever started the trainer did with signals; programs would inherit it."""
    for signum in signal.valid_signals():
        if signal.getsignal(signum) is signal.SIG_IGN and signum != signal.SIGPIPE:
            signal.signal(signum, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
