"""SQLite in the sandbox: in-memory databases and read-only queries on them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any

from halo_verifier_sql import cells
from halo_verifier_sql.worker import (
    Caps,
    Contents,
    Description,
    Outcome,
    insert_all,
    insert_statement,
    quote,
    serve,
)

_HEAP = 384 << 20
"""Maximum bytes of memory that SQLite uses in one process, for all databases together."""
_MAX_VALUE = 1_000_000_000
"""Maximum bytes of a value while contents are read: SQLite's own limit."""
_TICK = 10_000
"""Instructions of the virtual machine between two checks of the step limit."""
_LIMITS = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 100_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 200,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 50_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 64,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_CLOCKS = ("date", "time", "datetime", "julianday", "unixepoch", "strftime")
_FUNCTIONS = frozenset(
    """
    abs char coalesce concat concat_ws format glob hex unhex ifnull iif if instr length octet_length like likelihood
    likely unlikely lower ltrim max min nullif printf quote replace round rtrim sign soundex substr substring
    trim typeof unicode upper zeroblob acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp
    floor ln log log10 log2 mod pi pow power radians sin sinh sqrt tan tanh trunc
    avg count group_concat string_agg sum total median percentile percentile_cont percentile_disc
    row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
    json json_array json_array_length json_extract json_insert json_object json_patch json_quote json_remove
    json_replace json_set json_type json_valid json_group_array json_group_object json_each json_tree -> ->>
    """.split()  # noqa: SIM905 - more readable than a list
) | frozenset(_CLOCKS)
"""Allowed functions: deterministic and without access to anything outside. Date functions are wrapped by `_clock`."""
_TABLE_FUNCTIONS = frozenset({"json_each", "json_tree"})
_unguarded = sqlite3.connect(":memory:", isolation_level=None)
_SYSTEM = frozenset(name for (name,) in _unguarded.execute("SELECT name FROM pragma_module_list"))


def main(key: str, queries: Sequence[str] | None, caps: Sequence[int]) -> Any:
    """Answer a call from the host; see `worker.serve`."""
    return serve(SQLiteDatabase, key, queries, caps)


class SQLiteDatabase:
    """An in-memory database, immutable once built."""

    def __init__(self, description: Description) -> None:
        db = sqlite3.connect(":memory:", isolation_level=None, cached_statements=0)
        self._db = db
        db.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
        for name in _CLOCKS:
            db.create_function(name, -1, self._clock(name), deterministic=True)
        db.executescript(description["schema"])
        if db.in_transaction:
            db.execute("COMMIT")
        self._fill(description)
        self._tables = {name.lower() for (name,) in db.execute(_NAMES.format("'table', 'view'"))}
        self._steps_left = 0
        pages, page = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
        self.size: int = pages * page
        self._reads = False
        self._denied = ""
        for pragma in (
            "query_only = 1",
            "temp_store = 2",
            "trusted_schema = 0",
            f"hard_heap_limit = {_HEAP}",
        ):
            db.execute(f"PRAGMA {pragma}").fetchall()
        # Copies return unordered rows in a different order, so that a query cannot rely on it by luck.
        db.execute(f"PRAGMA reverse_unordered_selects = {int(description['copy'])}")
        for limit, value in _LIMITS.items():
            db.setlimit(limit, value)
        # These table functions are set up on first use, which must happen before the authorizer is active.
        db.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").fetchall()
        self._guard()

    def contents(self) -> Contents:
        """Return the contents of all tables, without generated columns."""
        db = self._db
        db.set_authorizer(None)
        db.set_progress_handler(None, 0)
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        contents: Contents = {}
        for (name,) in db.execute(_NAMES.format("'table'")).fetchall():
            columns = self._columns(name)
            names = ", ".join(map(quote, columns))
            rows = db.execute(f"SELECT {names} FROM {quote(name)}").fetchall()
            references = [row[3] for row in db.execute(f"PRAGMA foreign_key_list({quote(name)})")]
            contents[name] = (columns, [list(row) for row in rows], references)
        self._guard()
        return contents

    def run(self, sql: str, caps: Caps) -> Outcome:
        """Run one read-only query; see `worker.Database`."""
        self._steps_left = caps.steps
        self._reads, self._denied = False, ""
        self._db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, max(caps.bytes, 1000))
        try:
            cursor = self._db.execute(sql)
            if cursor.description is None:
                return "invalid", [], "not a query", False
            columns = [column[0] for column in cursor.description]
            rows = cursor.fetchmany(caps.rows + 1)
            cursor.close()
            text = cells.encode(rows) if len(rows) <= caps.rows else ""
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError) as error:
            return self._problem(sql, error)
        if len(rows) > caps.rows:
            return "limit", [], f"more than {caps.rows} rows", self._reads
        if len(text) > caps.bytes:
            return "limit", [], f"more than {caps.bytes} bytes", self._reads
        return "rows", columns, text, self._reads

    def _guard(self) -> None:
        self._db.set_authorizer(self._authorize)
        self._db.set_progress_handler(self._tick, _TICK)

    def _problem(self, sql: str, error: Exception) -> Outcome:
        """Return the outcome of a query that raised `error`."""
        reason = f"{error}"[:200]
        code = getattr(error, "sqlite_errorcode", None)
        if self._denied:
            return "forbidden", [], self._denied, False
        if isinstance(error, sqlite3.Warning) or "one statement" in reason:
            return "forbidden", [], "more than one statement", False
        if isinstance(error, MemoryError):
            return "limit", [], "memory", self._reads
        if self._steps_left <= 0:
            return "limit", [], "steps", self._reads
        if code == sqlite3.SQLITE_TOOBIG and len(sql) < 50_000:
            return "limit", [], "a value is too long", self._reads
        if code in (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH) and self._compiles(sql):
            return "failed", [], reason, self._reads
        return "invalid", [], reason, False

    def _compiles(self, sql: str) -> bool:
        try:
            self._db.execute(f"EXPLAIN {sql}").close()
        except (sqlite3.Error, MemoryError):
            return False
        return True

    def _authorize(
        self, action: int, first: str | None, second: str | None, database: str | None, view: str | None
    ) -> int:
        if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE):
            return sqlite3.SQLITE_OK
        name = ((second if action == sqlite3.SQLITE_FUNCTION else first) or "").lower()
        if action == sqlite3.SQLITE_FUNCTION and name in _FUNCTIONS:
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and name in self._tables:
            self._reads = True
            return sqlite3.SQLITE_OK
        if action == sqlite3.SQLITE_READ and (
            name in _TABLE_FUNCTIONS or (not second and not _is_system(name))
        ):
            return sqlite3.SQLITE_OK  # a read without a column may concern a common table expression
        self._denied = self._denied or f"{_ACTIONS.get(action, 'not a query')} {name}".strip()
        return sqlite3.SQLITE_DENY

    def _tick(self) -> bool:
        self._steps_left -= _TICK
        return self._steps_left <= 0

    def _fill(self, description: Description) -> None:
        db = self._db
        if not description["copy"]:
            for table, (_, rows) in description["rows"].items():
                for row in rows:
                    db.execute(insert_statement(table, None, len(row)), row)
            return
        names = {table: columns for table, (columns, _) in description["rows"].items()}
        db.execute("PRAGMA foreign_keys = 0")
        for table in names:
            db.execute(f"DELETE FROM {quote(table)}")
        db.execute("PRAGMA foreign_keys = 1")

        def insert(table: str, row: Sequence[Any]) -> bool:
            try:
                db.execute(insert_statement(table, names[table], len(row)), row)
            except (sqlite3.Error, UnicodeEncodeError):
                return False
            return True

        insert_all(insert, description["rows"])

    def _clock(self, name: str) -> Callable[..., Any]:
        """Return the date function `name`, wrapped so that it cannot read the clock."""

        def function(*arguments: Any) -> Any:
            index = 1 if name == "strftime" else 0
            moment = arguments[index] if len(arguments) > index else "now"
            if isinstance(moment, bytes):
                moment = moment.decode("utf-8", "replace")
            if isinstance(moment, str) and moment.strip(" \t\r\n\0").lower().startswith(("now", "subsec")):
                self._denied = "may not read the clock"
                raise ValueError(self._denied)
            parameters = ", ".join("?" * len(arguments))
            return _unguarded.execute(f"SELECT {name}({parameters})", arguments).fetchone()[0]

        return function

    def _columns(self, table: str) -> list[str]:
        info = self._db.execute(f"PRAGMA table_xinfo({quote(table)})").fetchall()
        return [row[1] for row in info if row[6] == 0]


_NAMES = "SELECT name FROM sqlite_master WHERE type IN ({}) AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_ACTIONS = {sqlite3.SQLITE_FUNCTION: "may not call", sqlite3.SQLITE_READ: "may not read"}


def _is_system(name: str) -> bool:
    return name.startswith(("sqlite_", "pragma_")) or name in _SYSTEM
