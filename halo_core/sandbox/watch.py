"""Watching a run: its output, its clocks, its end."""

from __future__ import annotations

import os
import select
import signal
import time

from halo_core.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from halo_core.sandbox.box import Box
    from halo_core.sandbox.wire import Message

_CHUNK = 1 << 16
_CPUS = os.cpu_count() or 1
_TICKS = os.sysconf("SC_CLK_TCK")
_TICK = 0.01
"""Shortest pause between two looks at the clocks, in seconds."""
_DISK_TICK = 0.05
"""Pause between two looks at the disk usage of a run that may write, in seconds."""
_DISK_FACTOR = 4
"""All files together may have this many times the bytes of the largest one."""


class Stream:
    """The first `cap` bytes of what comes out of a pipe; the rest is read, counted and dropped."""

    def __init__(self, fd: int, cap: int) -> None:
        self.fd = fd
        self.cap = cap
        self.kept = bytearray()
        self.total = 0
        self.truncated = False
        self.open = True

    def read(self) -> None:
        """Take what is there now; blocks when nothing is."""
        data = os.read(self.fd, _CHUNK)
        if not data:
            self.open = False
        self.total += len(data)
        room = self.cap - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room


class Watch:
    """One run under watch, from its start until nothing can come from it any more."""

    def __init__(
        self,
        pid: int,
        out: int,
        err: int,
        session: socket.socket,
        request: Message,
        started: float,
        home: Box,
        setup_seconds: Callable[[], float],
    ) -> None:
        self.pid = pid
        self.stdout = Stream(out, request["stdout_bytes"])
        self.stderr = Stream(err, request["stderr_bytes"])
        self.limit: str | None = None
        """Which limit this watch ended the run for."""
        self.starved = False
        """The wall clock ran out because the machine was busy, not because the run waited."""
        self._pidfd = os.pidfd_open(pid)
        self._session = session.fileno()
        self._stderr_limit: int = max(request["stderr_bytes"], request["file_bytes"])
        self._cpu_limit: float = request["cpu_seconds"]
        self._deadline: float = started + request["wall_seconds"]
        self._started = started
        self._alone: bool = request["processes"] == 1
        self._disk_limit: int = _DISK_FACTOR * request["file_bytes"] if request["writable"] else 0
        self._home = home
        self._setup_seconds = setup_seconds
        self._poll = select.poll()
        for fd in (self._pidfd, out, err):
            self._poll.register(fd, select.POLLIN)
        self._poll.register(self._session, select.POLLRDHUP)

    def until_exit(self) -> None:
        """Return when the run's first process has ended, by itself or because a limit was passed."""
        pause = 0.0
        while True:
            for fd, _ in self._poll.poll(1000 * pause):
                if fd == self._pidfd:
                    return
                if fd == self._session:
                    self._kill(None)
                self._take(fd)
            if self.stdout.truncated or self.stderr.total > self._stderr_limit:
                self._kill("output")
            pause = self._check_clocks()

    def _take(self, fd: int) -> None:
        for stream in (self.stdout, self.stderr):
            if fd == stream.fd:
                stream.read()
                if not stream.open:
                    self._poll.unregister(fd)

    def _check_clocks(self) -> float:
        """End the run if a clock has run out; return for how many seconds none can."""
        now = time.monotonic()
        if now >= self._deadline and self.limit is None:
            self.starved = starved(now - self._started)
            self._kill("wall")
        spent = cpu_seconds(self.pid, self._alone) - self._setup_seconds()
        if spent >= self._cpu_limit:
            self._kill("cpu")
        if self._disk_limit and self._home.usage() > self._disk_limit:
            self._kill("file")
        left = (self._cpu_limit - spent) / (1 if self._alone else _CPUS)
        pause = max(_TICK, min(left, self._deadline - now))
        return min(pause, _DISK_TICK) if self._disk_limit else pause

    def _kill(self, limit: str | None) -> None:
        self.limit = self.limit or limit
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def drain(self) -> None:
        """Take what is left in the pipes, once nobody can write to them any more."""
        for stream in (self.stdout, self.stderr):
            while stream.open:
                stream.read()

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self._pidfd, self.stdout.fd, self.stderr.fd):
            os.close(fd)


def cpu_seconds(pid: int, alone: bool) -> float:
    """CPU time used so far by process `pid`, and unless it is `alone` by all others that this worker has."""
    try:
        own = time.clock_gettime(~pid << 3 | 2)  # the clock id that clock_getcpuclockid(3) computes
    except OSError:
        return 0.0
    return own if alone else own + sum(map(_cpu_ticks, linux.descendants(os.getpid(), but=pid))) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


def starved(wall: float) -> bool:
    """Whether this worker's run that lasted `wall` seconds was, for most of them, running or waiting for a CPU.

    A run that slept or waited of its own accord has only itself to blame.
    """
    busy = 0.0
    for process in linux.descendants(os.getpid()):
        try:
            with open(f"/proc/{process}/schedstat", "rb") as file:
                on_cpu, in_queue, _ = file.read().split()
        except OSError:
            continue
        busy += (int(on_cpu) + int(in_queue)) / 1e9
    return busy >= 0.5 * wall
