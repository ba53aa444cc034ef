"""seccomp: restricts the system calls, and their arguments, of a process and its descendants.

An allow-list, compiled to classic BPF. A call that is not on it fails with ENOSYS, as on a kernel without that call,
so that programs fall back instead of dying; a call by a foreign ABI (i386, x32) kills the process. The filter is a
binary search over the number of the call, since it runs on every call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from halo_core.sandbox import linux
from halo_core.sandbox.syscalls import NUMBERS

_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_X32 = 0x40000000

_LOAD, _AND, _JA, _JEQ, _JGE, _JSET, _RET = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

Code = list[tuple[int, int, int, int]]
"""BPF instructions: operation, jump if true, jump if false, operand."""

_SIGKILL = 9
_RLIMIT_CPU = 0
_EXIT_SIGNAL = 0xFF
"""The bits of clone's flags that hold the signal that the parent gets when the child ends."""
_PID = 0x5049442E
"""Placeholder for the pid of the filtered process, which is known only after the fork."""

_PLAIN = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 close close_range lseek
fstat stat lstat newfstatat statx statfs fstatfs access faccessat faccessat2 readlink readlinkat
getcwd chdir fchdir getdents getdents64 dup dup2 dup3 pipe pipe2 flock fsync fdatasync ftruncate fallocate
fadvise64 readahead sendfile copy_file_range mmap mprotect munmap mremap madvise mincore msync brk
rt_sigaction rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait rt_sigsuspend sigaltstack pause
nanosleep clock_nanosleep clock_gettime clock_getres gettimeofday time times alarm setitimer getitimer
select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2
eventfd eventfd2 getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups getpgrp
getpgid getsid umask uname sysinfo getrusage getrlimit arch_prctl set_tid_address set_robust_list
rseq futex sched_yield sched_getaffinity sched_getparam sched_getscheduler sched_get_priority_max
sched_get_priority_min getcpu getrandom membarrier exit exit_group execve wait4 waitid restart_syscall
""".split()
_OPEN = "open openat creat".split()
_CHANGE = "mkdir mkdirat rmdir unlink unlinkat rename renameat renameat2".split()
_NO_OP_FOR_TOOLCHAINS = "chmod fchmod fchmodat utimensat utime utimes futimesat".split()
_SPAWN = "clone fork vfork".split()
_ATTRIBUTES = "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr".split()
_REFUSED = {
    **dict.fromkeys(_ATTRIBUTES, errno.ENOTSUP),
    "socket": errno.EPERM,
    "ptrace": errno.EPERM,
    "truncate": errno.EPERM,
    **dict.fromkeys(_NO_OP_FOR_TOOLCHAINS, errno.EPERM),
}

_F_SETLK64, _F_DUPFD_CLOEXEC, _F_GET_SEALS = 7, 1030, 1034
_FCNTL = (0, 1, 2, 3, 4, 5, 6, _F_SETLK64, _F_DUPFD_CLOEXEC, _F_GET_SEALS)
"""Duplicate, flags, locks; not F_SETOWN, F_SETSIG and F_NOTIFY, which signal other processes, nor F_SETPIPE_SZ."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX; not TIOCSTI, which types into the terminal."""
_PRCTL = (15, 16)
"""PR_SET_NAME, PR_GET_NAME; not PR_SET_PDEATHSIG, by which a sample could outlive its worker."""
_AF_UNIX = 1
"""asyncio, rustc and compilers on a JVM make pairs of connected sockets. No permitted call connects one elsewhere."""
_MSG_FLAGS = (0, 0x40, 0x4000)
"""None, MSG_DONTWAIT, MSG_NOSIGNAL; not MSG_OOB, by which programs have attacked the kernel (CVE-2025-38236)."""
_NAMESPACES = 0x7E020000
_CLONE_PARENT = 0x8000


class Filter:
    """A compiled filter for one kind of run."""

    def __init__(
        self, *, spawn: bool = False, writable: bool = False, toolchain: bool = False, landlock_abi: int = 7
    ) -> None:
        column, architecture = _ARCHITECTURES[os.uname().machine]
        actions = {name: [_ret(_ALLOW)] for name in _PLAIN}
        actions |= {name: [_ret(_ERRNO | code)] for name, code in _REFUSED.items()}
        actions |= _by_argument(spawn=spawn, landlock_abi=landlock_abi)
        actions |= {name: _open(name, landlock_abi) for name in _OPEN}
        if writable:
            actions |= {name: [_ret(_ALLOW)] for name in _CHANGE}
            if landlock_abi >= 3:
                actions["truncate"] = [_ret(_ALLOW)]
        if toolchain:  # linkers mark their output executable; confine.py does that instead
            actions |= {name: [_ret(_ERRNO | 0)] for name in _NO_OP_FOR_TOOLCHAINS}
        table = [(NUMBERS[name][column], code) for name, code in actions.items()]
        code = [
            (_LOAD, 0, 0, _AT_ARCHITECTURE),
            (_JEQ, 1, 0, architecture),
            _ret(_KILL),
            (_LOAD, 0, 0, _AT_NUMBER),
            (_JGE, 0, 1, _X32),
            _ret(_KILL),
            *_search(_segments(sorted((n, code) for n, code in table if n is not None))),
        ]
        self._code = b"".join(struct.pack("<HBBI", *instruction) for instruction in code)
        self._pids = [8 * at + 4 for at, instruction in enumerate(code) if instruction[3] == _PID]
        self._length = len(code)

    def load(self) -> None:
        """Filter the calling thread permanently. It must have no_new_privs set."""
        code = bytearray(self._code)
        for at in self._pids:
            struct.pack_into("<I", code, at, os.getpid())
        buffer = (ctypes.c_char * len(code)).from_buffer(code)
        program = ctypes.create_string_buffer(
            struct.pack("<HxxxxxxQ", self._length, ctypes.addressof(buffer)), 16
        )
        linux.prctl(linux.PR_SET_SECCOMP, linux.SECCOMP_MODE_FILTER, ctypes.addressof(program))


def supported() -> bool:
    """Return whether this machine's architecture has a table of system calls."""
    return os.uname().machine in _ARCHITECTURES


def _ret(value: int) -> tuple[int, int, int, int]:
    return (_RET, 0, 0, value)


def _argument(index: int) -> tuple[int, int, int, int]:
    """Load the low half of an argument: the kernel ignores the rest of an int."""
    return (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * index)


def _only(index: int, values: tuple[int, ...], otherwise: int) -> Code:
    """Allow the call if an argument is one of `values`; else fail with errno `otherwise`."""
    tests = [(_JEQ, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [_argument(index), *tests, _ret(_ERRNO | otherwise), _ret(_ALLOW)]


def _high_half(index: int) -> tuple[int, int, int, int]:
    return (_LOAD, 0, 0, _AT_ARGUMENTS + 8 * index + 4)


def _by_argument(*, spawn: bool, landlock_abi: int) -> dict[str, Code]:
    """Return the calls that depend on their arguments.

    None of those allowed makes the kernel send SIGKILL to the run's first process: a run that is ended by SIGKILL was
    therefore killed by the sandbox, the kernel or somebody else. No process may send it at all, since the thread id of
    a process names the process, too. A POSIX timer could send it, and the filter cannot read which signal it sends.
    """
    any_process = spawn and landlock_abi >= 6  # from version 6, Landlock keeps signals within the run
    refuse, allow = _ret(_ERRNO | errno.EPERM), _ret(_ALLOW)
    actions = {
        "fcntl": _only(1, _FCNTL, errno.EPERM),
        "ioctl": _only(1, _IOCTL, errno.ENOTTY),
        "prctl": _only(0, _PRCTL, errno.EPERM),
        "socketpair": _only(0, (_AF_UNIX,), errno.EPERM),
        "sendto": _sendto(),
        "recvfrom": _only(3, _MSG_FLAGS, errno.EPERM),
        "setrlimit": [_argument(0), (_JEQ, 0, 1, _RLIMIT_CPU), refuse, allow],
        "prlimit64": _prlimit(),
        "kill": _signal(1, any_process=any_process),
        "tgkill": _signal(2, any_process=any_process),
    }
    if spawn:
        actions |= {"clone": _clone(), "fork": [allow], "vfork": [allow]}
    else:
        actions |= {name: [_ret(_ERRNO | errno.EAGAIN)] for name in _SPAWN}
    return actions


def _sendto() -> Code:
    """Allow sending to the connected end, without an address."""
    no_address = [_argument(4), (_JEQ, 0, 2, 0), _high_half(4), (_JEQ, 1, 0, 0), _ret(_ERRNO | errno.EPERM)]
    return [*no_address, *_only(3, _MSG_FLAGS, errno.EPERM)]


def _prlimit() -> Code:
    """Allow a process its own limits; it may read that of CPU time, but not set it."""
    refuse, allow = _ret(_ERRNO | errno.EPERM), _ret(_ALLOW)
    return [
        _argument(0),
        (_JEQ, 1, 0, 0),
        (_JEQ, 0, 6, _PID),
        _argument(1),
        (_JEQ, 0, 5, _RLIMIT_CPU),
        _argument(2),
        (_JEQ, 0, 2, 0),
        _high_half(2),
        (_JEQ, 1, 0, 0),
        refuse,
        allow,
    ]


def _clone() -> Code:
    """Refuse namespaces, siblings, and children whose end kills their parent."""
    return [
        _argument(0),
        (_JSET, 2, 0, _NAMESPACES | _CLONE_PARENT),
        (_AND, 0, 0, _EXIT_SIGNAL),
        (_JEQ, 0, 1, _SIGKILL),
        _ret(_ERRNO | errno.EPERM),
        _ret(_ALLOW),
    ]


def _signal(index: int, *, any_process: bool) -> Code:
    """Allow all signals but SIGKILL, to the run's first process or, with `any_process`, to any.

    `index` is that of the signal among the arguments; the first argument is the process.
    """
    target = [] if any_process else [_argument(0), (_JEQ, 0, 2, _PID)]
    refuse, allow = _ret(_ERRNO | errno.EPERM), _ret(_ALLOW)
    return [*target, _argument(index), (_JEQ, 0, 1, _SIGKILL), refuse, allow]


def _open(name: str, landlock_abi: int) -> Code:
    """Refuse O_RDONLY | O_TRUNC, which Landlock does not block before version 3."""
    if landlock_abi >= 3 or name == "creat":
        return [_ret(_ALLOW)]
    flags = _argument(1 if name == "open" else 2)
    return [
        flags,
        (_JSET, 0, 2, os.O_TRUNC),
        (_JSET, 1, 0, os.O_WRONLY | os.O_RDWR),
        _ret(_ERRNO | errno.EACCES),
        _ret(_ALLOW),
    ]


def _segments(table: list[tuple[int, Code]]) -> list[tuple[int, Code]]:
    """Turn calls into ranges: the first number of each range, and the code for it."""
    refuse = [_ret(_ERRNO | errno.ENOSYS)]
    segments: list[tuple[int, Code]] = [(0, refuse)]
    for number, code in table:
        segments += [(number, code), (number + 1, refuse)]
    kept: list[tuple[int, Code]] = []
    for at, (number, code) in enumerate(segments):
        if at + 1 < len(segments) and segments[at + 1][0] == number:
            continue
        if not kept or kept[-1][1] != code:
            kept.append((number, code))
    return kept


def _search(segments: list[tuple[int, Code]]) -> Code:
    """Compile a binary search; each leaf ends in a return, so no jump leaves its branch."""
    if len(segments) == 1:
        return segments[0][1]
    middle = len(segments) // 2
    below, above = _search(segments[:middle]), _search(segments[middle:])
    if len(below) <= 255:
        return [(_JGE, len(below), 0, segments[middle][0]), *below, *above]
    return [(_JGE, 0, 1, segments[middle][0]), (_JA, 0, 0, len(below)), *below, *above]
