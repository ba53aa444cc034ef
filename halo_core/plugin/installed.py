"""Metadata of the installed distributions, read once and again after an installation.

Reading all entry points takes about 90 ms, and a plan asks for those of every kind of driver. Whatever installs or
removes a distribution changes the folder that holds its metadata, so the times of the folders show whether to read
again. `importlib.metadata` decides so, too.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import Distribution, EntryPoint
from importlib.metadata import entry_points as read_all
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Owner:
    """The distribution of an entry point."""

    name: str
    version: str
    requires: tuple[str, ...]
    """Its requirements, as in its metadata."""


def entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of `group` of all installed distributions."""
    return list(_read(tuple(map(_state, sys.path))).select(group=group))


@lru_cache(maxsize=1024)
def owner(distribution: Distribution) -> Owner:
    """Return what the metadata of `distribution` states."""
    metadata = distribution.metadata
    return Owner(metadata["Name"], metadata["Version"], tuple(distribution.requires or ()))


@lru_cache(maxsize=8)
def _read(folders: tuple[object, ...]) -> Any:
    """Read all entry points; `folders` is the state of the folders that hold them."""
    return read_all()


def _state(folder: str) -> object:
    try:
        found = Path(folder).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns
