"""The files of a run directory beside the database, and the lock on it."""

from __future__ import annotations

import fcntl
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from halo_core import files
from halo_core.errors import RunError

DATABASE = "ledger.db"
_BEGIN = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "plugins.json", "machine.json", "run.yaml")
"""What beginning a run writes, in this order."""


def _acquired(lock: IO[str]) -> bool:
    """Whether the lock was got, at once or when those that only looked at it have gone."""
    for _ in range(20):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False


class RunDirectory:
    """Where a run is. Every method raises a `RunError` when the disk does not play along."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def exists(self) -> bool:
        """Whether a run was begun here."""
        return (self.directory / "run.yaml").is_file()

    @property
    def path(self) -> Path:
        """The database."""
        return self.directory / DATABASE

    def check_unused(self) -> None:
        """Raise a `RunError` unless a run may be begun here: nothing in it but what a killed begin left."""
        if not self.directory.exists():
            return
        with files.disk(self.directory):
            names = {path.name.removesuffix(".partial") for path in self.directory.iterdir()}
        if names - {".lock", *_BEGIN}:
            raise RunError(
                f"{self.directory} is not empty and holds no run", hint="choose another place with --output"
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second process; the lock dies with its owner."""
        with files.disk(self.directory):
            is_new = not self.directory.exists()
            self.directory.mkdir(parents=True, exist_ok=True)
            before = {path.name for path in self.directory.iterdir()}
            lock = (self.directory / ".lock").open("w")
        with lock:
            if not _acquired(lock):
                raise RunError(
                    f"{self.directory} is in use by another process", hint="wait for it, or stop it"
                )
            try:
                yield
            finally:
                self.close()
                if not self.exists:  # nothing came of it
                    with suppress(OSError):
                        for name in {".lock", *_BEGIN} - before:
                            (self.directory / name).unlink(missing_ok=True)
                        if is_new:
                            self.directory.rmdir()

    @property
    def in_use(self) -> bool:
        """Whether another process holds the directory."""
        try:
            with (self.directory / ".lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Let go of what is open; it is opened again when it is next needed."""
        return

    # What the run is made of

    def config(self) -> dict[str, Any]:
        """Return the configuration the run was begun with."""
        path = self.directory / "run.yaml"
        with files.reading(path):
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(loaded, dict):
                raise ValueError("not a mapping")
        return loaded

    def machine(self) -> dict[str, Any]:
        """Return what the run was begun on."""
        return dict(self._json("machine.json", dict))

    def plugins(self) -> list[dict[str, Any]]:
        """Return every driver and plugin: kind, name, distribution, version, target, options."""
        return list(self._json("plugins.json", list))

    def write_plugins(self, plugins: Sequence[Any]) -> None:
        """Record the drivers and plugins that the run goes on with."""
        files.write(self.directory / "plugins.json", json.dumps(plugins, indent=2) + "\n")

    def write_machine(self, machine: Mapping[str, Any]) -> None:
        """Record what the run goes on on."""
        files.write(self.directory / "machine.json", json.dumps(dict(machine), indent=2) + "\n")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Record the configuration that the run goes on with."""
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        files.write(self.directory / "run.yaml", text)

    def _clear(self) -> None:
        """Make room for a database."""
        with files.disk(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
            for name in (name for name in _BEGIN if name.startswith(DATABASE)):
                (self.directory / name).unlink(missing_ok=True)
            files.sync(self.directory.parent)

    def _describe(
        self, config: Mapping[str, Any], plugins: Sequence[Any], machine: Mapping[str, Any]
    ) -> None:
        """Write what the run is made of; `run.yaml` last, since its presence marks a run."""
        self.write_plugins(plugins)
        self.write_machine(machine)
        self.write_config(config)

    def _json(self, name: str, kind: type) -> Any:
        path = self.directory / name
        if not path.is_file():
            return kind()
        with files.reading(path):
            found = json.loads(path.read_bytes())
            if not isinstance(found, kind):
                raise ValueError(f"not a {kind.__name__}")
        return found

    # Cycles

    def cycle_directory(self, cycle: int) -> Path:
        """Where cycle `cycle` keeps its files."""
        return self.directory / "cycles" / f"{cycle:03d}"

    def adapter(self, cycle: int) -> Path:
        """Where the weights after cycle `cycle` are kept."""
        return self.cycle_directory(cycle) / "adapter"

    def _checkpoint(self, cycle: int, number: int) -> Path:
        return self.cycle_directory(cycle) / f"checkpoint-{number}"

    def _sweep(self, cycle: int, keep: int = 0) -> None:
        """Remove the checkpoints of `cycle` but the one that is numbered `keep`."""
        with files.disk(self.cycle_directory(cycle)):
            for place in self.cycle_directory(cycle).glob("checkpoint-*"):
                if place != self._checkpoint(cycle, keep):
                    shutil.rmtree(place)
