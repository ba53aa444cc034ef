"""The part that every worker has: the drivers of the run, built again from its configuration."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from halo_core import Actor, Plan
from halo_core.sandbox import Tier

_DEPRECATIONS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)
_LIBRARIES = ("halo-core", "halo-ray", "torch", "transformers", "peft")
Files = dict[str, bytes]
"""The contents of a directory, by path in it. Workers may be on machines that do not share a file system."""


@dataclass(frozen=True)
class Parts:
    """A run, as every worker needs it. Can be sent to other processes."""

    raw: Mapping[str, Any]
    origins: Mapping[tuple[str, str], str]
    threads: int = 1
    """Threads of torch. Sums depend on it, so it is the same on every machine."""

    @cached_property
    def plan(self) -> Plan:
        """The drivers, built in this process."""
        return Plan.from_raw(self.raw, self.origins)

    def actor(self) -> Actor:
        """Return a model of this process, which is loaded when it is first used."""
        import torch

        torch.set_num_threads(self.threads)
        return self.plan.actor()


class Notes:
    """Lines for the user from a worker, whose own output nobody sees: each goes to halo's own process once."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._waiting: list[str] = []

    def __call__(self, text: str) -> None:
        """Add a line, unless it was added before."""
        if text not in self._known:
            self._known.add(text)
            self._waiting.append(text)

    def take(self) -> Sequence[str]:
        """Return the lines that were added since the last call."""
        taken, self._waiting = self._waiting, []
        return taken


class Warned(Notes):
    """The warnings of this process, except those about deprecated parts of libraries."""

    def __init__(self) -> None:
        super().__init__()
        warnings.showwarning = self._show

    def _show(self, message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        if not issubclass(category, _DEPRECATIONS):
            self(str(message))


@dataclass(frozen=True)
class Hello:
    """The first message of a worker."""

    node: str
    pid: int
    versions: Mapping[str, str]
    tier: Tier | None = None
    """The tier of the sandbox of a verifier."""
    notes: Sequence[str] = ()
    """Lines for the user."""


def hello(node: str, tier: Tier | None = None, notes: Sequence[str] = ()) -> Hello:
    """Return what this process tells about itself."""
    return Hello(node, os.getpid(), {name: version(name) for name in _LIBRARIES}, tier, notes)


def read_files(directory: Path) -> Files:
    """Return the contents of `directory`."""
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


def write_files(files: Files, directory: Path) -> None:
    """Write what `read_files` returned to `directory`."""
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
