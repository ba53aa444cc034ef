"""A worker: takes one session at a time, and in it runs one program at a time."""

from __future__ import annotations

import os
import signal
import socket
import time

from halo_core.sandbox import guest, launch, linux, probe, serving, watch, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from halo_core.sandbox.confine import Confinement
    from halo_core.sandbox.wire import Message

_MAINS = {"": None, "probe": probe.main, "guest": guest.main, "serving": serving.main}
_NOT_A_PROGRAM = 126
"""The exit code that a shell gives for a file that cannot be executed."""


def serve(jobs: socket.socket, walls: Confinement) -> None:
    """Take sessions from `jobs` until the other end is closed or SIGTERM comes."""
    linux.become_subreaper()
    launch.forget_signals()
    signal.signal(signal.SIGTERM, _stop)
    launcher = launch.Launcher()
    try:
        while True:
            _, fds, _, _ = socket.recv_fds(jobs, 1, 1, socket.MSG_CMSG_CLOEXEC)
            if not fds:
                return
            with socket.socket(fileno=fds[0]) as session:
                try:
                    _session(session, launcher, walls)
                finally:
                    walls.clear()
    finally:
        walls.sweep()


def refuse(jobs: socket.socket, reason: str) -> None:
    """Answer the next session with the reason why this worker cannot serve it."""
    _, fds, _, _ = socket.recv_fds(jobs, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if fds:
        with socket.socket(fileno=fds[0]) as session:
            wire.send(session, {"failure": reason})


def _stop(signum: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _session(session: socket.socket, launcher: launch.Launcher, walls: Confinement) -> None:
    try:
        wire.send(session, {"path": walls.home.path}, [walls.home.fd])
        while received := wire.receive(session):
            request, fds = received
            reply, blobs = run(request, fds, session, launcher, walls)
            wire.send(session, reply, blobs=blobs)
    except ConnectionError:
        return


def run(
    request: Message, fds: list[int], session: socket.socket, launcher: launch.Launcher, walls: Confinement
) -> tuple[Message, tuple[bytearray, ...]]:
    """Run one program to its end, leave nothing of it alive, and say how it went: then stdout and stderr."""
    entry = walls.prepare(request)
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    stdin = _stdin(request["main"], fds)
    started = time.monotonic()
    try:
        pid = launcher.start(entry, request, (stdin, out_end, err_end), _MAINS[request["main"]])
    finally:
        for fd in (stdin, out_end, err_end, *fds):
            os.close(fd)
    watcher = watch.Watch(pid, out, err, session, request, started, walls.home, launcher.setup_seconds)
    try:
        watcher.until_exit()
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - started
        walls.sweep()
        watcher.drain()
    finally:
        watcher.close()
    failure, at_exec = launcher.failure()
    stderr = watcher.stderr.kept
    if failure and at_exec and entry.owned and os.path.lexists(f"{walls.home.inside}/{entry.program}"):
        status = _NOT_A_PROGRAM << 8
        stderr = bytearray(f"{entry.program}: {os.strerror(failure)}\n".encode())
    elif failure:
        return {"failure": failure}, ()
    cpu = max(0.0, usage.ru_utime + usage.ru_stime - launcher.setup_seconds())
    peak = usage.ru_maxrss * 1024
    limit = watcher.limit or _limit(status, cpu, peak, request)
    if walls.group and walls.group.out_of_memory():
        limit = "memory"
    reply = {
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "stdout_truncated": watcher.stdout.truncated,
        "stderr_truncated": watcher.stderr.truncated,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "peak_memory": peak,
        "limit": limit,
        "inconclusive": watcher.starved,
        "tier": walls.tier,
    }
    return reply, (watcher.stdout.kept, stderr)


def _stdin(main: str, fds: list[int]) -> int:
    if not fds:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    if main:  # the socket of a call
        return os.dup(fds[0])
    return os.open(f"/proc/self/fd/{fds[0]}", os.O_RDONLY | os.O_CLOEXEC)  # read-only, from its beginning


def _limit(status: int, cpu: float, peak: int, request: Message) -> str | None:
    """Name the limit that the kernel enforced, as far as the way it ended tells."""
    by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if cpu >= request["cpu_seconds"] or by == signal.SIGXCPU:
        return "cpu"
    if by == signal.SIGXFSZ:
        return "file"
    if status and peak >= 0.9 * request["memory_bytes"]:
        return "memory"
    return None
