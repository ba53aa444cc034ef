"""What can go wrong, as a person would want to be told it.

Every error halo raises on purpose is a `HaloError`: one line that says what is wrong and, where there is
one, a hint that says what to do about it. The command line prints the two and exits with `exit_code`;
a traceback is shown only with `--debug`.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
from collections.abc import Iterable
from typing import ClassVar


class HaloError(Exception):
    """Base of every error that halo raises on purpose."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        """What the user can do about it; may be empty."""


class ConfigError(HaloError):
    """A configuration, an option or a flag is not usable as given."""

    exit_code = 2


class DataError(HaloError):
    """A prompt or completion file is missing, empty or malformed."""

    exit_code = 2


class PluginError(HaloError):
    """A plugin is unknown, ambiguous, broken, or answered a hook with something unusable."""


class ModelError(HaloError):
    """A model or an adapter could not be loaded, or is not what it was taken for."""


class VerifierError(HaloError):
    """Verification itself broke; nothing can be learnt from its verdicts."""


class TrainingError(HaloError):
    """A training step did not, or could not, do its work."""


class DivergedError(TrainingError):
    """A loss, a gradient or a weight stopped being finite."""


class SandboxError(HaloError):
    """Untrusted code cannot be run as safely as was asked for."""


class RunError(HaloError):
    """A run directory cannot be created, read, written or continued."""


class Interrupted(HaloError):
    """The user asked the run to stop and it has, at a safe point."""

    exit_code = 130


def refusal(error: BaseException) -> str:
    """Return why the system refused, for an `OSError` or what a library in Rust makes of one; else "".

    Such libraries (safetensors, tokenizers) raise errors of their own that end in "(os error 28)".
    """
    if isinstance(error, OSError):
        return error.strerror or str(error)
    number = re.search(r"\(os error (\d+)\)", str(error))
    return os.strerror(int(number[1])) if number else ""


def command(*words: object) -> str:
    """Return a command as it can be typed, whatever its paths are called."""
    return shlex.join(map(str, words))


def first_line(error: BaseException) -> str:
    """Return what an error of a library says first, as one line, or else its type; some announce more after a colon."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(line.strip() for line in lines[: 2 if lines[0].endswith(":") else 1])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'x'?" for the nearest of `known`, else the list of them."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known: {', '.join(names)}" if names else ""
