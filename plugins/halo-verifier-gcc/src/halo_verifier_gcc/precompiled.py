"""Precompiled headers for C++, where most of the time goes into reading the standard library again.

A program that begins with includes of standard headers gets a header precompiled from exactly these, read
ahead of it; its own includes then find their guards set. So a program sees the declarations that it asked for
and no others, and verdicts and warnings are the same as without.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NO_PRAGMA = ("no_pragma.h", b"#pragma GCC system_header\n#define _Pragma(x)\n")
"""Read before each program. The `_Pragma` operator could silence warnings, and macros can hide it from any
reading of the source, so it is defined away; a system header may do so without a warning of its own."""
_PREFIX = "halo-headers-"
_SETTLED = 60.0
HEADER = "std.h"
PRECOMPILED = "std.h.gch"
MOST_BYTES = 256 << 20
"""Size of one precompiled header at most."""
_SIGHTINGS = 3
"""Building one costs about three times what using it saves, so that it must be worth it."""
_MOST_SETS = 32
_MOST_IN_ALL = 1 << 30

_INCLUDE = re.compile(r"[ \t]*#[ \t]*include[ \t]*<([\w/.+]+)>[ \t]*(?://[^\\?]*)?")
_NOTHING = re.compile(r"[ \t]*(?://[^\\?]*)?")
_NAMES = """
algorithm any array atomic barrier bit bitset cassert cctype cerrno cfenv cfloat charconv chrono cinttypes climits
clocale cmath compare complex concepts condition_variable coroutine csetjmp csignal cstdarg cstddef cstdint cstdio
cstdlib cstring ctime cuchar cwchar cwctype deque exception execution filesystem forward_list fstream functional
future initializer_list iomanip ios iosfwd iostream istream iterator latch limits list locale map memory
memory_resource mutex new numbers numeric optional ostream queue random ranges ratio regex scoped_allocator
semaphore set shared_mutex source_location span sstream stack stdexcept stop_token streambuf string string_view
strstream syncstream system_error thread tuple type_traits typeindex typeinfo unordered_map unordered_set utility
valarray variant vector version
bits/stdc++.h
assert.h ctype.h errno.h float.h inttypes.h limits.h math.h stdbool.h stddef.h stdint.h stdio.h stdlib.h string.h
time.h
"""
_STANDARD = frozenset(_NAMES.split())


def leading_headers(code: str) -> tuple[str, ...]:
    """Return the standard headers that `code` includes before anything else, sorted.

    The order of standard headers is of no consequence; all that comes before them is, a macro that they look
    at above all. So the first line that is not plainly an include, blank or a comment ends it.
    """
    found = set()
    for line in code.split("\n"):
        include = _INCLUDE.fullmatch(line)
        if include and include[1] in _STANDARD:
            found.add(include[1])
        elif include or not _NOTHING.fullmatch(line):
            break
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Precompiled:
    """A header in a directory of its own, with what it was precompiled to beside it."""

    directory: Path

    @property
    def header(self) -> str:
        """What to include; the compiler finds what lies beside it."""
        return str(self.directory / HEADER)

    def unusable(self, diagnostics: bytes) -> bool:
        """Whether it may be to blame for these: temporary directories get cleaned, compilers replaced."""
        there = all((self.directory / name).is_file() for name in (HEADER, PRECOMPILED, NO_PRAGMA[0]))
        return not there or bytes(self.directory) in diagnostics


class Shelf:
    """The precompiled headers of this process, in a temporary directory that goes when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Counter[Hashable] = Counter()
        self._ready: dict[Hashable, Precompiled | None] = {}
        self._bytes = 0
        self._root: Path | None = None

    def find(
        self, key: Hashable, headers: tuple[str, ...], build: Callable[[Path], bytes]
    ) -> Precompiled | None:
        """Return what is ready for `headers` under the compiler and flags that `key` stands for.

        When they have been asked for often enough, it is built first, while others go on without.
        `build` is given a directory with the header in it and returns it precompiled, empty if it cannot be.
        """
        key = (key, headers)
        with self._lock:
            self._seen[key] += 1
            if key in self._ready or self._seen[key] < _SIGHTINGS or not self._room():
                return self._ready.get(key)
            self._ready[key] = None
            place = self._place(len(self._ready))
        place.joinpath(NO_PRAGMA[0]).write_bytes(NO_PRAGMA[1])
        lines = [f'#include "{NO_PRAGMA[0]}"', *(f"#include <{header}>" for header in headers)]
        place.joinpath(HEADER).write_text("\n".join(lines) + "\n")
        data = build(place)
        if not data:
            return None
        place.joinpath(PRECOMPILED).write_bytes(data)
        with self._lock:
            self._bytes += len(data)
            self._ready[key] = Precompiled(place)
            return self._ready[key]

    def _room(self) -> bool:
        return len(self._ready) < _MOST_SETS and self._bytes < _MOST_IN_ALL

    def _place(self, number: int) -> Path:
        self._root = self._root or _own_directory()
        place = self._root / str(number)
        place.mkdir(mode=0o755)
        return place


def _own_directory() -> Path:
    """Make a directory that goes when this process ends, and if it is killed, when a later one makes its own."""
    for left in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):
            os.close(_lock(left, settled=_SETTLED))
            shutil.rmtree(left, ignore_errors=True)
    root, owner = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    root.chmod(0o711)
    _lock(root)

    def remove() -> None:
        if os.getpid() == owner:  # and not a fork of it
            shutil.rmtree(root, ignore_errors=True)

    atexit.register(remove)
    return root


def _lock(directory: Path, *, settled: float = 0.0) -> int:
    """Lock a directory of ours for as long as the descriptor that is returned stays open.

    Raises an `OSError` while another process has it, or when it was changed less than `settled` seconds ago:
    it may have been made just now, to be locked next.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < settled:
            raise BlockingIOError(f"{directory} is not to be touched")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


SHELF = Shelf()
