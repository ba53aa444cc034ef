"""A worker's private directory, which holds one sample at a time."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress

UNPRIVILEGED_UIDS = range(64000, 65534)
"""When halo runs as root, each box has one of these as its user and group."""

TOO_MANY_FILES = 1 << 62
"""Returned as the usage of a box with more files or directory levels than are counted."""
_MAX_FILES = 10_000
_MAX_DEPTH = 100


class User:
    """A user for one box, distinct from those of all other boxes on the machine.

    The kernel counts processes by user: with a shared user, the processes in one box would count against the
    limit of another. An abstract socket name reserves the user, because the kernel frees it when its process ends.
    """

    def __init__(self) -> None:
        self._reservation = socket.socket(socket.AF_UNIX)
        self.uid = next(filter(self._is_free, UNPRIVILEGED_UIDS), UNPRIVILEGED_UIDS[-1])

    def _is_free(self, uid: int) -> bool:
        try:
            self._reservation.bind(f"\0halo-sandbox-user-{uid}")
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Make the user available to other boxes."""
        self._reservation.close()


class Box:
    """The directory `<directory>/<index>`: created once, emptied after each session."""

    def __init__(self, directory: str, index: int, user: User | None) -> None:
        self.index = index
        self._user = user
        self.uid = uid = user.uid if user else None
        """User and group of the programs in this box; None for the trainer's."""
        self.directory = f"{directory}/{index}"
        """The directory on the machine, as the supervisor sees it."""
        self.root = ""
        """The directory that programs see as `/`; empty for the machine's own."""
        self.path = self.directory
        """The path of the box as programs see it."""
        os.mkdir(self.directory, 0o700)
        if uid is not None:
            os.chown(self.directory, uid, uid)
        self.fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def worker_path(self) -> str:
        """The path of the box as its worker sees it."""
        return self.root + self.path

    def move(self, root: str, path: str) -> None:
        """Use the directory `root + path` as the box from now on; programs see it as `path`."""
        os.close(self.fd)
        self.root, self.path = root, path
        self.fd = os.open(self.worker_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def wipe(self) -> None:
        """Delete all contents, at any depth, without recursion and without following links."""
        lifted = 0
        while names := os.listdir(self.fd):
            for name in names:
                lifted = _delete(self.fd, name, lifted)

    def remove(self) -> None:
        """Delete the directory and release its user."""
        self.wipe()
        os.close(self.fd)
        os.rmdir(self.directory)
        if self._user:
            self._user.release()

    def usage(self) -> int:
        """Return the bytes on disk below the box, `TOO_MANY_FILES` if there are too many files to count."""
        total, seen, pending = 0, 0, [(self.worker_path, 0)]
        while pending:
            folder, depth = pending.pop()
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, depth + 1))
                    if seen > _MAX_FILES or depth > _MAX_DEPTH:
                        return TOO_MANY_FILES
        return total


def _delete(top: int, name: str, lifted: int) -> int:
    """Delete `name` in `top`, moving its subdirectories up into `top` first; return the updated count of moves."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=top)
        return lifted
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=top)
    try:
        for child in os.listdir(inner):
            if stat.S_ISDIR(os.stat(child, dir_fd=inner, follow_symlinks=False).st_mode):
                os.chmod(child, 0o700, dir_fd=inner)
                lifted += 1
                os.rename(child, f".lifted-{lifted}-{os.urandom(8).hex()}", src_dir_fd=inner, dst_dir_fd=top)
            else:
                os.unlink(child, dir_fd=inner)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
    return lifted
