"""The small process that stands between the trainer and everything untrusted.

Started as a script, `python -s -P -S supervisor.py CONTROL DIRECTORY MODE ABI`, so that its size, and with it the
cost of a fork, has nothing to do with the trainer's. When CONTROL asks for it, it forks a worker: of a kind that
runs programs, of one that calls samples, or of one that serves a trade, with the modules for it loaded. The
workers of a kind take their sessions by themselves, from the socket that came with the first request for it, and
the supervisor only watches: a worker that dies is replaced and what it left is swept; when the trainer dies or
hangs up, everything ends and DIRECTORY is removed.
"""

from __future__ import annotations

import gc
import itertools
import mmap
import os
import select
import signal
import socket
import sys

if __name__ == "__main__":  # make the siblings importable without running the packages' own __init__
    _here = os.path.dirname(os.path.abspath(__file__))
    for _name, _path in (("halo_core", os.path.dirname(_here)), ("halo_core.sandbox", _here)):
        _package = type(sys)(_name)
        _package.__path__ = [_path]
        sys.modules[_name] = _package

from halo_core.sandbox import cgroups, guest, landlock, linux, namespaces, serving, tiers, wire, worker
from halo_core.sandbox.box import Box
from halo_core.sandbox.confine import Confinement

_MOST_BOXES = 1 << 16


class Supervisor:
    """The workers, each with a box of its own to put samples in."""

    def __init__(self, control: socket.socket, directory: str, abi: int) -> None:
        self.control = control
        self.jobs: dict[str, socket.socket] = {}
        self.trades: dict[str, wire.Message] = {}
        self.directory = directory
        self.abi = abi
        self.tier = ""
        self.boxes: dict[int, Box] = {}
        self._kind: dict[int, str] = {}
        self._end: dict[int, int] = {}
        self._ready = mmap.mmap(
            -1, _MOST_BOXES
        )  # by number of the box, whether its worker got to take sessions
        self.groups: cgroups.Tree | None = None
        self.parent = os.getppid()
        self.trainer = os.pidfd_open(self.parent)
        self.died, self.dying = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.dying, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def fork(self, home: Box, tier: str, kind: str, jobs: socket.socket, refusal: str = "") -> None:
        """Fork a worker that takes its sessions from `jobs`; for calls and trades, with modules preloaded.

        With a `refusal` it answers the next session with that and ends.
        """
        end = signal.SIGTERM  # lets the worker sweep; in a pid namespace the kernel does that
        if tier == "strong" or refusal:
            end = signal.SIGKILL
        group = self.groups.group(home.index) if self.groups else None
        self._ready[home.index] = bool(refusal)
        pid = namespaces.clone(home.uid) if tier == "strong" and not refusal else os.fork()
        if pid:
            self.boxes[pid], self._kind[pid], self._end[pid] = home, kind, end
            if group:
                group.close()
            return
        status = 1
        try:
            linux.die_with_parent(end)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for fd in (self.control.fileno(), self.trainer, self.died, self.dying):
                os.close(fd)
            if refusal:
                worker.refuse(jobs, refusal)
                return
            walls = Confinement(tier, home, abi=self.abi, group=group)
            walls.furnish()
            if kind == "call":
                guest.preload()
            if kind in self.trades:
                serving.learn(self.trades[kind])
            self._ready[home.index] = True
            self._ready.close()  # before there is anything that could write to it
            worker.serve(jobs, walls)
            status = 0
        except Exception as error:
            if not self._ready.closed:
                self._ready[home.index] = True
            worker.refuse(jobs, f"{type(error).__name__}: {error}")
        finally:
            os._exit(status)

    def grow(self, kind: str) -> None:
        """Fork one more worker."""
        taken = {home.index for home in self.boxes.values()}
        index = next(n for n in itertools.count() if n not in taken)
        home = Box(self.directory, index, tiers.box_user())
        self.fork(home, self.tier, kind, self.jobs[kind])

    def trial(self, tier: str) -> socket.socket:
        """Start a worker for one session only; return our end of it."""
        ours, theirs = socket.socketpair()
        sender, jobs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with sender, jobs, theirs:
            socket.send_fds(sender, [b"s"], [theirs.fileno()])
            home = Box(self.directory, len(self.boxes), tiers.box_user())
            try:
                self.fork(home, tier, "run", jobs)
            except OSError as error:
                home.remove()
                wire.send(theirs, {"failure": tiers.explain(error)})
        return ours

    def divide(self, choice: tiers.Choice) -> None:
        """Use control groups from now on if they are ours to make and the walls of the chosen tier permit it."""
        if choice.tier not in ("strong", "standard"):
            return
        try:
            self.groups = cgroups.delegated(self.parent)
        except cgroups.NotDelegatedError as error:
            choice.found_groups(str(error))
            return
        reason = tiers.attempt(choice.tier, self.directory, self.trial)
        self.clear()
        choice.found_groups(reason)
        if reason:
            self.groups.remove()
            self.groups = None

    def reap(self) -> None:
        """Replace workers that died, and sweep what they left behind."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            home = self.boxes.pop(pid, None)
            if home is not None:
                linux.kill_children(keep=self.boxes)
                home.wipe()
                kind = self._kind.pop(pid)
                refusal = "" if self._ready[home.index] else self._why(kind, status)
                self.fork(home, self.tier, kind, self.jobs[kind], refusal)

    def _why(self, kind: str, status: int) -> str:
        """Say how a worker ended that never got to take a session: whoever waits for it must be told."""
        code = os.waitstatus_to_exitcode(status)
        doing = f"loaded {self.trades[kind]['target']}" if kind in self.trades else "was made ready"
        return f"a worker ended by {f'signal {-code}' if code < 0 else f'exit code {code}'} while it {doing}"

    def watch(self) -> None:
        """Return when the trainer hangs up or dies."""
        poll = select.poll()
        for fd in (self.control.fileno(), self.trainer, self.died):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == self.trainer:
                    return
                if fd == self.died:
                    os.read(self.died, 4096)
                    self.reap()
                if fd == self.control.fileno():
                    received = wire.receive(self.control)
                    if received is None:
                        return
                    request, fds = received
                    kind = request["kind"]
                    if fds:
                        self.jobs[kind] = socket.socket(fileno=fds[0])
                    if request.get("trade"):
                        self.trades[kind] = request["trade"]
                    self.grow(kind)

    def clear(self) -> None:
        """End all workers and remove their boxes."""
        for pid in self.boxes:
            os.kill(pid, self._end[pid])
            os.kill(pid, signal.SIGCONT)  # one that was stopped would not see to the other
        for pid in self.boxes:
            os.waitpid(pid, 0)
        linux.kill_children()
        for home in self.boxes.values():
            home.remove()
        self.boxes.clear()


def main(argv: list[str]) -> None:
    """Serve until the trainer is gone."""
    control = socket.socket(fileno=int(argv[1]))
    directory, mode, abi = argv[2], argv[3], min(int(argv[4]), landlock.version())
    os.umask(0o022)
    os.chmod(directory, 0o711)
    linux.become_subreaper()
    supervisor = Supervisor(control, directory, abi)
    try:
        choice = tiers.choose(mode, directory, abi, supervisor.trial)
        supervisor.clear()
        supervisor.divide(choice)
        supervisor.tier = choice.tier
        line = choice.line() if choice.tier else ""
        wire.send(
            control, {"tier": choice.tier, "line": line, "rows": choice.rows, "reasons": choice.reasons}
        )
        gc.collect()
        gc.freeze()
        gc.disable()
        if choice.tier:
            supervisor.watch()
    except ConnectionError:
        return  # the trainer is gone already
    finally:
        for jobs in supervisor.jobs.values():
            jobs.close()
        supervisor.clear()
        if supervisor.groups:
            supervisor.groups.remove()
        os.rmdir(directory)


if __name__ == "__main__":
    main(sys.argv)
