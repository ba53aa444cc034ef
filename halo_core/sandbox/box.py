"""A worker's private directory, where one sample at a time lives."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import suppress

UNPRIVILEGED_UIDS = range(64000, 65534)
"""With root's help each box has a user and group of its own, one of these."""

UNCOUNTABLE = 1 << 62
_MAX_FILES = 10_000
_MAX_DEPTH = 100


class User:
    """A user for one box, which no other box has, in this sandbox or in one beside it.

    The kernel counts processes by user: boxes that shared one would have each other's count against their
    limits. A socket's abstract name is the claim, for it ends with whoever holds it, however that happens.
    """

    def __init__(self) -> None:
        self._claim = socket.socket(socket.AF_UNIX)
        self.uid = next(filter(self._is_free, UNPRIVILEGED_UIDS), UNPRIVILEGED_UIDS[-1])

    def _is_free(self, uid: int) -> bool:
        try:
            self._claim.bind(f"\0halo-sandbox-user-{uid}")
        except OSError:
            return False
        return True

    def release(self) -> None:
        """Let others have it."""
        self._claim.close()


class Box:
    """The directory `<directory>/<index>`: made once, emptied after each session."""

    def __init__(self, directory: str, index: int, user: User | None) -> None:
        self.index = index
        self._user = user
        self.uid = uid = user.uid if user else None
        """User and group that programs in this box run as; None: the trainer's."""
        self.place = f"{directory}/{index}"
        self.root = ""
        """What programs see as `/`; empty where that is the machine's own."""
        self.path = self.place
        """Where programs see the box."""
        os.mkdir(self.place, 0o700)
        if uid is not None:
            os.chown(self.place, uid, uid)
        self.fd = os.open(self.place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def inside(self) -> str:
        """Where the worker itself finds the box."""
        return self.root + self.path

    def move(self, root: str, path: str) -> None:
        """From now on the box is what `root + path` names, seen by programs as `path`."""
        os.close(self.fd)
        self.root, self.path = root, path
        self.fd = os.open(self.inside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def wipe(self) -> None:
        """Delete everything inside. However deep a tree is, this neither recurses nor follows a link."""
        lifted = 0
        while names := os.listdir(self.fd):
            for name in names:
                lifted = _delete(self.fd, name, lifted)

    def remove(self) -> None:
        """Delete the directory itself, and let its user go."""
        self.wipe()
        os.close(self.fd)
        os.rmdir(self.place)
        if self._user:
            self._user.release()

    def usage(self) -> int:
        """Bytes on disk beneath the box; more than any limit if there are too many files to count."""
        total, seen, pending = 0, 0, [(self.inside, 0)]
        while pending:
            folder, depth = pending.pop()
            with suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append((entry.path, depth + 1))
                    if seen > _MAX_FILES or depth > _MAX_DEPTH:
                        return UNCOUNTABLE
        return total


def _delete(top: int, name: str, lifted: int) -> int:
    """Delete `name` in `top`, having moved its subdirectories up into `top`; return the count of moves."""
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
