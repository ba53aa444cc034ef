"""The headers that a program includes, under their usual names."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

_DIRECTIVE = re.compile(
    r'^[ \t]*#[ \t]*(?:include|import|include_next)[ \t]*(?:<([^>\n]+)>|"([^"\n]+)")', re.MULTILINE
)
_SEARCH_LIST = re.compile(r"search starts here:\n(.*?)^End of search list", re.DOTALL | re.MULTILINE)
_INTERNAL = re.compile(r"@headername\{([^}]*)\}|\binclude\s+<([\w/.]+)>\s+instead")
_INCLUDE = re.compile(r"^#\s*include\s*<([\w/.]+)>", re.MULTILINE)
_EVERYTHING = "bits/stdc++.h"
_MAX_BYTES = 1 << 20


def search_directories(listing: str) -> tuple[str, ...]:
    """Return the directories in which a compiler looks for headers, from what `-v` prints."""
    found = [line.strip() for part in _SEARCH_LIST.findall(listing) for line in part.split("\n")]
    paths = [os.path.realpath(line) for line in found if line.startswith("/")]
    return tuple(dict.fromkeys(paths))


def directives(code: str) -> list[str]:
    """Return the names in the include directives of `code`, as written."""
    return [bracketed or quoted for bracketed, quoted in _DIRECTIVE.findall(code)]


def is_system(name: str, directories: Iterable[str]) -> bool:
    """Return True if the file `name` lies in one of `directories`, whatever its path passes through."""
    if not name.startswith("/") or "\0" in name:
        return False
    real = os.path.realpath(name)
    return any(real.startswith(f"{directory}/") for directory in directories)


def usual_names(names: Iterable[str], directories: tuple[str, ...]) -> list[str]:
    """Return the usual names of the included headers: `algorithm` for `../12/algorithm` and `bits/stl_algo.h`."""
    return list(dict.fromkeys(usual for name in names for usual in _usual_names(name, directories)))


@lru_cache(4096)
def _usual_names(name: str, directories: tuple[str, ...]) -> tuple[str, ...]:
    path = find(name, directories)
    if path is None:
        return (os.path.normpath(name),)
    relative = _shortest(path, directories)
    return tuple(dict.fromkeys([relative, *_public_names(relative, path)]))


def find(name: str, directories: Iterable[str]) -> str | None:
    """Return the path of the header `name`, or None if there is none."""
    if "\0" in name:
        return None
    paths = [name] if name.startswith("/") else [f"{directory}/{name}" for directory in directories]
    return next((os.path.realpath(path) for path in paths if Path(path).is_file()), None)


def _shortest(path: str, directories: Iterable[str]) -> str:
    names = [
        os.path.relpath(path, directory) for directory in directories if path.startswith(f"{directory}/")
    ]
    return min(names, key=len, default=path)


def _public_names(relative: str, path: str) -> Iterator[str]:
    """Yield the headers that an internal header belongs to, as its own comments name them."""
    if "/" not in relative:
        return
    with Path(path).open("rb") as file:
        text = file.read(_MAX_BYTES).decode(errors="replace")
    if relative == _EVERYTHING:
        yield from _INCLUDE.findall(text)
    for several, single in _INTERNAL.findall(text):
        yield from (each.strip() for each in (several or single).split(","))
