"""Shared code of the engines, and the sandboxed service of SQLite and DuckDB that runs queries on databases.

The host names a set of databases by a key and sends its description only on request, once per process.
Expected results never enter this process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cachetools import LRUCache

from halo_core.sandbox.service import ask

_CACHE_BYTES = 384 << 20
"""Bytes of databases that a process keeps for later calls; the latest set is kept whatever its size."""

Description = Mapping[str, Any]
"""A database: `schema` (a script), `rows` (by table: columns or None, and rows), `copy` (whether the rows
replace those that the script inserted; rows that violate a constraint are then skipped)."""
Declared = dict[str, list[Any]]
"""Declarations of the schema about a table, in plain data: `types`, a type name for each column; `required`, whether
a column must not be NULL; `unique`, lists of columns; `references`, a list of columns, the table that they refer
to and its columns for each foreign key; `checks`, the text of CHECK constraints."""
Contents = dict[str, tuple[list[str], list[list[Any]], Declared]]
"""Contents by table: its columns, its rows, and what the schema declares."""
Outcome = tuple[str, list[str], str, bool]
"""The outcome of a query: its kind (`rows`, `invalid`, `forbidden`, `failed`, `limit`), the column names, the
canonical text of the rows or the reason, and whether the query read a table."""


Row = Sequence[Any]
_AT_ONCE = 512
"""Maximum number of values in a statement that inserts several rows."""


@dataclass(frozen=True, slots=True)
class Caps:
    """Limits of one query on one database."""

    steps: int
    """Instructions of the engine's virtual machine; ignored by engines without one."""
    rows: int
    bytes: int
    """Maximum length of the canonical text of the result, and of any single value."""


class Database(Protocol):
    """A built database of some engine."""

    size: int
    """Approximate memory use in bytes."""

    def contents(self) -> Contents:
        """Return the contents of all tables."""

    def run(self, sql: str, caps: Caps) -> Outcome:
        """Run one read-only query."""

    def close(self) -> None:
        """Free the memory of the database, which is not used again."""


class _Sets(LRUCache[str, list[Database]]):
    """Closes the databases that it drops, which the garbage collector would free too late for the memory limit."""

    def popitem(self) -> tuple[str, list[Database]]:
        """Drop the set that was used least recently."""
        key, dropped = super().popitem()
        _close_all(dropped)
        return key, dropped


def new_cache(size: int) -> LRUCache[str, list[Database]]:
    """Return a cache for sets of databases of `size` bytes; a larger set is accepted and then kept alone."""
    return _Sets(size, getsizeof=lambda kept: min(size, sum(database.size for database in kept)))


_sets = new_cache(_CACHE_BYTES)


def serve(
    build: Callable[[Description], Database], key: str, queries: Sequence[str] | None, caps: Sequence[int]
) -> Any:
    """Run each of `queries` on each database of the set `key`; return the contents if `queries` is None."""
    databases = _sets.get(key)
    if databases is None:
        described: Any = ask(key)
        databases = _sets[key] = _build_all(build, described)
    if queries is None:
        return [database.contents() for database in databases]
    limits = Caps(*caps)
    return [_run_on_all(sql, databases, limits) for sql in queries]


def _build_all(build: Callable[[Description], Database], described: Sequence[Description]) -> list[Database]:
    built: list[Database] = []
    try:
        built.extend(build(description) for description in described)
    except BaseException:
        _close_all(built)
        raise
    return built


def _close_all(databases: Sequence[Database]) -> None:
    for database in databases:
        database.close()


def _run_on_all(sql: str, databases: Sequence[Database], caps: Caps) -> list[Outcome]:
    """Run a query on each database; after a limit, skip the others, where it would exceed the limit too."""
    outcomes: list[Outcome] = []
    for database in databases:
        outcomes.append(database.run(sql, caps))
        if outcomes[-1][0] == "limit":
            outcomes += [outcomes[-1]] * (len(databases) - len(outcomes))
            break
    return outcomes


def insert_all(
    insert: Callable[[str, Sequence[Row]], bool],
    rows: Mapping[str, tuple[Any, Sequence[Row]]],
    *,
    at_once: int = _AT_ONCE,
) -> None:
    """Insert every row that the constraints allow, in as many rounds as references between rows require.

    `insert` takes a table and rows of at most `at_once` values, or one row. It inserts all of them and returns True, or
    none and returns False. Many rows at once are several times faster.
    """
    waiting = {table: rows_of for table, (_, rows_of) in rows.items()}
    while any(waiting.values()):
        rejected = {table: _insert(insert, table, rows_of, at_once) for table, rows_of in waiting.items()}
        if sum(map(len, rejected.values())) == sum(map(len, waiting.values())):
            return
        waiting = rejected


def _insert(
    insert: Callable[[str, Sequence[Row]], bool], table: str, rows: Sequence[Row], at_once: int
) -> Sequence[Row]:
    """Insert the rows that the constraints allow, in order; return the others."""
    if not rows:
        return ()
    if (len(rows) == 1 or len(rows) * len(rows[0]) <= at_once) and insert(table, rows):
        return ()
    if len(rows) == 1:
        return rows
    middle = len(rows) // 2
    return [row for half in (rows[:middle], rows[middle:]) for row in _insert(insert, table, half, at_once)]


def quote(name: str) -> str:
    """Return a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def insert_statement(table: str, columns: Sequence[str] | None, width: int, rows: int = 1) -> str:
    """Return an INSERT of `rows` rows with `width` parameters each."""
    names = f" ({', '.join(map(quote, columns))})" if columns else ""
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {quote(table)}{names} VALUES {', '.join([row] * rows)}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
