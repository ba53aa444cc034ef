"""A worker's private directory, where one sample at a time lives."""

# ruff: noqa: PTH - pathlib would add to what every fork copies
from __future__ import annotations

import os
import stat


class Box:
    """The directory `<directory>/<index>`: made once, emptied after each session."""

    def __init__(self, directory: str, index: int) -> None:
        self.index = index
        self.path = f"{directory}/{index}"
        os.mkdir(self.path, 0o700)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

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
        os.rmdir(self.path)

    def usage(self) -> int:
        """Bytes on disk beneath the box, as far as it can be read."""
        total, pending = 0, [self.path]
        while pending:
            try:
                with os.scandir(pending.pop()) as entries:
                    for entry in entries:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                        if entry.is_dir(follow_symlinks=False):
                            pending.append(entry.path)
            except OSError:
                continue
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
