"""cgroup v2: limits for all processes of a run together, where a part of the hierarchy is delegated to halo.

    <the trainer's group>           memory and pids enabled for its children; no longer holds any process
    ├── halo-trainer                holds the trainer meanwhile
    └── halo-<supervisor's pid>
        ├── supervisor              the supervisor and its workers
        └── worker-<n>              one program at a time

A group that enables controllers for its children may hold no process itself, so the trainer and the supervisor move
to leaves (https://docs.kernel.org/admin-guide/cgroup-v2.html, "No Internal Process Constraint").
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

LOST = -2
"""Reported instead of an errno: the program could not join its group and was not started."""
_CONTROLLERS = ("memory", "pids")
_ENABLE, _DISABLE = "+memory +pids", "-memory -pids"
_TRAINER = "halo-trainer"
_PREFIX = "halo-"
_TRIES = 10
_OWN = "/proc/self/cgroup"
_LIMITS = {
    "": ("memory.max", "cpu.max"),
    "memory": ("memory.limit_in_bytes",),
    "cpu": ("cpu.cfs_quota_us", "cpu.cfs_period_us"),
}
"""Files with limits by controller of cgroup v1; by "" for cgroup v2."""


class NotDelegatedError(Exception):
    """No part of the hierarchy is delegated; the message holds the reason."""


def find(cgroup: str, mountinfo: str) -> str:
    """Return the directory of this process's group, from the text of the two files in /proc/self.

    Raises `NotDelegatedError` if cgroup v2 is not mounted, or the mount does not show the group.
    """
    paths = [line.removeprefix("0::") for line in cgroup.splitlines() if line.startswith("0::")]
    for line in mountinfo.splitlines():
        location, _, kind = line.partition(" - ")
        if not paths or not kind.startswith("cgroup2 "):
            continue
        root, mount = location.split()[3:5]
        root = root.rstrip("/")
        if f"{paths[0]}/".startswith(f"{root}/") and ".." not in paths[0].split("/"):
            return (mount + paths[0][len(root) :]).rstrip("/")
    raise NotDelegatedError("cgroup v2 is not mounted")


def limit_files() -> list[str]:
    """Return the files in which the kernel states this process's groups and their limits, whether they exist or not.

    DuckDB 2.0 ends the process if it can see one of them but not open it.
    """
    files = [_OWN]
    try:
        groups = [line.split(":", 2) for line in _read(_OWN).splitlines()]
    except OSError:
        return []
    for _, controllers, path in groups:
        for controller in controllers.split(","):
            folder = f"/sys/fs/cgroup/{controller}{path}" if controller else f"/sys/fs/cgroup{path}"
            files += [f"{folder}/{name}" for name in _LIMITS.get(controller, ())]
    return files


def keep_readable() -> None:
    """Keep the file with the own groups open: Landlock's rule on it holds as long as the kernel keeps its entry."""
    with suppress(OSError):
        os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


def delegated(trainer: int) -> Tree:
    """Take over the group of this process and `trainer`, or raise `NotDelegatedError`."""
    try:
        texts = [_read(f"/proc/self/{name}") for name in ("cgroup", "mountinfo")]
    except OSError as error:
        raise NotDelegatedError(str(error)) from error
    return Tree(find(*texts), trainer)


class Tree:
    """The groups of one supervisor, below the directory `own` of the group that it was started in."""

    def __init__(self, own: str, trainer: int) -> None:
        """Prepare `own` and move this process into a leaf, and the process `trainer` too if `own` holds it.

        Raises `NotDelegatedError` if that is not possible, with all processes back in their groups.
        """
        self._own = os.path.dirname(own) if os.path.basename(own) == _TRAINER else own
        self._top = f"{self._own}/{_PREFIX}{os.getpid()}"
        try:
            missing = set(_CONTROLLERS) - set(_read(f"{self._own}/cgroup.controllers").split())
        except OSError as error:
            raise NotDelegatedError(f"{self._own} cannot be read") from error
        if missing:
            raise NotDelegatedError(f"cgroup v2 does not control {' or '.join(sorted(missing))} here")
        if not all(
            os.access(f"{self._own}{name}", os.W_OK)
            for name in ("", "/cgroup.procs", "/cgroup.subtree_control")
        ):
            raise NotDelegatedError(f"{self._own} is not writable")
        try:
            _remove_abandoned(self._own)
            self._build(trainer)
        except OSError as error:
            self.remove()
            reason = "other processes are in it" if error.errno == errno.EBUSY else error.strerror
            raise NotDelegatedError(f"{self._own} cannot be split into groups: {reason}") from error

    def _build(self, trainer: int) -> None:
        os.mkdir(self._top)
        os.mkdir(f"{self._top}/supervisor")
        _write(f"{self._top}/supervisor/cgroup.procs", "0")
        try:
            _write(f"{self._own}/cgroup.subtree_control", _ENABLE)
        except OSError:
            if _processes(self._own) != [trainer]:
                raise
            with suppress(FileExistsError):
                os.mkdir(f"{self._own}/{_TRAINER}")
            _write(f"{self._own}/{_TRAINER}/cgroup.procs", str(trainer))
            _write(f"{self._own}/cgroup.subtree_control", _ENABLE)
        _write(f"{self._top}/cgroup.subtree_control", _ENABLE)

    def group(self, index: int) -> Group:
        """Return the group of worker `index`, created if it does not exist. The caller closes it."""
        return Group(f"{self._top}/worker-{index}")

    def remove(self) -> None:
        """Move all processes back and remove the groups. The groups of workers must be empty."""
        leaf, own = f"{self._own}/{_TRAINER}", self._own
        with suppress(OSError):
            _write(f"{leaf if os.path.isdir(leaf) else own}/cgroup.procs", "0")
        _remove_group(self._top)
        if not os.path.isdir(leaf) or any(_supervisors(own)):
            return
        with suppress(OSError):
            _write(f"{own}/cgroup.subtree_control", _DISABLE)
            for _ in range(_TRIES):  # the processes may fork while they are moved
                for pid in _processes(leaf):
                    with suppress(ProcessLookupError):
                        _write(f"{own}/cgroup.procs", str(pid))
            os.rmdir(leaf)


class Group:
    """A worker's group. Failures surface in `join`, in the program's process, which is then not started."""

    def __init__(self, path: str) -> None:
        self._fds: dict[str, int] = {}
        self._limits: dict[str, int] = {}
        with suppress(OSError):
            with suppress(FileExistsError):
                os.mkdir(path)
            for name in ("memory.max", "pids.max", "cgroup.procs"):
                self._fds[name] = os.open(f"{path}/{name}", os.O_WRONLY | os.O_CLOEXEC)
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with suppress(OSError):  # not in every kernel
                _write(f"{path}/{name}", value)
        for name, flag in (("memory.events", os.O_RDONLY), ("cgroup.kill", os.O_WRONLY)):
            with suppress(OSError):
                self._fds[name] = os.open(f"{path}/{name}", flag | os.O_CLOEXEC)
        self._kills = self._oom_kills()

    def limit(self, memory: int, processes: int) -> None:
        """Limit the next program and its descendants to `memory` bytes and `processes` processes and threads."""
        for name, value in (("memory.max", memory), ("pids.max", processes)):
            if self._limits.get(name) != value:
                self._limits.pop(name, None)
                with suppress(OSError):
                    os.write(self._fds.get(name, -1), b"%d" % value)
                    self._limits[name] = value

    def join(self) -> None:
        """Move this process into the group. Raises `OSError` with errno `LOST` unless all limits are in force."""
        try:
            if len(self._limits) < 2:
                raise OSError
            os.write(self._fds.get("cgroup.procs", -1), b"0")
        except OSError as error:
            raise OSError(LOST, "cannot enter the control group") from error

    def kill(self) -> None:
        """Kill all processes in the group, if the kernel has `cgroup.kill` (since 5.14)."""
        with suppress(OSError):
            os.write(self._fds.get("cgroup.kill", -1), b"1")

    def out_of_memory(self) -> bool:
        """Return whether the kernel has killed a process for lack of memory since the last call."""
        before, self._kills = self._kills, self._oom_kills()
        return self._kills > before

    def _oom_kills(self) -> int:
        with suppress(OSError):
            for line in os.pread(self._fds.get("memory.events", -1), 4096, 0).splitlines():
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
        return 0

    def close(self) -> None:
        """Close the descriptors."""
        while self._fds:
            os.close(self._fds.popitem()[1])


def _supervisors(own: str) -> list[int]:
    names = (name.removeprefix(_PREFIX) for name in os.listdir(own) if name.startswith(_PREFIX))
    return [int(name) for name in names if name.isdigit()]


def _remove_abandoned(own: str) -> None:
    """Remove the groups of supervisors that were killed."""
    for pid in _supervisors(own):
        if not os.path.exists(f"/proc/{pid}"):
            _remove_group(f"{own}/{_PREFIX}{pid}")


def _remove_group(path: str) -> None:
    with suppress(OSError):
        for entry in list(os.scandir(path)):
            if entry.is_dir():
                os.rmdir(entry.path)
        os.rmdir(path)


def _processes(path: str) -> list[int]:
    return [int(pid) for pid in _read(f"{path}/cgroup.procs").split()]


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
