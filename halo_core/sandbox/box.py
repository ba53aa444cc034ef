"""A worker's private directory, where one sample at a time lives."""

from __future__ import annotations

import os
import stat
from contextlib import suppress

UNPRIVILEGED_UID = 64000
"""With root's help each box has a user and group of its own, numbered from here."""

UNCOUNTABLE = 1 << 62
_MAX_FILES = 10_000
_MAX_DEPTH = 100


class Box:
    """The directory `<directory>/<index>`: made once, emptied after each session."""

    def __init__(self, directory: str, index: int, uid: int | None) -> None:
        self.index = index
        self.uid = uid
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
        """Delete the directory itself."""
        self.wipe()
        os.close(self.fd)
        os.rmdir(self.place)

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
