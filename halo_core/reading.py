"""Text from files and pipes that a person named: a read always ends."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from halo_core.errors import NO_FILE, TOO_LONG

MOST = 10**9
"""Characters that are read from a pipe, or from any line."""


def open_text(path: str | Path, *, errors: str = "strict") -> TextIO:
    """Open a file or a pipe that a person named. Raises an `OSError` for a device, which may have no end."""
    mode = Path(path).stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode) or stat.S_ISDIR(mode)):
        raise OSError(errno.EINVAL, NO_FILE, str(path))
    return Path(path).open(encoding="utf-8-sig", errors=errors)


def read_text(path: str | Path) -> str:
    """Return all text of a file or a pipe. Raises an `OSError` as `open_text` does, and if there is no end to it."""
    with open_text(path) as file:
        text = file.read(MOST + 1)
    if len(text) > MOST:
        raise OSError(errno.EFBIG, TOO_LONG, str(path))
    return text


def lines_of(file: TextIO, *, kept: bool) -> Iterator[str]:
    """Yield the lines of an open file. Raises an `OSError` for a line of more than `MOST` characters.

    With `kept`, the caller keeps what it reads, so a pipe may not have more in all.
    """
    endless = kept and not stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    left = MOST
    while line := file.readline(left + 1):
        if len(line) > left:
            raise OSError(errno.EFBIG, TOO_LONG, file.name)
        yield line
        left -= len(line) if endless else 0
