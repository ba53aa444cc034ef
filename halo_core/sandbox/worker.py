"""A worker: serves one session at a time, and runs one program at a time in it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time

from halo_core.sandbox import confine, guest, launch, linux, probe, serving, watch, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from halo_core.sandbox.confine import Confinement
    from halo_core.sandbox.wire import Message

_MAINS = {"": None, "probe": probe.main, "guest": guest.main, "serving": serving.main}
_NOT_A_PROGRAM = 126
"""The exit code of a shell for a file that cannot be executed."""


def serve(jobs: socket.socket, confinement: Confinement) -> None:
    """Take sessions from `jobs` until the other end is closed or SIGTERM comes."""
    linux.become_subreaper()
    launch.reset_signals()
    signal.signal(signal.SIGTERM, _stop)
    launcher = launch.Launcher()
    try:
        while True:
            _, fds, _, _ = socket.recv_fds(jobs, 1, 1, socket.MSG_CMSG_CLOEXEC)
            if not fds:
                return
            with socket.socket(fileno=fds[0]) as session:
                try:
                    _session(session, launcher, confinement)
                finally:
                    confinement.clear()
    finally:
        confinement.sweep()


def report_failure(jobs: socket.socket, reason: str) -> None:
    """Answer the next session with the `reason` why this worker cannot serve it."""
    _, fds, _, _ = socket.recv_fds(jobs, 1, 1, socket.MSG_CMSG_CLOEXEC)
    if fds:
        with socket.socket(fileno=fds[0]) as session:
            wire.send(session, {"failure": reason})


def _stop(signum: int, frame: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise SystemExit


def _session(session: socket.socket, launcher: launch.Launcher, confinement: Confinement) -> None:
    try:
        wire.send(session, {"path": confinement.box.path}, [confinement.box.fd])
        while received := wire.receive(session):
            request, fds = received
            reply, blobs = run(request, fds, session, launcher, confinement)
            wire.send(session, reply, blobs=blobs)
    except ConnectionError:
        return


def run(
    request: Message,
    fds: list[int],
    session: socket.socket,
    launcher: launch.Launcher,
    confinement: Confinement,
) -> tuple[Message, tuple[bytearray, ...]]:
    """Run one program to its end and kill all its processes; return the outcome, and stdout and stderr."""
    if confinement.tier != "none" and (reason := confine.shortage(request)):
        for fd in fds:
            os.close(fd)
        return {"failure": errno.EPERM, "reason": reason}, ()
    entry = confinement.prepare(request)
    oom_kills = linux.oom_kills()
    out, out_end = os.pipe2(os.O_CLOEXEC)
    err, err_end = os.pipe2(os.O_CLOEXEC)
    stdin = _stdin(request["main"], fds)
    started = time.monotonic()
    try:
        pid = launcher.start(entry, request, (stdin, out_end, err_end), _MAINS[request["main"]])
    finally:
        for fd in (stdin, out_end, err_end, *fds):
            os.close(fd)
    watcher = watch.Watch(pid, out, err, session, request, started, confinement.box, launcher.setup_seconds)
    try:
        watcher.wait_for_exit()
        _, status, usage = os.wait4(pid, 0)
        wall = time.monotonic() - started
        confinement.sweep()
        watcher.drain()
    finally:
        watcher.close()
    failure, at_exec, unreadable = launcher.failure()
    stderr = watcher.stderr.kept
    program = f"{confinement.box.worker_path}/{entry.program}"
    if failure and at_exec and entry.in_box and os.path.lexists(program):
        status = _NOT_A_PROGRAM << 8
        stderr = bytearray(f"{entry.program}: {os.strerror(failure)}\n".encode())
    elif failure:
        cause = {"unreadable": request["readable"][unreadable - 1]} if unreadable else {}
        return {"failure": failure, **cause}, ()
    cpu = max(0.0, usage.ru_utime + usage.ru_stime - launcher.setup_seconds())
    peak = usage.ru_maxrss * 1024
    limit = watcher.limit or _limit(status, cpu, peak, request)
    if confinement.group and confinement.group.out_of_memory():
        limit = "memory"
    # The filter keeps the run from killing itself, so another SIGKILL is the machine's or somebody else's.
    killed_by_others = (
        limit is None
        and not watcher.killed
        and (
            (status == signal.SIGKILL and confinement.restricted)
            or (status != 0 and linux.oom_kills() != oom_kills)
        )
    )
    reply = {
        "exit_code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
        "stdout_truncated": watcher.stdout.truncated,
        "stderr_truncated": watcher.stderr.truncated,
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "peak_memory": peak,
        "limit": limit,
        "inconclusive": watcher.starved or killed_by_others,
        "tier": confinement.tier,
    }
    return reply, (watcher.stdout.kept, stderr)


def _stdin(main: str, fds: list[int]) -> int:
    if not fds:
        return os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    if main:  # the socket of a call
        return os.dup(fds[0])
    return os.open(f"/proc/self/fd/{fds[0]}", os.O_RDONLY | os.O_CLOEXEC)  # read-only, from its start


def _limit(status: int, cpu: float, peak: int, request: Message) -> str | None:
    """Return the limit that the kernel enforced, as far as exit status, CPU time and peak memory show it."""
    signum = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if cpu >= request["cpu_seconds"] or signum == signal.SIGXCPU:
        return "cpu"
    if signum == signal.SIGXFSZ:
        return "file"
    if status and peak >= 0.9 * request["memory_bytes"]:
        return "memory"
    return None
