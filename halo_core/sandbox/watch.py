"""Supervision of a run: its output, its limits, its end."""

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
_CLOCK_INTERVAL = 0.01
"""Shortest time between two checks of the clocks, in seconds."""
_DISK_INTERVAL = 0.05
"""Time between two checks of the disk usage of a run that may write, in seconds."""
_DISK_FACTOR = 4
"""All files together may have this many times the maximum size of one file."""


class Stream:
    """The first `cap` bytes from a pipe; the rest is read, counted and dropped."""

    def __init__(self, fd: int, cap: int) -> None:
        self.fd = fd
        self.cap = cap
        self.kept = bytearray()
        self.total = 0
        self.truncated = False
        self.open = True

    def read(self) -> None:
        """Read the available bytes; block until there are some."""
        data = os.read(self.fd, _CHUNK)
        if not data:
            self.open = False
        self.total += len(data)
        room = self.cap - len(self.kept)
        self.kept += data[:room]
        self.truncated = self.truncated or len(data) > room


class Watch:
    """Supervision of one run, from its start until its pipes are drained."""

    def __init__(
        self,
        pid: int,
        out: int,
        err: int,
        session: socket.socket,
        request: Message,
        started: float,
        box: Box,
        setup_seconds: Callable[[], float],
    ) -> None:
        self.pid = pid
        self.stdout = Stream(out, request["stdout_bytes"])
        self.stderr = Stream(err, request["stderr_bytes"])
        self.limit: str | None = None
        """The limit for which this watch ended the run."""
        self.starved = False
        """The wall clock ran out because the machine was busy, not because the run waited."""
        self.killed = False
        """This watch ended the run."""
        self._pidfd = os.pidfd_open(pid)
        self._session = session.fileno()
        self._stderr_limit: int = max(request["stderr_bytes"], request["file_bytes"])
        self._cpu_limit: float = request["cpu_seconds"]
        self._deadline: float = started + request["wall_seconds"]
        self._started = started
        self._single_process: bool = request["processes"] == 1
        self._disk_limit: int = _DISK_FACTOR * request["file_bytes"] if request["writable"] else 0
        self._box = box
        self._setup_seconds = setup_seconds
        self._poll = select.poll()
        for fd in (self._pidfd, out, err):
            self._poll.register(fd, select.POLLIN)
        self._poll.register(self._session, select.POLLRDHUP)

    def wait_for_exit(self) -> None:
        """Return when the run's first process has ended, by itself or because it exceeded a limit."""
        interval = 0.0
        while True:
            for fd, _ in self._poll.poll(1000 * interval):
                if fd == self._pidfd:
                    return
                if fd == self._session:
                    self._kill(None)
                self._read(fd)
            if self.stdout.truncated or self.stderr.total > self._stderr_limit:
                self._kill("output")
            interval = self._check_clocks()

    def _read(self, fd: int) -> None:
        for stream in (self.stdout, self.stderr):
            if fd == stream.fd:
                stream.read()
                if not stream.open:
                    self._poll.unregister(fd)

    def _check_clocks(self) -> float:
        """End the run if it exceeded a limit; return the seconds until the next check."""
        now = time.monotonic()
        if now >= self._deadline and self.limit is None:
            self.starved = starved(now - self._started)
            self._kill("wall")
        spent = cpu_seconds(self.pid, self._single_process) - self._setup_seconds()
        if spent >= self._cpu_limit:
            self._kill("cpu")
        if self._disk_limit and self._box.usage() > self._disk_limit:
            self._kill("file")
        left = (self._cpu_limit - spent) / (1 if self._single_process else _CPUS)
        interval = max(_CLOCK_INTERVAL, min(left, self._deadline - now))
        return min(interval, _DISK_INTERVAL) if self._disk_limit else interval

    def _kill(self, limit: str | None) -> None:
        self.limit = self.limit or limit
        self.killed = True
        signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def drain(self) -> None:
        """Read the rest of the pipes, once no process can write to them."""
        for stream in (self.stdout, self.stderr):
            while stream.open:
                stream.read()

    def close(self) -> None:
        """Close the descriptors."""
        for fd in (self._pidfd, self.stdout.fd, self.stderr.fd):
            os.close(fd)


def cpu_seconds(pid: int, single_process: bool) -> float:
    """Return the CPU seconds of process `pid` and, unless `single_process`, of this worker's other descendants."""
    try:
        own = time.clock_gettime(~pid << 3 | 2)  # the clock id that clock_getcpuclockid(3) computes
    except OSError:
        return 0.0
    if single_process:
        return own
    return own + sum(map(_cpu_ticks, linux.descendants(os.getpid(), exclude=pid))) / _TICKS


def _cpu_ticks(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))


def starved(wall: float) -> bool:
    """Return whether this worker's run spent at least half of its `wall` seconds on a CPU or waiting for one.

    If not, the run slept or waited by its own choice, and the busy machine is not the cause of the timeout.
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
