"""System calls that are missing from Python's `os`."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from typing import Any

_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the GIL, so that `clone` may fork Python

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECCOMP_MODE_FILTER = 2
ADDR_NO_RANDOMIZE = 0x0040000
CAP_CHOWN, CAP_DAC_READ_SEARCH, CAP_SETGID, CAP_SETUID, CAP_SYS_ADMIN = 0, 2, 6, 7, 21
_CAPABILITY_VERSION_3 = 0x20080522

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
_MOUNT_SETATTR, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 442, 0x8000, 1, 2
_AT_FDCWD = -100
_MNT_DETACH = 2

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_CLONE = {"x86_64": 56, "aarch64": 220}


def check(result: int, what: str) -> int:
    """Return `result`; raise `OSError` with the current errno if it is negative."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(number: int, *args: int) -> int:
    """Make a system call with integers or addresses as arguments; return a negative number on failure."""
    result: int = _libc.syscall(ctypes.c_long(number), *(ctypes.c_long(a) for a in args))
    return result


def prctl(option: int, *args: int) -> int:
    """Make the system call of that name."""
    words = [ctypes.c_ulong(a) for a in (*args, 0, 0, 0, 0)[:4]]
    return check(_libc.prctl(option, *words), f"prctl({option})")


def become_subreaper() -> None:
    """Adopt descendants whose parent dies, so that all of them can be found."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signum: int) -> None:
    """Make the kernel send `signum` to this process when its parent dies."""
    prctl(PR_SET_PDEATHSIG, signum)


def no_new_privileges() -> None:
    """Disable set-user-id bits and file capabilities for this process and its descendants."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def fix_address_space() -> None:
    """Disable address space randomisation from the next exec on."""
    check(_libc.personality(ctypes.c_ulong(ADDR_NO_RANDOMIZE)), "personality")


def children() -> list[int]:
    """Return the pids of this (single-threaded) process's children, adopted ones included."""
    with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
        return [int(pid) for pid in file.read().split()]


def has_children() -> bool:
    """Return whether this process has a child, dead or alive, adopted ones included. Reaps at most one."""
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True


def descendants(pid: int, exclude: int = 0) -> list[int]:
    """Return the pids of the descendants of `pid` except `exclude`; misses processes that fork meanwhile."""
    found: list[int] = []
    pending = [pid]
    while pending:
        parent = pending.pop()
        try:
            for task in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{task}/children", "rb") as file:
                    pending += (new := [int(p) for p in file.read().split()])
                    found += [p for p in new if p != exclude]
        except OSError:
            continue
    return found


def kill_descendants() -> None:
    """Kill and reap all descendants of this process.

    All are stopped before any is killed: a stopped process cannot fork and still counts against the limit on
    processes, so a fork bomb cannot outrun this.
    """
    stopped: set[int] = set()
    while running := set(descendants(os.getpid())) - stopped:
        for pid in running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
        stopped |= running
    kill_children()


def kill_children(keep: Container[int] = ()) -> None:
    """Kill and reap every child except those in `keep`, and their children as they are adopted."""
    while doomed := [pid for pid in children() if pid not in keep]:
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        for pid in doomed:
            os.waitpid(pid, 0)


def capabilities() -> int:
    """Return the effective capabilities as a bit set."""
    with open("/proc/self/status", "rb") as file:
        line = next(line for line in file if line.startswith(b"CapEff:"))
    return int(line.split()[1], 16)


def set_capabilities(keep: int = 0) -> None:
    """Drop all capabilities except the bit set `keep`, which execve(2) then preserves."""
    header = ctypes.create_string_buffer(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0), 8)
    low, high = keep & 0xFFFFFFFF, keep >> 32
    data = ctypes.create_string_buffer(struct.pack("<6I", low, low, low, high, high, high), 24)
    check(_libc.capset(header, data), "capset")
    for capability in range(64):
        if keep >> capability & 1:
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """Make the system call of that name."""
    texts = [text.encode() or None for text in (source, target, kind)]
    result = _libc.mount(*texts, ctypes.c_ulong(flags), options.encode() or None)
    check(result, f"mount {target}")


def unmount(target: str) -> None:
    """Detach the mount at `target`, even if it is in use."""
    check(_libc.umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def make_readonly(target: str) -> None:
    """Make a mount and all mounts below it read-only, and disable set-user-id programs in them."""
    attributes = ctypes.create_string_buffer(
        struct.pack("<QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0), 32
    )
    path = ctypes.create_string_buffer(target.encode())
    check(
        syscall(
            _MOUNT_SETATTR,
            _AT_FDCWD,
            ctypes.addressof(path),
            _AT_RECURSIVE,
            ctypes.addressof(attributes),
            32,
        ),
        f"mount_setattr {target}",
    )


def clone(namespaces: int) -> int:
    """Fork into new namespaces; like `os.fork`, for a process with one thread."""
    python: Any = ctypes.pythonapi
    before: Callable[[], None] = python.PyOS_BeforeFork
    before()
    pid = syscall(_CLONE[os.uname().machine], namespaces | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        python.PyOS_AfterFork_Child()
    else:
        python.PyOS_AfterFork_Parent()
    return check(pid, "clone")


def oom_kills() -> int:
    """Return the number of processes that this machine's kernel killed for lack of memory; 0 if it does not count."""
    try:
        with open("/proc/vmstat", "rb") as file:
            count = file.read().partition(b"\noom_kill ")[2].split(None, 1)
    except OSError:
        return 0
    return int(count[0]) if count else 0
