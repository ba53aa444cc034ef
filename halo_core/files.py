"""Files that are whole or not there: written beside, synced, renamed; and what the disk refuses, in one line."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from halo_core.errors import RunError, refusal

_NO_ROOM = "make room or choose another place with --output; what was written is kept"
_NO_RIGHT = "see to its permissions, or choose another place with --output; what was written is kept"
_DAMAGED = "restore it from a copy, or begin the run anew with another --output"
_HINTS = {
    os.strerror(errno.ENOENT): _DAMAGED,
    **{os.strerror(code): _NO_RIGHT for code in (errno.EACCES, errno.EPERM, errno.EROFS)},
}


def write(path: Path, text: str) -> None:
    """Write `path` so that it holds all of `text` or what it held before; on the disk when this returns."""
    beside = path.with_name(path.name + ".partial")
    with disk(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
        sync(path.parent)


def write_directory(target: Path, fill: Callable[[Path], None]) -> str:
    """Have `fill` write into an empty directory, put that in the place of `target`, return its digest."""
    beside = target.with_name(target.name + ".partial")
    with disk(target):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        fill(beside)
        for place in [*beside.rglob("*"), beside]:
            sync(place)
        digest = directory_hash(beside)
        shutil.rmtree(target, ignore_errors=True)
        beside.rename(target)
        sync(target.parent)
    return digest


def directory_hash(directory: Path) -> str:
    """Return the SHA-256 over names and contents of all files below `directory`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        whole.update(f"{path.relative_to(directory).as_posix()}\0{content.hexdigest()}\n".encode())
    return whole.hexdigest()


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Turn what the system refuses into a `RunError` that says what to do."""
    try:
        yield
    except Exception as error:
        if reason := refusal(error):
            raise refused(path, reason) from error
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into a `RunError` that names it."""
    try:
        with disk(path):
            yield
    except (ValueError, TypeError, LookupError, yaml.YAMLError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def refused(path: Path, reason: str) -> RunError:
    """Return the error for a disk that does not play along."""
    return RunError(f"{path}: {reason}", hint=_HINTS.get(reason, _NO_ROOM))


def damaged(path: Path, reason: str) -> RunError:
    """Return the error for a file that is not what was written."""
    return RunError(f"{path} is damaged: {' '.join(reason.split())}", hint=_DAMAGED)


def sync(path: Path) -> None:
    """Have the disk keep a file's content, or a directory's entries."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
