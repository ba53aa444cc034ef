"""The escape attempts that the supervisor makes from a confined worker before it accepts work.

They run under the same confinement as a sample. A tier holds only if every attempt fails, whatever the kernel's
version number promises.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket

from halo_core.sandbox import linux
from halo_core.sandbox.syscalls import NUMBERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_BLOCKED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAGAIN}
_CALLS = (
    "unshare setns mount io_uring_setup bpf perf_event_open userfaultfd add_key keyctl memfd_create shmget "
    "mq_open pidfd_open process_vm_readv ptrace chroot inotify_init1 memfd_secret "
    "open_by_handle_at socketpair"
).split()


def attempts(canary: str, outsider: int) -> dict[str, Callable[[], object]]:
    """Return the attempts by name. Each must raise `OSError`.

    `canary` is a file of the supervisor, `outsider` the pid of a process outside the sandbox.
    """
    proc = f"/proc/{outsider}"
    tries: dict[str, Callable[[], object]] = {
        "use an inherited descriptor": _use_inherited,
        "read the trainer's file": lambda: os.open(canary, os.O_RDONLY),
        "write the trainer's file": lambda: os.open(canary, os.O_WRONLY),
        "empty the trainer's file": lambda: os.truncate(canary, 0),
        "empty the trainer's file by opening it to read": lambda: os.open(canary, os.O_RDONLY | os.O_TRUNC),
        "change the mode of the trainer's file": lambda: os.chmod(canary, 0o777),
        "delete the trainer's file": lambda: os.unlink(canary),
        "read /etc/passwd": lambda: os.open("/etc/passwd", os.O_RDONLY),
        "list the root directory": lambda: os.listdir("/"),
        "write into /tmp": lambda: os.open("/tmp/halo-probe", os.O_WRONLY | os.O_CREAT),
        "write into its own directory": lambda: os.open("probe", os.O_WRONLY | os.O_CREAT),
        "read the environment of another process": lambda: os.open(f"{proc}/environ", os.O_RDONLY),
        "read the memory of another process": lambda: os.open(f"{proc}/mem", os.O_RDONLY),
        "read its own /proc": lambda: os.open("/proc/self/status", os.O_RDONLY),
        "signal another process": lambda: os.kill(outsider, 0),
        "fork": _fork,
        "open a TCP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "open a UDP socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        "open a unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
        "open a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
    }
    return tries | {f"call {name}": _call(name) for name in _CALLS}


def escapes(canary: str, outsider: int) -> list[str]:
    """Make every attempt; return the names of those that succeeded."""
    succeeded = []
    for name, attempt in attempts(canary, outsider).items():
        try:
            attempt()
        except OSError:
            continue
        succeeded.append(name)
    return succeeded


def main(argv: list[str]) -> None:
    """Write the names of the successful attempts to stdout, then "done" to show that all were made."""
    lines = [*escapes(argv[0], int(argv[1])), "done"]
    os.write(1, "\n".join(lines).encode())


def _fork() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _use_inherited() -> None:
    for fd in range(3, 1024):
        try:
            os.fstat(fd)
        except OSError:
            continue
        return
    raise OSError(errno.EBADF, "none")


def _call(name: str) -> Callable[[], object]:
    """Return an attempt that fails only if the system call is blocked, not if its arguments are invalid."""

    def attempt() -> None:
        number = NUMBERS[name]["x86_64 aarch64".split().index(os.uname().machine)]
        if number is None:
            raise OSError(errno.ENOSYS, name)
        harmless = {"unshare": 0x10000000, "ptrace": 16}.get(name, 0)
        if linux.syscall(number, harmless, 0, 0, 0, 0) < 0 and ctypes.get_errno() in _BLOCKED:
            raise OSError(ctypes.get_errno(), name)

    return attempt
