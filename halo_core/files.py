"""Atomic writes, synced before they return, and disk errors as a `RunError` with one clear line."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from halo_core.errors import HIGHER_FILE_LIMIT, RunError, file_limit, os_message, too_large

_DISK_FULL = "free some space or choose another directory with --output; the data already written is kept"
_NO_PERMISSION = (
    "check its permissions, or choose another directory with --output; the data already written is kept"
)
_LONGEST_REASON = 300
_DAMAGED = "restore it from a copy, or start a new run with another --output"
_NO_DIRECTORY = "name a directory, or one that can be created, with --output"
_NO_PLACE = "choose a place where files can be created"
_HINTS = {
    **{os.strerror(code): _NO_DIRECTORY for code in (errno.EEXIST, errno.ENOTDIR)},
    os.strerror(errno.ENOENT): _DAMAGED,
    os.strerror(errno.ENAMETOOLONG): "choose a shorter name",
    os.strerror(errno.ELOOP): "check the path: its links form a circle",
    **{os.strerror(code): _NO_PERMISSION for code in (errno.EACCES, errno.EPERM, errno.EROFS)},
}


def write(path: Path, text: str) -> None:
    """Replace the content of `path` by `text` atomically; it is on the disk when this returns.

    A device or a pipe is written to, and stays what it is.
    """
    if path.exists() and not path.is_file():
        with disk(path):
            path.write_text(text, encoding="utf-8")
        return
    partial = path.with_name(path.name + ".partial")
    with creating(path), _removed_on_failure(partial):
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync(path.parent)


def write_directory(target: Path, fill: Callable[[Path], None]) -> str:
    """Call `fill` on an empty directory, then replace `target` by it; return the `directory_hash`.

    The files get the permissions that the umask gives: some libraries write theirs for the owner alone.
    """
    partial = target.with_name(target.name + ".partial")
    with creating(target), _removed_on_failure(partial):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        fill(partial)
        mode = partial.stat().st_mode & 0o666
        for place in [*partial.rglob("*"), partial]:
            if place.is_file():
                place.chmod(mode)
            sync(place)
        content_hash = directory_hash(partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.rename(target)
        sync(target.parent)
    return content_hash


def make_directory(path: Path) -> None:
    """Create a directory and its parents unless it exists. Raises a `RunError`."""
    with creating(path):
        path.mkdir(parents=True, exist_ok=True)


def check_writable(target: Path) -> None:
    """Raise a `RunError` if `target` cannot be created."""
    place = next(parent for parent in target.absolute().parents if parent.exists())
    with creating(target):
        Path(tempfile.mkdtemp(prefix=".halo-", dir=place)).rmdir()


@contextmanager
def _removed_on_failure(partial: Path) -> Iterator[None]:
    """Remove a partial file or directory if it cannot be completed, so that a full disk is not fuller than before."""
    try:
        yield
    except BaseException:  # Ctrl-C, too
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            with suppress(OSError):
                partial.unlink()
        raise


def directory_hash(directory: Path) -> str:
    """Return the SHA-256 of the names and contents of all files below `directory`."""
    total = hashlib.sha256()
    for path in sorted(path for path in directory.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256")
        total.update(f"{path.relative_to(directory).as_posix()}\0{content.hexdigest()}\n".encode())
    return total.hexdigest()


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Raise errors of the operating system as a `RunError` with a hint."""
    try:
        yield
    except Exception as error:
        if reason := os_message(error):
            raise disk_error(path, reason) from error
        raise


@contextmanager
def creating(path: Path) -> Iterator[None]:
    """Raise errors of the operating system as `disk` does; one for a missing file states that none can be created.

    Some file systems create nothing, such as /proc.
    """
    with disk(path):
        try:
            yield
        except FileNotFoundError as error:
            raise RunError(f"{path}: cannot be created", hint=_NO_PLACE) from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise every error that a damaged file can cause as a `RunError` that names the file."""
    try:
        with disk(path):
            yield
    except (ValueError, TypeError, LookupError, yaml.YAMLError) as error:
        raise damaged(path, f"{type(error).__name__}: {error}") from error


def disk_error(path: Path, reason: str) -> RunError:
    """Return the error for a failed disk operation."""
    limited = reason == too_large() and file_limit() is not None
    return RunError(
        f"{path}: {reason}", hint=HIGHER_FILE_LIMIT if limited else _HINTS.get(reason, _DISK_FULL)
    )


def damaged(path: Path, reason: str) -> RunError:
    """Return the error for a file with invalid content."""
    return RunError(f"{path} is damaged: {' '.join(reason.split())[:_LONGEST_REASON]}", hint=_DAMAGED)


def sync(path: Path) -> None:
    """Flush a file's content, or a directory's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
