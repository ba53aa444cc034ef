"""Precompiled headers for C++, where parsing the standard library takes most of the compile time.

A program that starts with includes of standard headers is compiled with a header precompiled from exactly these
includes. The program's own includes then have no effect, because their guards are already defined. So a program
sees only the declarations that it includes, and its verdict and warnings are the same as without precompilation.
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
"""Header that is included before each program. The `_Pragma` operator could suppress warnings, and macros can hide
it from any scan of the source, so this header defines it away; a system header may do so without a warning."""
_PREFIX = "halo-headers-"
_MIN_AGE_SECONDS = 60.0
HEADER = "std.h"
PRECOMPILED = "std.h.gch"
MAX_BYTES = 256 << 20
"""Maximum size of one precompiled header."""
_MIN_REQUESTS = 3
"""Requests for a set of headers before it is precompiled, which costs about three times what one use saves."""
_MAX_SETS = 32
_MAX_TOTAL_BYTES = 1 << 30

_INCLUDE = re.compile(r"[ \t]*#[ \t]*include[ \t]*<([\w/.+]+)>[ \t]*(?://[^\\?]*)?")
_BLANK = re.compile(r"[ \t]*(?://[^\\?]*)?")
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


def is_standard(header: str) -> bool:
    """Return True if `header` names a header of the standard library."""
    return header in _STANDARD


def leading_headers(code: str) -> tuple[str, ...]:
    """Return the standard headers that `code` includes before anything else, sorted.

    The order among standard headers does not matter, but any code before them does, above all a macro that
    they test. So the search ends at the first line that is not clearly an include, a blank or a comment.
    """
    found = set()
    for line in code.split("\n"):
        include = _INCLUDE.fullmatch(line)
        if include and include[1] in _STANDARD:
            found.add(include[1])
        elif include or not _BLANK.fullmatch(line):
            break
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Precompiled:
    """A directory with a header and its precompiled form."""

    directory: Path

    @property
    def header(self) -> str:
        """Path to include; the compiler finds the precompiled form beside it."""
        return str(self.directory / HEADER)

    def unusable(self, diagnostics: bytes) -> bool:
        """Return True if this header may have caused `diagnostics`.

        Its files can disappear when temporary directories are cleaned, and a compiler can be replaced.
        """
        complete = all((self.directory / name).is_file() for name in (HEADER, PRECOMPILED, NO_PRAGMA[0]))
        return not complete or bytes(self.directory) in diagnostics


class HeaderCache:
    """The precompiled headers of this process, in a temporary directory that is removed when the process ends."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[Hashable] = Counter()
        self._headers: dict[Hashable, Precompiled | None] = {}
        self._bytes = 0
        self._root: Path | None = None

    def find(
        self, key: Hashable, headers: tuple[str, ...], build: Callable[[Path], bytes]
    ) -> Precompiled | None:
        """Return the precompiled form of `headers`, or None while there is none.

        `key` stands for the compiler and its flags. After `_MIN_REQUESTS` requests this call builds the
        precompiled form; concurrent callers do not wait for it and get None. `build` takes a directory that
        contains the header and returns the precompiled form, or empty bytes on failure.
        """
        key = (key, headers)
        with self._lock:
            self._requests[key] += 1
            if key in self._headers or self._requests[key] < _MIN_REQUESTS or self._full():
                return self._headers.get(key)
            self._headers[key] = None
            directory = self._new_directory(len(self._headers))
        _write(directory / NO_PRAGMA[0], NO_PRAGMA[1])
        lines = [f'#include "{NO_PRAGMA[0]}"', *(f"#include <{header}>" for header in headers)]
        _write(directory / HEADER, "".join(f"{line}\n" for line in lines).encode())
        data = build(directory)
        if not data:
            return None
        _write(directory / PRECOMPILED, data)
        with self._lock:
            self._bytes += len(data)
            self._headers[key] = Precompiled(directory)
            return self._headers[key]

    def _full(self) -> bool:
        return len(self._headers) >= _MAX_SETS or self._bytes >= _MAX_TOTAL_BYTES

    def _new_directory(self, number: int) -> Path:
        self._root = self._root or _make_root()
        directory = self._root / str(number)
        directory.mkdir()
        directory.chmod(0o755)
        return directory


def _write(path: Path, data: bytes) -> None:
    """Write a file that the compiler can read as another user, whatever the umask is."""
    path.write_bytes(data)
    path.chmod(0o644)


def _make_root() -> Path:
    """Create a directory that is removed when this process ends.

    The directory of a killed process is removed when a later process creates its own.
    """
    for stale in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with suppress(OSError):
            os.close(_lock(stale, min_age=_MIN_AGE_SECONDS))
            shutil.rmtree(stale, ignore_errors=True)
    root, owner = Path(tempfile.mkdtemp(prefix=_PREFIX)), os.getpid()
    root.chmod(0o711)
    _lock(root)

    def remove() -> None:
        if os.getpid() == owner:  # forked children inherit this handler
            shutil.rmtree(root, ignore_errors=True)

    atexit.register(remove)
    return root


def _lock(directory: Path, *, min_age: float = 0.0) -> int:
    """Lock a directory of this user until the returned file descriptor is closed.

    Raises an `OSError` if another process holds the lock, or if the directory was changed less than `min_age`
    seconds ago: its owner may have created it and not locked it yet.
    """
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid() or time.time() - found.st_mtime < min_age:
            raise BlockingIOError(f"{directory} belongs to another user or is too new")
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        raise
    return fd


HEADERS = HeaderCache()
