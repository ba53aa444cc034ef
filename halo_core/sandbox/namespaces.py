"""Namespaces: an isolated view of the system for a worker and its programs.

The worker is the first process of a pid namespace: no process that it started can outlive it, and one signal ends
all of them. It also has separate user, mount, network, ipc and uts namespaces, which hold nothing else. Programs
see a root directory with the system's trees, read-only, and the box, a tmpfs of bounded size.
"""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress

from halo_core.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from halo_core.sandbox.box import Box

ALL = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
)
_STDIO_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
_BOX = "/box"
_BOX_SIZE = 1 << 30
_BOX_INODES = 1 << 14


def clone(uid: int | None) -> int:
    """Fork into new namespaces that contain this process's user and, if given, `uid`."""
    ready, go = os.pipe2(os.O_CLOEXEC)
    pid = linux.clone(ALL)
    if pid == 0:
        os.close(go)
        if not os.read(ready, 1):
            os._exit(1)
        os.close(ready)
        return 0
    os.close(ready)
    try:
        _map_users(pid, uid)
        os.write(go, b"!")
    except OSError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        os.close(go)
    return pid


def _map_users(pid: int, uid: int | None) -> None:
    if uid is None:
        _write(f"/proc/{pid}/setgroups", "deny")
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        known = {own} if uid is None else {own, uid}
        _write(f"/proc/{pid}/{kind}_map", "".join(f"{n} {n} 1\n" for n in sorted(known)))


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def build_root(box: Box, trees: Iterable[str]) -> None:
    """In a new mount namespace, build the root directory that programs in `box` will see."""
    linux.mount("", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    root = box.directory
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "mode=755,size=1m")
    for tree in trees:
        expose(root, tree)
    for name, target in _STDIO_LINKS.items():
        os.symlink(target, f"{root}/dev/{name}")
    os.mkdir(root + _BOX)
    owner = os.geteuid() if box.uid is None else box.uid
    group = os.getegid() if box.uid is None else box.uid
    options = f"mode=700,uid={owner},gid={group},size={_BOX_SIZE},nr_inodes={_BOX_INODES}"
    linux.mount("tmpfs", root + _BOX, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    box.move(root, _BOX)


def expose(root: str, path: str) -> list[str]:
    """Make `path` readable at the same path below `root`; return the paths to `hide` later, last one first.

    A directory that is there only as the parent of something exposed before does not count as exposed: `path` is
    mounted over it. A symbolic link is exposed together with its target.
    """
    place = root + path
    if not os.path.lexists(path) or _is_exposed(place, path):
        return []
    if os.path.islink(path) and not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        target = os.path.realpath(path)
        os.symlink(os.path.relpath(target, os.path.dirname(path)), place)
        return [path, *expose(root, target)]
    kind = os.stat(path).st_mode
    if stat.S_ISDIR(kind):
        os.makedirs(place, mode=0o755, exist_ok=True)
    elif not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), mode=0o755, exist_ok=True)
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))
    linux.mount(path, place, "", linux.MS_BIND | linux.MS_REC)
    if not stat.S_ISCHR(kind):
        linux.make_readonly(place)
    return [path]


def _is_exposed(place: str, path: str) -> bool:
    try:
        return os.path.islink(place) or os.path.samestat(os.stat(path), os.stat(place))
    except OSError:
        return False


def hide(root: str, path: str) -> None:
    """Undo `expose` for a path that it returned, and remove directories that are now empty."""
    place = root + path
    if not os.path.islink(place):
        linux.unmount(place)
    with suppress(OSError):  # not empty: the parent of something that is still exposed
        if os.path.isdir(place) and not os.path.islink(place):
            os.rmdir(place)
        else:
            os.unlink(place)
        os.removedirs(os.path.dirname(place))


def resize(box: Box, room: int) -> None:
    """Resize the tmpfs of the box to its current usage plus `room` bytes."""
    size = min(box.usage() + room, _BOX_SIZE)
    flags = linux.MS_REMOUNT | linux.MS_NOSUID | linux.MS_NODEV
    linux.mount("tmpfs", box.worker_path, "tmpfs", flags, f"size={size}")


def kill_everything() -> None:
    """Kill and reap all other processes of this pid namespace. Only its first process may call this."""
    while True:
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return
