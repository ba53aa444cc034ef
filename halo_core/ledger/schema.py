"""The tables of `ledger.db`, the migration of databases of earlier versions, and opening a database.

SQLite in WAL mode, synced at each commit. SQLite's errors are raised as a `RunError` with one clear line.
"""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from halo_core.errors import RunError, file_limit, too_large
from halo_core.files import damaged, disk_error, reading

_APPLICATION = 0x68616C6F  # "halo"; `file ledger.db` shows it

_TABLES = """
CREATE TABLE prompts (        -- as read when the run started
    id INTEGER PRIMARY KEY,   -- in the order of the file, training prompts first
    split TEXT NOT NULL,      -- train, heldout
    name TEXT NOT NULL UNIQUE,  -- Prompt.id
    body TEXT NOT NULL        -- JSON: text or messages, verifier, reference, meta
);
CREATE TABLE verifiers (      -- the verifiers of the verdicts, each with its fingerprint
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,       -- in the run
    fingerprint TEXT NOT NULL,
    place INTEGER,            -- position among the run's current verifiers; NULL: not one of them
    UNIQUE (name, fingerprint)
);
CREATE TABLE rounds (         -- one request to the generator
    id INTEGER PRIMARY KEY,
    cycle INTEGER NOT NULL,
    split TEXT NOT NULL,
    recipe TEXT NOT NULL,     -- see Run.request_hash; renamed below
    batches INTEGER NOT NULL, -- number of batches stored
    UNIQUE (cycle, split)
);
CREATE TABLE contexts (       -- prompts as the model saw them
    id INTEGER PRIMARY KEY,
    tokens BLOB NOT NULL UNIQUE
);
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,
    key BLOB UNIQUE,          -- of (prompt, text, fingerprint); NULL: changed by a plugin, or not conclusive
    verifier INTEGER REFERENCES verifiers,  -- NULL if key is
    status TEXT NOT NULL,
    stage TEXT NOT NULL,
    score REAL NOT NULL,
    warnings INTEGER NOT NULL,
    detail TEXT NOT NULL,
    cpu_seconds REAL NOT NULL,
    wall_seconds REAL NOT NULL,
    sandbox TEXT NOT NULL,
    integrity TEXT NOT NULL
);
CREATE TABLE completions (    -- in the order of sampling
    id INTEGER PRIMARY KEY,
    round INTEGER NOT NULL REFERENCES rounds,
    batch INTEGER NOT NULL,   -- from 0
    prompt INTEGER NOT NULL REFERENCES prompts,
    number INTEGER NOT NULL,  -- Completion.index
    text TEXT NOT NULL,       -- a blob if it is not Unicode (lone surrogates)
    context INTEGER NOT NULL REFERENCES contexts,
    tokens BLOB NOT NULL,     -- width of an id in bytes (1, 2, 4, 8), then the ids, little-endian
    finish TEXT NOT NULL,     -- stop, length
    logprob REAL,             -- sum over the tokens that the model wrote, nats; NULL: not recorded
    verdict INTEGER NOT NULL REFERENCES verdicts
);
CREATE INDEX completions_of_round ON completions (round);
CREATE INDEX completions_of_prompt ON completions (prompt);
CREATE TABLE rewards (
    completion INTEGER PRIMARY KEY REFERENCES completions,
    reward REAL NOT NULL
);
CREATE TABLE selections (     -- the completions trained on
    completion INTEGER PRIMARY KEY REFERENCES completions,
    weight REAL NOT NULL
);
CREATE TABLE trainings (      -- a row marks cycles/NNN/adapter as complete
    cycle INTEGER PRIMARY KEY,
    stats TEXT NOT NULL,      -- JSON: TrainStats
    adapter TEXT NOT NULL     -- SHA-256 of its files; renamed below
);
CREATE TABLE cycles (         -- a row marks the cycle as closed
    cycle INTEGER PRIMARY KEY,
    report TEXT NOT NULL      -- JSON: CycleReport
);
CREATE TABLE events (         -- events of the run, for people
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,       -- seconds since 1970
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
"""

_PROGRESS_WITHIN_CYCLE = """
CREATE TABLE seconds (        -- wall time, summed over all processes of the run
    cycle INTEGER NOT NULL,
    stage TEXT NOT NULL,      -- sample, train, heldout
    seconds REAL NOT NULL,
    PRIMARY KEY (cycle, stage)
);
CREATE TABLE checkpoints (    -- a row marks cycles/NNN/checkpoint-NUMBER as complete
    cycle INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,  -- counted from 1
    recipe TEXT NOT NULL,     -- SHA-256 of the training's inputs, computed by the trainer; renamed below
    digest TEXT NOT NULL      -- SHA-256 of its files; renamed below
);
"""

_PER_TOKEN_VALUES = """
ALTER TABLE completions ADD COLUMN logprobs BLOB;   -- float32 per token, little-endian; NULL: not recorded
ALTER TABLE completions ADD COLUMN loss_mask BLOB;  -- a byte per token, 1: the model wrote it; NULL: it wrote all
ALTER TABLE verdicts ADD COLUMN signals TEXT NOT NULL DEFAULT '{}';  -- JSON: named numbers
ALTER TABLE rounds RENAME COLUMN recipe TO request_hash;
ALTER TABLE checkpoints RENAME COLUMN recipe TO inputs_hash;
ALTER TABLE checkpoints RENAME COLUMN digest TO files_hash;
ALTER TABLE trainings RENAME COLUMN adapter TO weights_hash;
UPDATE events SET kind = 'started' WHERE id = 1;  -- every ledger's first event
"""


def _rename_fields(db: sqlite3.Connection) -> None:
    """Rename the fields of stored reports and statistics, and add `TrainStats.lr`."""
    lr: dict[int, float] = {}
    for cycle, text in db.execute("SELECT cycle, report FROM cycles").fetchall():
        report = json.loads(text)
        report["sampled"] = report.pop("rates", None)
        report["sampler_error"] = report.pop("canary", None)
        if report.get("train"):
            lr[cycle] = report["lr"]
            _rename_stats(report["train"], lr[cycle])
        db.execute("UPDATE cycles SET report = ? WHERE cycle = ?", (json.dumps(report), cycle))
    for cycle, text in db.execute("SELECT cycle, stats FROM trainings").fetchall():
        stats = json.loads(text)
        _rename_stats(stats, lr.get(cycle, stats["lr_peak"]))
        db.execute("UPDATE trainings SET stats = ? WHERE cycle = ?", (json.dumps(stats), cycle))


def _rename_stats(stats: dict[str, Any], lr: float) -> None:
    stats["logprob_shift"] = stats.pop("shift", None)
    stats["lr"] = lr


Migration = str | Callable[[sqlite3.Connection], None]
MIGRATIONS: tuple[tuple[Migration, ...], ...] = (
    (_TABLES,),
    (_PROGRESS_WITHIN_CYCLE,),
    (_PER_TOKEN_VALUES, _rename_fields),
)
"""`MIGRATIONS[n]` migrates version n to n + 1: SQL scripts and functions, in order. The SQL of a released entry never
changes; comments may."""


def connect(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open the database at `path` in the current version; with `create`, create it if it does not exist.

    The connection is read-only on a read-only disk. There, a database of an earlier version is copied into memory and
    the copy migrated. Raises a `RunError` for a file that is not a ledger, was written by a newer version of halo, or
    is damaged.
    """
    if not create and not path.exists():
        raise disk_error(path, os.strerror(errno.ENOENT))
    with sqlite(path):
        db = _open(path, create=create)
        try:
            with sqlite(path):  # an error is explained by the files, and closing removes the log
                if _version(db, path, create=create) < len(MIGRATIONS):
                    db = _migrated(db, path)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def sqlite(path: Path) -> Iterator[None]:
    """Raise SQLite's errors as a `RunError` with a hint."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _run_error(path, error) from error
    except UnicodeDecodeError as error:  # in a column that SQLite takes for text
        raise damaged(path, str(error)) from error


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Run the enclosed statements as one transaction, on the disk on exit and rolled back after an exception."""
    with sqlite(path), _transaction(db):
        yield


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # after some errors, a full disk for example, SQLite has already rolled back
            db.execute("ROLLBACK")
        raise


def merge_log(db: sqlite3.Connection) -> None:
    """Move the commits in the write-ahead log into the database file, unless a reader prevents it."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _open(path: Path, *, create: bool) -> sqlite3.Connection:
    def opened(query: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?{query}", uri=True, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -32000")  # kibibytes: the indices of a million samples
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return db

    try:
        db = opened("mode=rwc" if create else "mode=rw")
    except sqlite3.OperationalError:
        if create or path.with_name(path.name + "-wal").exists():
            raise
        return opened("immutable=1")  # on a read-only disk SQLite cannot create the log that WAL mode needs
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode = WAL")
    return db


def _version(db: sqlite3.Connection, path: Path, *, create: bool) -> int:
    """Return the version of the schema. Raises a `RunError` if this halo cannot read the database."""
    version = _number(db, "user_version")
    if version == 0 and not create:
        raise damaged(path, "it is not a ledger")
    if version and _number(db, "application_id") != _APPLICATION:
        raise damaged(path, "it is a database of another application")
    if version > len(MIGRATIONS):
        raise RunError(
            f"{path} was written by a newer version of halo (schema {version}; this one reads up to "
            f"{len(MIGRATIONS)})",
            hint="pip install --upgrade halo-core",
        )
    return version


def _migrated(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Return the database in the latest version: itself, or a migrated copy if it cannot be written."""
    try:
        _migrate(db, path)
    except sqlite3.OperationalError as error:
        if _code(error) != sqlite3.SQLITE_READONLY:
            raise
        return _migrated_copy(db, path)
    return db


def _migrate(db: sqlite3.Connection, path: Path) -> None:
    """Migrate the database to the latest version, in one transaction."""
    with _transaction(db):
        # read here, inside the transaction: another process may have migrated the database
        for number in range(_number(db, "user_version"), len(MIGRATIONS)):
            for step in MIGRATIONS[number]:
                if callable(step):
                    with reading(path):
                        step(db)
                    continue
                for statement in _statements(step):
                    db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _migrated_copy(db: sqlite3.Connection, path: Path) -> sqlite3.Connection:
    """Copy the database into memory, close it, and return the copy, migrated and read-only."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        db.backup(copy)
        db.close()
        _migrate(copy, path)
        copy.execute("PRAGMA query_only = ON")  # a write into memory would be lost
    except BaseException:
        copy.close()
        raise
    return copy


def _statements(script: str) -> Iterator[str]:
    """Split a script into statements: `executescript` would commit first, and a migration must be one transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


def _code(error: sqlite3.DatabaseError) -> int:
    """Return the primary result code of an error; 255 if it does not come from SQLite itself."""
    return getattr(error, "sqlite_errorcode", -1) & 0xFF


_REASONS: dict[int, Callable[[Path], RunError]] = {
    sqlite3.SQLITE_FULL: lambda path: disk_error(path, os.strerror(errno.ENOSPC)),
    sqlite3.SQLITE_IOERR: lambda path: disk_error(path, os.strerror(errno.EIO)),
    sqlite3.SQLITE_READONLY: lambda path: disk_error(path, os.strerror(errno.EROFS)),
    sqlite3.SQLITE_CANTOPEN: lambda path: disk_error(path, "it cannot be opened"),
    sqlite3.SQLITE_PERM: lambda path: disk_error(path, os.strerror(errno.EACCES)),
    sqlite3.SQLITE_BUSY: lambda path: RunError(
        f"{path} is in use by another process", hint="wait for it, or stop it"
    ),
}
_INDEX_BYTES = 32768
"""Bytes by which the index of the write-ahead log grows, see https://sqlite.org/walformat.html."""
_INDEX_ERRORS = (
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
    sqlite3.SQLITE_IOERR_SHMLOCK,
)
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _at_limit(path: Path, error: sqlite3.DatabaseError) -> Path | None:
    """Return the file that SQLite could not write because of the shell's limit on the size of a file."""
    limit = file_limit()
    if limit is None or _code(error) not in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
        return None
    log, index = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    if limit < _INDEX_BYTES or getattr(error, "sqlite_errorcode", 0) in _INDEX_ERRORS:
        return index
    # the write that fails leaves a file that ends at the limit or beyond
    return next((file for file in (log, path) if file.exists() and file.stat().st_size >= limit), None)


def _run_error(path: Path, error: sqlite3.DatabaseError) -> RunError:
    if limited := _at_limit(path, error):
        return disk_error(limited, too_large())
    code = _code(error)
    if code in _REASONS:
        return _REASONS[code](path)
    if code in _DAMAGE:
        return damaged(path, str(error))
    return RunError(
        f"SQLite rejected a query on {path}: {error}",
        hint="the file is intact: this is a bug in halo or in a plugin; --debug shows where",
    )
