"""The system calls that Python's `os` has no name for."""

# ruff: noqa: PTH - pathlib would add to what every fork copies
from __future__ import annotations

import ctypes
import os
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_NO_NEW_PRIVS = 38
PR_SET_CHILD_SUBREAPER = 36
ADDR_NO_RANDOMIZE = 0x0040000


def check(result: int, what: str) -> int:
    """Return `result`, or raise the `OSError` that a negative one stands for."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def prctl(option: int, *args: int) -> int:
    """Wrap the system call of that name."""
    words = [ctypes.c_ulong(a) for a in (*args, 0, 0, 0, 0)[:4]]
    return check(_libc.prctl(option, *words), f"prctl({option})")


def become_subreaper() -> None:
    """Adopt descendants whose parent dies, so that none can get away."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(signum: int, *, parent: int) -> None:
    """Have the kernel send `signum` to this process when `parent` dies; exit when it has already."""
    prctl(PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def no_new_privileges() -> None:
    """Make set-user-id bits and file capabilities void for this process and its descendants."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def fix_address_space() -> None:
    """Switch address space randomisation off from the next exec on."""
    check(_libc.personality(ctypes.c_ulong(ADDR_NO_RANDOMIZE)), "personality")


def children() -> list[int]:
    """Return the pids of this (single-threaded) process's children, adopted ones included."""
    with open(f"/proc/self/task/{os.getpid()}/children", "rb") as file:
        return [int(pid) for pid in file.read().split()]


def kill_children(keep: Container[int] = ()) -> None:
    """Kill and reap every child but those in `keep`, and theirs as they are adopted."""
    while doomed := [pid for pid in children() if pid not in keep]:
        for pid in doomed:
            os.kill(pid, signal.SIGKILL)
        for pid in doomed:
            os.waitpid(pid, 0)
