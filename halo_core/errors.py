"""The errors that halo raises on purpose, each with a message of one line and often a hint for the user.

The command line prints both and exits with `exit_code`; it prints a traceback only with `--debug`.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar


class HaloError(Exception):
    """The base of every error that halo raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        """Advice for the user; may be empty."""


class ConfigError(HaloError):
    """A configuration, an option or a flag is invalid."""

    exit_code = 2


class DataError(HaloError):
    """A prompt or completion file is missing, empty or malformed."""

    exit_code = 2


class PluginError(HaloError):
    """A plugin is broken, lacks what it needs, or returned an invalid value from a hook."""


class UnknownPluginError(PluginError):
    """No plugin has the given name, or several have it."""

    exit_code = 2


class ModelError(HaloError):
    """A model or an adapter could not be loaded, or is of the wrong kind."""


class VerifierError(HaloError):
    """Verification failed; its verdicts mean nothing."""


class TrainingError(HaloError):
    """Training failed, or could not change the weights."""


class DivergedError(TrainingError):
    """A loss, a gradient or a weight is no longer finite."""


class OutOfMemoryError(TrainingError):
    """Training does not fit into memory, in the smallest batches either."""


class SandboxError(HaloError):
    """Untrusted code cannot be run as safely as required."""


class RunError(HaloError):
    """A run directory cannot be created, read or written, or its run cannot be resumed."""


class Interrupted(HaloError):
    """The run stopped at a safe point, as the user requested."""

    exit_code = 130


NO_FILE = "neither a file nor a pipe"
TOO_LONG = "more than 1 GB of text without an end"


def os_message(error: BaseException) -> str:
    """Return the system's message of an `OSError`, or of a Rust library's error that wraps one; otherwise "".

    Such libraries (safetensors, tokenizers) raise their own exceptions, which end in "(os error 28)".
    """
    if isinstance(error, OSError):
        limited = error.errno == errno.EFBIG and error.strerror != TOO_LONG
        return too_large() if limited else error.strerror or str(error)
    number = re.search(r"\(os error (\d+)\)", str(error))
    if number is None:
        return ""
    return too_large() if int(number[1]) == errno.EFBIG else os.strerror(int(number[1]))


HIGHER_FILE_LIMIT = "raise the limit: ulimit -f unlimited; in a new shell, if this one refuses"


def file_limit() -> int | None:
    """Return the size in bytes that files of this process may have (`ulimit -f`); None for no limit."""
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def too_large() -> str:
    """Return the reason why a file cannot grow: the limit of the shell, or else of the file system."""
    limit = file_limit()
    if limit is None:
        return "the file system allows no larger file"
    return f"the shell's limit on the size of a file, {limit / 1024:.0f} KiB, is reached"


def file_hint(error: OSError | UnicodeDecodeError) -> str:
    """Return what to do about a file that a person named and that cannot be read or written; may be empty."""
    if isinstance(error, UnicodeDecodeError):
        return "save it as UTF-8"
    match error.errno:
        case errno.ENOENT if error.filename and Path(error.filename).is_absolute():
            return "check the path"
        case errno.ENOENT:
            return f"check the path; a relative one starts at {Path.cwd()}"
        case errno.EISDIR:
            return "name a file"
        case errno.ENOTDIR:
            return "check the path: it leads through a file"
        case errno.ENAMETOOLONG:
            return "choose a shorter name"
        case errno.ELOOP:
            return "check the path: its links form a circle"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return "check its permissions"
        case errno.EINVAL | errno.EFBIG if error.strerror in (NO_FILE, TOO_LONG):
            return "name a file, or a pipe that ends"
        case errno.EFBIG if file_limit() is not None:
            return HIGHER_FILE_LIMIT
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "free some space, or name a file on another disk"
    return ""


def command(*words: object, after_cd: bool = False) -> str:
    """Return a shell command, quoted where necessary, that works as printed.

    `halo`, `pip` and `pytest` become the path of the program in the environment of the running halo if the shell would
    not find halo by name; with `after_cd`, a path that is valid in another directory, too.
    """
    first, *rest = map(str, words)
    return shlex.join([_program(first, after_cd) if first in _PROGRAMS else first, *rest])


_PROGRAMS = ("halo", "pip", "pytest")


def _program(name: str, after_cd: bool) -> str:
    """Return how the shell finds a program beside halo: its name, or a path such as `.venv/bin/halo`."""
    import shutil

    own = Path(sys.argv[0])
    if own.name != "halo" or not own.is_file() or shutil.which("halo") or not own.with_name(name).is_file():
        return name
    here = Path.cwd()
    place = (here / own).with_name(name)
    return str(place if after_cd or not place.is_relative_to(here) else place.relative_to(here))


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, with the next one if it ends in a colon; its type if it is empty."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the most similar of `known`, or if there is none, the list of `known`."""
    names = sorted(known)
    longer = [name for name in names if len(word) > 2 and name.startswith(word)]
    near = longer if len(longer) == 1 else difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""
