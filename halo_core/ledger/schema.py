"""The tables of `ledger.db`, how a database of an earlier version is brought up to date, and opening one.

SQLite in WAL mode, synced at each commit. What SQLite raises becomes a `RunError` with one clear line.
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

from halo_core.errors import RunError
from halo_core.files import damaged, refused

_APPLICATION = 0x68616C6F  # "halo"; `file ledger.db` shows it

_TABLES = """
CREATE TABLE prompts (        -- as they were read when the run began
    id INTEGER PRIMARY KEY,   -- in the order of the file, training prompts first
    split TEXT NOT NULL,      -- train, heldout
    name TEXT NOT NULL UNIQUE,  -- Prompt.id
    body TEXT NOT NULL        -- JSON: text or messages, verifier, reference, meta
);
CREATE TABLE verifiers (      -- who has judged, each with what its verdicts depend on
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,       -- as the run calls it
    fingerprint TEXT NOT NULL,
    place INTEGER,            -- position among those that the run uses now; NULL: not any more, or never
    UNIQUE (name, fingerprint)
);
CREATE TABLE rounds (         -- one request to the generator
    id INTEGER PRIMARY KEY,
    cycle INTEGER NOT NULL,
    split TEXT NOT NULL,
    recipe TEXT NOT NULL,     -- SHA-256 of all that its completions follow from: seeds, weights, options
    batches INTEGER NOT NULL, -- so many are here
    UNIQUE (cycle, split)
);
CREATE TABLE contexts (       -- prompts as the model saw them
    id INTEGER PRIMARY KEY,
    tokens BLOB NOT NULL UNIQUE
);
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,
    key BLOB UNIQUE,          -- of (prompt, text, fingerprint); NULL: changed by a plugin, or no pass or fail
    verifier INTEGER REFERENCES verifiers,  -- NULL where key is
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
CREATE TABLE completions (    -- in the order in which they were sampled
    id INTEGER PRIMARY KEY,
    round INTEGER NOT NULL REFERENCES rounds,
    batch INTEGER NOT NULL,   -- from 0
    prompt INTEGER NOT NULL REFERENCES prompts,
    number INTEGER NOT NULL,  -- Completion.index
    text TEXT NOT NULL,       -- a blob where it is not Unicode (lone surrogates)
    context INTEGER NOT NULL REFERENCES contexts,
    tokens BLOB NOT NULL,     -- width of an id in bytes (1, 2, 4, 8), then the ids, little-endian
    finish TEXT NOT NULL,     -- stop, length
    logprob REAL,
    verdict INTEGER NOT NULL REFERENCES verdicts
);
CREATE INDEX completions_of_round ON completions (round);
CREATE INDEX completions_of_prompt ON completions (prompt);
CREATE TABLE rewards (
    completion INTEGER PRIMARY KEY REFERENCES completions,
    reward REAL NOT NULL
);
CREATE TABLE selections (     -- what was trained on
    completion INTEGER PRIMARY KEY REFERENCES completions,
    weight REAL NOT NULL
);
CREATE TABLE trainings (      -- a row says that cycles/NNN/adapter is whole
    cycle INTEGER PRIMARY KEY,
    stats TEXT NOT NULL,      -- JSON: TrainStats
    adapter TEXT NOT NULL     -- SHA-256 of its files
);
CREATE TABLE cycles (         -- a row closes the cycle
    cycle INTEGER PRIMARY KEY,
    report TEXT NOT NULL      -- JSON: CycleReport
);
CREATE TABLE events (         -- what happened to the run, for people
    id INTEGER PRIMARY KEY,
    time REAL NOT NULL,       -- seconds since 1970
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
);
"""

_WITHIN_A_CYCLE = """
CREATE TABLE seconds (        -- wall time, over all processes that worked at it
    cycle INTEGER NOT NULL,
    stage TEXT NOT NULL,      -- sample, train, heldout
    seconds REAL NOT NULL,
    PRIMARY KEY (cycle, stage)
);
CREATE TABLE checkpoints (    -- a row says that cycles/NNN/checkpoint-NUMBER is whole
    cycle INTEGER PRIMARY KEY,
    number INTEGER NOT NULL,  -- counted from 1
    recipe TEXT NOT NULL,     -- of the training that it belongs to, as the trainer says
    digest TEXT NOT NULL      -- SHA-256 of its files
);
"""

_PER_TOKEN = """
ALTER TABLE completions ADD COLUMN logprobs BLOB;   -- float32, little-endian, one a token; NULL: not recorded
ALTER TABLE completions ADD COLUMN loss_mask BLOB;  -- a byte a token, 1: the model wrote it; NULL: it wrote all
ALTER TABLE verdicts ADD COLUMN signals TEXT NOT NULL DEFAULT '{}';  -- JSON: named numbers
ALTER TABLE rounds RENAME COLUMN recipe TO request_hash;
ALTER TABLE checkpoints RENAME COLUMN recipe TO inputs_hash;
ALTER TABLE checkpoints RENAME COLUMN digest TO files_hash;
ALTER TABLE trainings RENAME COLUMN adapter TO weights_hash;
"""


def _rename_fields(db: sqlite3.Connection) -> None:
    """Give the fields of stored statistics and reports the names that they have since version 3."""
    for cycle, text in db.execute("SELECT cycle, report FROM cycles").fetchall():
        report = json.loads(text)
        report["sampled"] = report.pop("rates", None)
        report["sampler_error"] = report.pop("canary", None)
        if report.get("train"):
            _rename_stats(report["train"], report["lr"])
        db.execute("UPDATE cycles SET report = ? WHERE cycle = ?", (json.dumps(report), cycle))
        db.execute(_STATS, (json.dumps(report["train"]), cycle))
    for cycle, text in db.execute(_TRAINED_ONLY).fetchall():
        stats = json.loads(text)
        _rename_stats(stats, stats["lr_peak"])
        db.execute(_STATS, (json.dumps(stats), cycle))


def _rename_stats(stats: dict[str, Any], lr: float) -> None:
    stats["logprob_shift"] = stats.pop("shift", None)
    stats["lr"] = lr


_STATS = "UPDATE trainings SET stats = ? WHERE cycle = ?"
_TRAINED_ONLY = "SELECT cycle, stats FROM trainings WHERE cycle NOT IN (SELECT cycle FROM cycles)"

Migration = str | Callable[[sqlite3.Connection], None]
MIGRATIONS: tuple[tuple[Migration, ...], ...] = ((_TABLES,), (_WITHIN_A_CYCLE,), (_PER_TOKEN, _rename_fields))
"""`MIGRATIONS[n]` brings version n to n + 1: SQL scripts and functions, in order. Released entries never change."""

Migrations = tuple[tuple[Migration, ...], ...]


def connect(path: Path, *, create: bool = False, migrations: Migrations | None = None) -> sqlite3.Connection:
    """Open the database at `path`, up to date; with `create`, make it where there is none.

    It can be written where the disk can. Raises a `RunError` for a file that is no ledger, one of a newer
    halo, or one that is damaged.
    """
    migrations = MIGRATIONS if migrations is None else migrations
    if not create and not path.exists():
        raise refused(path, os.strerror(errno.ENOENT))
    with sqlite(path):
        db = _open(path, create=create)
        try:
            _bring_up_to_date(db, path, migrations, create=create)
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def sqlite(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into a `RunError` that says what to do."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise _complaint(path, error) from error
    except UnicodeDecodeError as error:  # of what SQLite took for text
        raise damaged(path, str(error)) from error


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Enclose changes that are on the disk together when this returns, or not there at all."""
    with sqlite(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:  # SQLite itself gives up after a full disk
                db.execute("ROLLBACK")
            raise


def settle(db: sqlite3.Connection) -> None:
    """Bring what was committed out of the log into the database itself, unless a reader is in the way."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _open(path: Path, *, create: bool) -> sqlite3.Connection:
    def opened(query: str) -> sqlite3.Connection:
        db = sqlite3.connect(
            f"{path.resolve().as_uri()}?{query}", uri=True, isolation_level=None, check_same_thread=False
        )
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA cache_size = -32000")  # kibibytes; the indices of a million samples
        db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        return db

    try:
        db = opened("mode=rwc" if create else "mode=rw")
    except sqlite3.OperationalError:
        if create or path.with_name(path.name + "-wal").exists():
            raise
        return opened("immutable=1")  # a disk that cannot be written, where a WAL would have to be made
    if db.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        db.execute("PRAGMA journal_mode = WAL")
    return db


def _bring_up_to_date(db: sqlite3.Connection, path: Path, migrations: Migrations, *, create: bool) -> None:
    version, latest = _number(db, "user_version"), len(migrations)
    if version == 0 and not create:
        raise damaged(path, "it holds no ledger")
    if version and _number(db, "application_id") != _APPLICATION:
        raise damaged(path, "it is a database, but not of halo")
    if version > latest:
        raise RunError(
            f"{path} was written by a newer halo (schema {version}; this one knows up to {latest})",
            hint="pip install --upgrade halo-core",
        )
    if version == latest:
        return
    with transaction(db, path):
        for number in range(_number(db, "user_version"), latest):  # another process may have been faster
            for step in migrations[number]:
                if callable(step):
                    step(db)
                    continue
                for statement in _statements(step):
                    db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION}")
        db.execute(f"PRAGMA user_version = {latest}")


def _statements(script: str) -> Iterator[str]:
    """Split a script: `executescript` would commit before it, and half a migration must not stay."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _number(db: sqlite3.Connection, pragma: str) -> int:
    return int(db.execute(f"PRAGMA {pragma}").fetchone()[0])


_REASONS: dict[int, Callable[[Path], RunError]] = {
    sqlite3.SQLITE_FULL: lambda path: refused(path, os.strerror(errno.ENOSPC)),
    sqlite3.SQLITE_IOERR: lambda path: refused(path, os.strerror(errno.EIO)),
    sqlite3.SQLITE_READONLY: lambda path: refused(path, os.strerror(errno.EROFS)),
    sqlite3.SQLITE_CANTOPEN: lambda path: refused(path, "it cannot be opened"),
    sqlite3.SQLITE_PERM: lambda path: refused(path, os.strerror(errno.EACCES)),
    sqlite3.SQLITE_BUSY: lambda path: RunError(
        f"{path} is in use by another process", hint="wait for it, or stop it"
    ),
}


_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _complaint(path: Path, error: sqlite3.DatabaseError) -> RunError:
    code = getattr(error, "sqlite_errorcode", -1) & 0xFF
    if code in _REASONS:
        return _REASONS[code](path)
    if code in _DAMAGE:
        return damaged(path, str(error))
    return RunError(
        f"halo asked {path} for something that SQLite refuses: {error}",
        hint="the file can be read: this is a fault of halo's own, or of a plugin; --debug shows where",
    )
