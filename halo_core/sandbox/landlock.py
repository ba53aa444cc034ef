"""Landlock: restricts the files that a process and its descendants can access, whatever their owner and mode.

See https://docs.kernel.org/userspace-api/landlock.html. Each access type that the kernel's version of Landlock
supports is handled, hence denied unless a rule allows it: the file system from version 1 (Linux 5.13) on,
TCP from 4, device ioctls from 5, signals and abstract sockets to processes outside from 6.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct

from halo_core.sandbox import linux

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1

EXECUTE = 1 << 0
WRITE_FILE = 1 << 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
REMOVE_DIR = 1 << 4
REMOVE_FILE = 1 << 5
MAKE_DIR = 1 << 7
MAKE_REG = 1 << 8
REFER = 1 << 13
TRUNCATE = 1 << 14

READ = READ_FILE | READ_DIR
WRITE = WRITE_FILE | TRUNCATE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE

_HANDLED_FS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_HANDLED_NET = {1: 0, 4: 0b11}  # bind and connect TCP
_SCOPED = {1: 0, 6: 0b11}  # abstract unix sockets, signals
NEWEST = 7


def version() -> int:
    """Return the active version of Landlock, 0 if the kernel lacks it or has it switched off."""
    found = linux.syscall(_CREATE_RULESET, 0, 0, _CREATE_RULESET_VERSION)
    return max(found, 0)


class Ruleset:
    """Paths and the access rights below them. May restrict any number of processes."""

    def __init__(self, abi: int, rules: Iterable[tuple[str, int]]) -> None:
        fs, net, scoped = (_newest_up_to(abi, table) for table in (_HANDLED_FS, _HANDLED_NET, _SCOPED))
        attributes = ctypes.create_string_buffer(struct.pack("<QQQ", fs, net, scoped), 24)
        size = 8 if abi < 4 else 16 if abi < 6 else 24
        self.fd = linux.check(
            linux.syscall(_CREATE_RULESET, ctypes.addressof(attributes), size, 0), "landlock_create_ruleset"
        )
        os.set_inheritable(self.fd, False)
        for path, rights in rules:
            self._allow(path, rights & fs)

    def _allow(self, path: str, rights: int) -> None:
        """Grant `rights` below `path`; a path that does not exist or cannot be reached grants nothing."""
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                rights &= _ON_FILES
            rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, fd), 12)
            linux.check(
                linux.syscall(_ADD_RULE, self.fd, _RULE_PATH_BENEATH, ctypes.addressof(rule), 0),
                f"landlock_add_rule for {path}",
            )
        finally:
            os.close(fd)

    def restrict_self(self) -> None:
        """Confine the calling thread permanently. It must have no_new_privs set."""
        linux.check(linux.syscall(_RESTRICT_SELF, self.fd, 0), "landlock_restrict_self")

    def close(self) -> None:
        """Close the descriptor; processes stay restricted."""
        os.close(self.fd)


def _newest_up_to(abi: int, table: dict[int, int]) -> int:
    return table[max(since for since in table if since <= abi)]
