"""The small process that stands between the trainer and everything untrusted.

Started as a script, `python -I -S supervisor.py CONTROL JOBS DIRECTORY MODE`, so that its size, and with it
the cost of a fork, has nothing to do with the trainer's. It forks workers, which take sessions from the
JOBS socket by themselves, and then only watches: a worker that dies is replaced and what it left is swept;
when the trainer dies or hangs up, everything ends and DIRECTORY is removed.
"""

# ruff: noqa: PTH - pathlib would add to what every fork copies
from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

if __name__ == "__main__":  # make the siblings importable without running the packages' own __init__
    _here = os.path.dirname(os.path.abspath(__file__))
    for _name, _path in (("halo_core", os.path.dirname(_here)), ("halo_core.sandbox", _here)):
        _package = type(sys)(_name)
        _package.__path__ = [_path]
        sys.modules[_name] = _package

from halo_core.sandbox import box, linux, wire, worker  # noqa: E402


class Pool:
    """The workers, each with a box of its own to put samples in."""

    def __init__(self, directory: str, work: Callable[[box.Box], None]) -> None:
        self.directory = directory
        self.work = work
        self.boxes: dict[int, box.Box] = {}

    def grow(self, size: int) -> None:
        """Fork workers until there are `size` of them."""
        taken = {b.index for b in self.boxes.values()}
        for index in range(size):
            if index not in taken:
                self._fork(box.Box(self.directory, index))

    def _fork(self, home: box.Box) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self.boxes[pid] = home
            return
        status = 1
        try:
            linux.die_with_parent(signal.SIGTERM, parent=parent)
            self.work(home)
            status = 0
        finally:
            os._exit(status)

    def reap(self) -> None:
        """Replace workers that died, and sweep what they left behind."""
        while True:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                pid = 0
            if not pid:
                break
            home = self.boxes.pop(pid, None)
            if home is not None:
                linux.kill_children(keep=self.boxes)
                home.wipe()
                self._fork(home)

    def close(self) -> None:
        """End everything and remove every file."""
        for pid in self.boxes:
            os.kill(pid, signal.SIGTERM)
        for pid in self.boxes:
            os.waitpid(pid, 0)
        linux.kill_children()
        for home in self.boxes.values():
            home.remove()
        os.rmdir(self.directory)


def main(argv: list[str]) -> None:
    """Serve until the trainer is gone."""
    control = socket.socket(fileno=int(argv[1]))
    jobs = socket.socket(fileno=int(argv[2]))
    directory, mode = argv[3], argv[4]
    trainer = os.pidfd_open(os.getppid())
    os.umask(0o022)
    linux.become_subreaper()
    tier, line = "weak" if mode != "none" else "none", "sandbox: weak"
    wakeup = _wake_on_child_death()
    gc.collect()
    gc.freeze()
    gc.disable()

    def work(home: box.Box) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for fd in (control.detach(), trainer, *wakeup):
            os.close(fd)
        worker.serve(jobs, home, tier)

    pool = Pool(directory, work)
    try:
        wire.send(control, {"tier": tier, "line": line})
        _watch(pool, control, trainer, wakeup[0])
    finally:
        jobs.close()
        pool.close()


def _wake_on_child_death() -> tuple[int, int]:
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(ends[1], warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    return ends


def _watch(pool: Pool, control: socket.socket, trainer: int, wakeup: int) -> None:
    poll = select.poll()
    for fd in (control.fileno(), trainer, wakeup):
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == trainer:
                return
            if fd == wakeup:
                os.read(wakeup, 4096)
                pool.reap()
            if fd == control.fileno():
                received = wire.receive(control)
                if received is None:
                    return
                pool.grow(received[0]["workers"])


if __name__ == "__main__":
    main(sys.argv)
