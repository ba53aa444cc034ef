"""The small process between the trainer and all untrusted code.

Started as a script, `python -s -P -S supervisor.py CONTROL DIRECTORY MODE ABI`, so that its size, and with it the
cost of a fork, does not depend on the trainer's. On a request from CONTROL it forks a worker of one kind: one that
runs programs, one that calls samples, or one that serves a `Service`, with its modules loaded. The workers of a kind
take their sessions directly from the socket that came with the first request for that kind; the supervisor only
watches. A worker that dies is replaced and its remaining processes are killed; when the trainer dies or hangs up,
everything ends and DIRECTORY is removed.
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

if __name__ == "__main__":  # make the sibling modules importable without running the packages' __init__
    _here = os.path.dirname(os.path.abspath(__file__))
    for _name, _path in (("halo_core", os.path.dirname(_here)), ("halo_core.sandbox", _here)):
        _package = type(sys)(_name)
        _package.__path__ = [_path]
        sys.modules[_name] = _package

from halo_core.sandbox import cgroups, guest, landlock, linux, namespaces, serving, tiers, wire, worker
from halo_core.sandbox.box import Box
from halo_core.sandbox.confine import Confinement

_MAX_BOXES = 1 << 16


class Supervisor:
    """The workers, each with its own box."""

    def __init__(self, control: socket.socket, directory: str, abi: int) -> None:
        self.control = control
        self.jobs: dict[str, socket.socket] = {}
        self.service_specs: dict[str, wire.Message] = {}
        self.directory = directory
        self.abi = abi
        self.tier = ""
        self.boxes: dict[int, Box] = {}
        self._kind: dict[int, str] = {}
        self._end: dict[int, int] = {}
        # By index of the box: 1 once its worker takes sessions. Shared with the workers.
        self._ready = mmap.mmap(-1, _MAX_BOXES)
        self.groups: cgroups.Tree | None = None
        self.parent = os.getppid()
        self.trainer = os.pidfd_open(self.parent)
        self.died, self.dying = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self.dying, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def fork_worker(self, box: Box, tier: str, kind: str, jobs: socket.socket, failure: str = "") -> None:
        """Fork a worker that takes its sessions from `jobs`, with modules preloaded for calls and services.

        With a `failure` it answers the next session with that and ends.
        """
        end = signal.SIGTERM  # lets the worker kill its processes; in a pid namespace the kernel does that
        if tier == "strong" or failure:
            end = signal.SIGKILL
        group = self.groups.group(box.index) if self.groups else None
        self._ready[box.index] = bool(failure)
        pid = namespaces.clone(box.uid) if tier == "strong" and not failure else os.fork()
        if pid:
            self.boxes[pid], self._kind[pid], self._end[pid] = box, kind, end
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
            if failure:
                worker.report_failure(jobs, failure)
                return
            confinement = Confinement(tier, box, abi=self.abi, group=group)
            confinement.set_up()
            spec = self.service_specs.get(kind, {})
            if kind.startswith("call"):
                guest.preload(spec.get("source", ""))
            elif spec:
                serving.load(spec)
            self._ready[box.index] = True
            self._ready.close()  # before any untrusted code that could write to it
            worker.serve(jobs, confinement)
            status = 0
        except Exception as error:
            if not self._ready.closed:
                self._ready[box.index] = True
            worker.report_failure(jobs, f"{type(error).__name__}: {error}")
        finally:
            os._exit(status)

    def add_worker(self, kind: str) -> None:
        """Fork one more worker."""
        taken = {box.index for box in self.boxes.values()}
        index = next(n for n in itertools.count() if n not in taken)
        box = Box(self.directory, index, tiers.box_user())
        self.fork_worker(box, self.tier, kind, self.jobs[kind])

    def trial(self, tier: str) -> socket.socket:
        """Start a worker for one session only; return this process's end of the session."""
        ours, theirs = socket.socketpair()
        sender, jobs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with sender, jobs, theirs:
            socket.send_fds(sender, [b"s"], [theirs.fileno()])
            box = Box(self.directory, len(self.boxes), tiers.box_user())
            try:
                self.fork_worker(box, tier, "run", jobs)
            except OSError as error:
                box.remove()
                wire.send(theirs, {"failure": tiers.explain(error)})
        return ours

    def use_cgroups(self, choice: tiers.Choice) -> None:
        """Use control groups from now on if they are delegated and the chosen tier still holds with them."""
        if choice.tier not in ("strong", "standard"):
            return
        try:
            self.groups = cgroups.delegated(self.parent)
        except cgroups.NotDelegatedError as error:
            choice.record_cgroups(str(error))
            return
        reason = tiers.attempt_escape(choice.tier, self.directory, self.trial)
        self.clear()
        choice.record_cgroups(reason)
        if reason:
            self.groups.remove()
            self.groups = None

    def reap(self) -> None:
        """Replace workers that died, and kill the processes that they left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            box = self.boxes.pop(pid, None)
            if box is not None:
                linux.kill_children(keep=self.boxes)
                box.wipe()
                kind = self._kind.pop(pid)
                failure = "" if self._ready[box.index] else self._startup_failure(kind, status)
                self.fork_worker(box, self.tier, kind, self.jobs[kind], failure)

    def _startup_failure(self, kind: str, status: int) -> str:
        """Describe, for the thread that waits for its session, how a worker ended during its start."""
        code = os.waitstatus_to_exitcode(status)
        spec = self.service_specs.get(kind)
        doing = f"loaded {spec.get('target', 'the source')}" if spec else "started"
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
                    if request.get("service_spec"):
                        self.service_specs[kind] = request["service_spec"]
                    self.add_worker(kind)

    def clear(self) -> None:
        """End all workers and remove their boxes."""
        for pid in self.boxes:
            os.kill(pid, self._end[pid])
            os.kill(pid, signal.SIGCONT)  # a stopped worker would not handle SIGTERM
        for pid in self.boxes:
            os.waitpid(pid, 0)
        linux.kill_children()
        for box in self.boxes.values():
            box.remove()
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
        supervisor.use_cgroups(choice)
        supervisor.tier = choice.tier
        summary = choice.summary() if choice.tier else ""
        wire.send(
            control, {"tier": choice.tier, "summary": summary, "rows": choice.rows, "reasons": choice.reasons}
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
