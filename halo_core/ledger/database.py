"""The connection to the database of a run, shared by all threads."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from halo_core.errors import RunError
from halo_core.ledger import schema
from halo_core.ledger.directory import DATABASE, RunDirectory


class RunDatabase(RunDirectory):
    """A run directory with its database, opened when it is first needed."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._lock = threading.RLock()  # worker threads look up and store verdicts
        self._open: sqlite3.Connection | None = None

    def close(self) -> None:
        """Close the database; it is reopened when needed."""
        with self._lock:
            if self._open is not None:
                self._open.close()
            self._open = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for reading."""
        with schema.sqlite(self.path):
            yield self._connection()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection for one transaction, which is on the disk on exit and rolled back after an exception."""
        with self._lock:
            try:
                with schema.transaction(self._connection(), self.path):
                    yield self._connection()
            except BaseException:  # the commit can fail, too
                self._rolled_back()
                raise

    def _rolled_back(self) -> None:
        """Drop cached rows that a rolled-back transaction may have written."""
        return

    def _merge_log(self) -> None:
        """Merge the write-ahead log, so that a lost or damaged log costs no more than the current cycle."""
        with self._lock, self.reading() as db:
            schema.merge_log(db)

    def _create(self) -> None:
        """Replace the database by an empty one."""
        self.close()
        self._clear()
        self._open = schema.connect(self.path, create=True)

    def _connection(self) -> sqlite3.Connection:
        with self._lock:
            if self._open is None:
                if not self.path.exists() and (self.directory / "prompts.jsonl").exists():
                    raise RunError(
                        f"{self.directory} has no {DATABASE}: an early version of halo wrote it in JSON Lines",
                        hint="start a new run with another --output",
                    )
                self._open = schema.connect(self.path)
            return self._open
