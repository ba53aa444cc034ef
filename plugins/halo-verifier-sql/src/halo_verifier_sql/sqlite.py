"""SQLite in the sandbox: in-memory databases and read-only queries on them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Any

from halo_verifier_sql import cells
from halo_verifier_sql.worker import (
    Caps,
    Contents,
    Declared,
    Description,
    Outcome,
    Row,
    insert_all,
    insert_statement,
    quote,
    serve,
)

_HEAP = 576 << 20
"""Maximum bytes of memory that SQLite uses in one process, for all databases together."""
_CONNECTION = 160 << 10
"""Approximate bytes of a connection besides its pages, as SQLite counts them: 120,000 for small objects (its lookaside
memory), which it reserves, and the schema."""
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
        self.size: int = pages * page + _CONNECTION
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

    def close(self) -> None:
        """Free the memory of the database."""
        self._db.close()

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
            contents[name] = (columns, [list(row) for row in rows], self._declared(name, columns))
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
            self._store_in_order_of_insertion(table)
        are_checked = self._can_check_foreign_keys(names)
        db.execute(f"PRAGMA foreign_keys = {int(are_checked)}")

        def insert(table: str, rows: Sequence[Row]) -> bool:
            (row,) = rows
            try:
                db.execute(insert_statement(table, names[table], len(row)), row)
            except (sqlite3.Error, UnicodeEncodeError, OverflowError):
                return False
            return True

        deferred = (
            "deferred" in description["schema"].lower()
        )  # constraints that fail at the end, not for each row
        if not deferred:
            db.execute("BEGIN")
        insert_all(
            insert, description["rows"], at_once=0
        )  # a schema may let a statement insert some of its rows
        if not deferred:
            db.execute("COMMIT")
        if not are_checked:
            self._delete_dangling(names)

    def _can_check_foreign_keys(self, tables: Iterable[str]) -> bool:
        """Return False if a foreign key refers to a missing table, or to columns that are not unique."""
        known = {table.lower() for table in tables}
        if any(target.lower() not in known for table in tables for _, target, _ in self._references(table)):
            return False
        try:
            self._db.execute("PRAGMA foreign_key_check").fetchall()
        except sqlite3.Error:
            return False
        return True

    def _delete_dangling(self, tables: Collection[str]) -> None:
        """Delete rows whose foreign keys match no row, as far as SQLite finds the columns."""
        for _ in tables:
            for table in tables:
                for columns, target, others in self._references(table):
                    pairs = zip(columns, others, strict=False)
                    matches = " AND ".join(
                        f"parent.{quote(other)} = {quote(table)}.{quote(own)}" for own, other in pairs
                    )
                    given = " AND ".join(f"{quote(own)} IS NOT NULL" for own in columns)
                    with suppress(sqlite3.Error):
                        self._db.execute(
                            f"DELETE FROM {quote(table)} WHERE {given} AND NOT EXISTS "
                            f"(SELECT 1 FROM {quote(target)} AS parent WHERE {matches})"
                        )

    def _store_in_order_of_insertion(self, table: str) -> None:
        """Make the type of a column INTEGER PRIMARY KEY INT in an empty table.

        Such a column is the number of its row, which means that the table is stored in the order of its keys, and a
        query without an ORDER BY returns rows in this order by luck.
        """
        db = self._db
        info = db.execute(f"PRAGMA table_info({quote(table)})").fetchall()
        keys = [row[1] for row in info if row[5] and row[2].upper() == "INTEGER"]
        made = db.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type <> 'table'",
            [table],
        ).fetchall()
        if len(keys) != 1 or sum(row[5] > 0 for row in info) != 1:
            return
        column = rf"([(,]\s*[\"`\[]?{re.escape(keys[0])}[\"`\]]?\s+)INTEGER\b"
        script = re.sub(column, r"\1INT", made[0][0], count=1, flags=re.IGNORECASE)
        db.execute("BEGIN")
        try:
            db.execute(f"DROP TABLE {quote(table)}")
            for statement in (script, *(statement for (statement,) in made[1:])):
                db.execute(statement)
            db.execute("COMMIT")
        except sqlite3.Error:
            db.execute("ROLLBACK")

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

    def _declared(self, table: str, columns: Sequence[str]) -> Declared:
        """Return what the schema declares about a table. Columns of a primary key count as required."""
        info = {row[1]: row for row in self._db.execute(f"PRAGMA table_xinfo({quote(table)})")}
        key = [name for name, row in sorted(info.items(), key=lambda item: item[1][5]) if row[5]]
        indexes = self._db.execute(f"PRAGMA index_list({quote(table)})").fetchall()
        unique = [
            [column for _, _, column in self._db.execute(f"PRAGMA index_info({quote(name)})")]
            for _, name, is_unique, _, is_partial in indexes
            if is_unique and not is_partial
        ]
        scripts = dict(
            self._db.execute("SELECT name, sql FROM sqlite_master WHERE type = 'table'").fetchall()
        )
        return {
            "types": [info[name][2] for name in columns],
            "required": [bool(info[name][3] or info[name][5]) for name in columns],
            "unique": [each for each in (*unique, key) if each and None not in each],
            "references": self._references(table),
            "checks": [scripts[table]] if "check" in scripts[table].lower() else [],
        }

    def _references(self, table: str) -> list[Any]:
        found: dict[int, tuple[str, list[str], list[str]]] = {}
        for number, _, target, column, other, *_ in self._db.execute(
            f"PRAGMA foreign_key_list({quote(table)})"
        ):
            _, columns, others = found.setdefault(number, (target, [], []))
            columns.append(column)
            others += [other] if other else []
        return [[columns, target, others] for target, columns, others in found.values()]


_NAMES = "SELECT name FROM sqlite_master WHERE type IN ({}) AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_ACTIONS = {sqlite3.SQLITE_FUNCTION: "may not call", sqlite3.SQLITE_READ: "may not read"}


def _is_system(name: str) -> bool:
    return name.startswith(("sqlite_", "pragma_")) or name in _SYSTEM
