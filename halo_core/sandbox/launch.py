"""From a worker to a confined program: fork, give everything up, exec."""

# ruff: noqa: PTH - pathlib would add to what every fork copies
from __future__ import annotations

import math
import mmap
import os
import resource
import signal
import struct
import time

from halo_core.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from halo_core.sandbox.box import Box
    from halo_core.sandbox.wire import Message

_NOTE = struct.Struct("<di")
_STACK = 64 << 20
_FAILED = 126
_STEPS = ("fork", "descriptors", "limits", "identity", "confinement", "exec")


class Launcher:
    """Starts programs in one box. The child reports through a page of memory that exec takes from it."""

    def __init__(self, home: Box) -> None:
        self.home = home
        self._note = mmap.mmap(-1, mmap.PAGESIZE)
        self._reset = [s for s in signal.valid_signals() if s not in (signal.SIGKILL, signal.SIGSTOP)]

    def start(self, request: Message, stdin: int, stdout: int, stderr: int) -> int:
        """Fork a child that becomes the program; return its pid."""
        _NOTE.pack_into(self._note, 0, 0.0, 0)
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            self._become(request, (stdin, stdout, stderr), parent)
        except BaseException as error:
            code = (error.errno or 0) if isinstance(error, OSError) else -1
            _NOTE.pack_into(self._note, 0, time.process_time(), code or -1)
            os._exit(_FAILED)

    def failure(self) -> int:
        """Return 0 if the program was executed, otherwise the errno (or -1) that kept it from that."""
        return int(_NOTE.unpack_from(self._note)[1])

    def setup_seconds(self) -> float:
        """CPU time the child used before the program was executed."""
        return float(_NOTE.unpack_from(self._note)[0])

    def _become(self, request: Message, stdio: tuple[int, int, int], parent: int) -> NoReturn:
        os.setsid()
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        for signum in self._reset:
            signal.signal(signum, signal.SIG_DFL)
        for fd, source in enumerate(stdio):
            os.dup2(source, fd)
        os.fchdir(self.home.fd)
        linux.die_with_parent(signal.SIGKILL, parent=parent)
        linux.fix_address_space()
        linux.no_new_privileges()
        set_limits(request)
        os.closerange(3, 1 << 30)
        argv = request["argv"]
        _NOTE.pack_into(self._note, 0, time.process_time(), 0)
        os.execve(argv[0], argv, request["env"])


def set_limits(request: Message) -> None:
    """Set this process's resource limits, soft and hard alike."""
    seconds = math.ceil(request["cpu_seconds"]) + 1
    for what, soft, hard in (
        (resource.RLIMIT_CPU, seconds, seconds + 1),
        (resource.RLIMIT_AS, request["memory_bytes"], request["memory_bytes"]),
        (resource.RLIMIT_FSIZE, request["file_bytes"], request["file_bytes"]),
        (resource.RLIMIT_NOFILE, request["open_files"], request["open_files"]),
        (resource.RLIMIT_STACK, _STACK, _STACK),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
    ):
        resource.setrlimit(what, (soft, hard))


def reopen(fd: int) -> int:
    """Return a read-only descriptor of the file behind `fd`, at its beginning."""
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
