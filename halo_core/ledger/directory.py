"""The files of a run directory beside the database, and the lock on it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml

from halo_core import files
from halo_core.errors import RunError

DATABASE = "ledger.db"
_INITIAL_FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", "plugins.json", "machine.json", "run.yaml")
"""Files written when a run starts, in this order."""


def _acquired(path: Path) -> IO[str] | None:
    """Return the file `path`, locked; None if another process has locked it.

    Retries for 0.2 seconds: `in_use` holds the lock for a moment, and a run that did not start removes the file.
    """
    for _ in range(20):
        lock = path.open("w")
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                return lock
        lock.close()
        time.sleep(0.01)
    return None


class RunDirectory:
    """The directory of a run. Every method raises a `RunError` after a failed disk operation."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @property
    def exists(self) -> bool:
        """True if the directory contains a run."""
        return (self.directory / "run.yaml").is_file()

    @property
    def path(self) -> Path:
        """The path of the database."""
        return self.directory / DATABASE

    def check_unused(self) -> None:
        """Raise a `RunError` unless a run can start here: empty, or with files of a start that was killed."""
        if not self.directory.exists():
            return
        with files.disk(self.directory):
            names = {path.name.removesuffix(".partial") for path in self.directory.iterdir()}
        if names - {".lock", *_INITIAL_FILES}:
            raise RunError(
                f"{self.directory} is not empty and contains no run",
                hint="choose another directory with --output",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the directory against other processes; a killed process releases the lock."""
        with files.disk(self.directory):
            is_new = not self.directory.exists()
            files.make_directory(self.directory)
            before = {path.name for path in self.directory.iterdir()}
            lock = _acquired(self.directory / ".lock")
        if lock is None:
            raise RunError(f"{self.directory} is in use by another process", hint="wait for it, or stop it")
        with lock:
            try:
                yield
            finally:
                self.close()
                if not self.exists:  # the run did not start: leave no files behind
                    with suppress(OSError):
                        for name in {".lock", *_INITIAL_FILES} - before:
                            (self.directory / name).unlink(missing_ok=True)
                        if is_new:
                            self.directory.rmdir()

    @property
    def in_use(self) -> bool:
        """True if another process has locked the directory."""
        try:
            with (self.directory / ".lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close open files; they are reopened when needed."""
        return

    # Description of the run

    def config(self) -> dict[str, Any]:
        """Return the resolved configuration of the run."""
        path = self.directory / "run.yaml"
        with files.reading(path):
            loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
            if not isinstance(loaded, dict):
                raise ValueError("not a mapping")
        return loaded

    def machine(self) -> dict[str, Any]:
        """Return the recorded environment: versions, hashes of inputs, sandbox tier."""
        return dict(self._json("machine.json", dict))

    def plugins(self) -> list[dict[str, Any]]:
        """Return every driver and plugin: kind, name, distribution, version, target, options."""
        return list(self._json("plugins.json", list))

    def write_plugins(self, plugins: Sequence[Any]) -> None:
        """Record the drivers and plugins that the run uses from now on."""
        files.write(self.directory / "plugins.json", json.dumps(plugins, indent=2) + "\n")

    def write_machine(self, machine: Mapping[str, Any]) -> None:
        """Record the environment that the run uses from now on."""
        files.write(self.directory / "machine.json", json.dumps(dict(machine), indent=2) + "\n")

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Record the configuration that the run uses from now on."""
        text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
        files.write(self.directory / "run.yaml", text)

    def _clear(self) -> None:
        """Create the directory, and remove the database of a start that was killed."""
        files.make_directory(self.directory)
        with files.disk(self.directory):
            for name in (name for name in _INITIAL_FILES if name.startswith(DATABASE)):
                (self.directory / name).unlink(missing_ok=True)
            files.sync(self.directory.parent)

    def describe(self, config: Mapping[str, Any], plugins: Sequence[Any], machine: Mapping[str, Any]) -> None:
        """Write the description of the run; `run.yaml` last, since its presence marks a run."""
        self.write_plugins(plugins)
        self.write_machine(machine)
        self.write_config(config)

    def _json(self, name: str, kind: type) -> Any:
        path = self.directory / name
        if not path.is_file():
            return kind()
        with files.reading(path):
            loaded = json.loads(path.read_bytes())
            if not isinstance(loaded, kind):
                raise ValueError(f"not a {kind.__name__}")
        return loaded

    # Cycles

    def cycle_directory(self, cycle: int) -> Path:
        """Return the directory of the files of `cycle`."""
        return self.directory / "cycles" / f"{cycle:03d}"

    def adapter(self, cycle: int) -> Path:
        """Return the directory of the weights that `cycle` trained."""
        return self.cycle_directory(cycle) / "adapter"

    def remove_adapters(self, keep: Collection[int]) -> None:
        """Remove the weights of all cycles except `keep`, and those that a link in the run directory points to."""
        with files.disk(self.directory):
            linked = {path.resolve() for path in self.directory.iterdir() if path.is_symlink()}
            for directory in (self.directory / "cycles").glob("[0-9]*/adapter"):
                name = directory.parent.name
                if name.isdecimal() and int(name) not in keep and directory.resolve() not in linked:
                    partial = directory.with_name("adapter.partial")  # a kill must not leave half an adapter
                    shutil.rmtree(partial, ignore_errors=True)
                    directory.rename(partial)
                    shutil.rmtree(partial)

    def _checkpoint(self, cycle: int, number: int) -> Path:
        return self.cycle_directory(cycle) / f"checkpoint-{number}"

    def _remove_checkpoints(self, cycle: int, keep: int = 0) -> None:
        """Remove the checkpoints of `cycle` except number `keep`."""
        with files.disk(self.cycle_directory(cycle)):
            for directory in self.cycle_directory(cycle).glob("checkpoint-*"):
                if directory != self._checkpoint(cycle, keep):
                    shutil.rmtree(directory)
