"""PostgreSQL: the query runs on a server, in a transaction that is always rolled back.

Tables are made in a schema of their own within that transaction, so nothing is ever seen by others and nothing
is left. The query runs read-only, under a role of its own that may read these tables, where the user may make
roles; what it may call and read is decided before, from its syntax tree.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg
from psycopg import sql as parts
from psycopg.adapt import Loader

from halo_core import sandbox
from halo_core.errors import PluginError, VerifierError
from halo_core.sandbox.service import Service
from halo_verifier_sql import cells
from halo_verifier_sql.engines import Batch, Engine
from halo_verifier_sql.worker import Caps, Contents, Description, Found, insert_all

_TEXTS = frozenset({18, 19, 25, 1042, 1043})
"""Object identifiers of the types whose values are plain texts."""
_FIRST_OWN = 16384
"""From here on object identifiers are not the same on all databases: types of the prompt's own."""
_STABLE = frozenset(
    """
    age array_to_json array_to_string concat concat_ws date_part date_trunc extract format json_agg jsonb_agg
    json_build_array json_build_object jsonb_build_array jsonb_build_object json_object_agg jsonb_object_agg
    quote_literal quote_nullable row_to_json timezone to_char to_date to_json to_jsonb to_number to_timestamp
    generate_series
    """.split()  # noqa: SIM905 - a list that is meant to be read
)
"""Functions that depend on settings at most, which are the same for all; not on the time."""
_NOT = ("pg_", "lo_", "has_", "inet_", "tx", "current_", "set_")
_ALLOWED = """
    SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    GROUP BY proname HAVING bool_and(provolatile = 'i')
"""
_INVALID = ("42", "0A")
_LIMITS = {"57014": "the time is up", "53": "out of resources", "54": "too much"}
_serial = itertools.count()


class _Tagged:
    """A value whose text is that of another type too."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Json(_Tagged):
    """A JSON value, by its text."""


class Other(_Tagged):
    """A value of a type that is no text but is read as one."""


class _JsonLoader(Loader):
    def load(self, data: Any) -> Json:
        return Json(bytes(data).decode())


class PostgresEngine(Engine):
    """A server. Each call has a connection to itself."""

    def __init__(self, url: str, seconds: float, memory_bytes: int) -> None:
        self._url = url
        self._seconds = seconds
        self._vetting = Service(
            "halo_verifier_sql.vet:vet", limits=sandbox.Limits(cpu_seconds=seconds, memory_bytes=memory_bytes)
        )
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection[Any]] = []
        self._functions: frozenset[str] = frozenset()
        self._version = ""

    def run(
        self, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps, *, loading: bool
    ) -> Batch:
        """Run queries; see `Engine.run`."""
        begun = time.monotonic()
        vetted = [self._vetting.call(query) for query in queries]
        for reply in vetted:
            if not reply.ok:
                died = f"{reply.error}: {reply.message}" if reply.error else ""
                return Batch((), reply.limit or "", died, reply.inconclusive, tier=reply.tier)
        found: list[list[Found]] = [[] for _ in queries]
        with self._connection() as connection:
            for description in databases:
                if all(_hopeless(reply.value, found[at]) for at, reply in enumerate(vetted)):
                    break
                with _Database(connection, description, self._seconds * (10 if loading else 1)) as database:
                    for at, reply in enumerate(vetted):
                        found[at].append(database.run(reply.value, caps, self._functions))
        whole = [row + row[-1:] * (len(databases) - len(row)) for row in found]
        cpu = sum(reply.cpu_seconds for reply in vetted)
        return Batch(whole, cpu_seconds=cpu, wall_seconds=time.monotonic() - begun, tier="server")

    def contents(self, key: str, databases: Sequence[Description]) -> list[Contents]:
        """Return what the databases hold; see `Engine.contents`."""
        found = []
        with self._connection() as connection:
            for description in databases:
                with _Database(connection, description, 10 * self._seconds) as database:
                    found.append(database.contents())
        return found

    def version(self) -> str:
        """Return the server's version."""
        if not self._version:
            with self._connection():
                pass
        return self._version

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            connection.close()
            raise VerifierError(f"PostgreSQL: {_first_line(error)}") from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def _take(self) -> psycopg.Connection[Any]:
        """Return a connection that works: the server may have been restarted since the last call."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            with suppress(psycopg.Error):
                connection.execute("SELECT 1")
                return connection
            connection.close()
        return self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, prepare_threshold=None
            )
        except psycopg.Error as error:
            hint = "say where the server is: --verifier-opt url=postgresql://user@host/database"
            raise PluginError(f"no PostgreSQL server: {_first_line(error)}", hint=hint) from error
        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, _JsonLoader)
        names = connection.execute(_ALLOWED).fetchall()
        self._functions = frozenset(name for (name,) in names if not name.startswith(_NOT)) | _STABLE
        self._version = f"postgresql {connection.info.server_version}"
        return connection


def _hopeless(vetted: Any, found: list[Found]) -> bool:
    """Whether another database could show nothing new."""
    return bool(found) and (bool(vetted[0]) or found[-1][0] in ("invalid", "forbidden", "limit"))


class _Database:
    """Tables in a transaction, for as long as the `with` block lasts."""

    def __init__(self, connection: psycopg.Connection[Any], description: Description, seconds: float) -> None:
        self._db = connection
        self._description = description
        self._seconds = seconds
        self._name = f"halo_{os.getpid()}_{next(_serial)}"
        self._role = ""
        self._tables: set[str] = set()

    def __enter__(self) -> _Database:
        schema = parts.Identifier(self._name)
        self._db.execute("BEGIN")
        try:
            self._db.execute(f"SET LOCAL statement_timeout = {round(10_000 * self._seconds)}")
            self._db.execute("SET LOCAL TimeZone = 'UTC'")
            self._db.execute("SET LOCAL max_parallel_workers_per_gather = 0")
            self._db.execute(parts.SQL("CREATE SCHEMA {}").format(schema))
            self._db.execute(parts.SQL("SET LOCAL search_path TO {}").format(schema))
            self._db.execute(self._description["schema"].encode())
            self._fill()
            found = self._db.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace", [self._name]
            ).fetchall()
            self._tables = {name.lower() for (name,) in found}
            self._make_role(schema)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._db.execute("ROLLBACK")

    def contents(self) -> Contents:
        """Return the rows of all tables, without generated columns."""
        found: Contents = {}
        tables = self._db.execute(
            "SELECT oid, relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY oid",
            [self._name],
        ).fetchall()
        for oid, name in tables:
            columns = self._columns(oid, "attgenerated = ''")
            keys = "attnum IN (SELECT unnest(conkey) FROM pg_constraint WHERE conrelid = attrelid AND contype = 'f')"
            listed = parts.SQL(", ").join(map(parts.Identifier, columns))
            query = parts.SQL("SELECT {} FROM {}").format(listed, parts.Identifier(name))
            rows = self._db.execute(query).fetchall()
            found[name] = (
                columns,
                [list(map(cells.storable, row)) for row in rows],
                self._columns(oid, keys),
            )
        return found

    def run(self, vetted: Any, caps: Caps, functions: frozenset[str]) -> Found:
        """Run one query that `vet` has read; see `worker.Database`."""
        what, reason, text, called, tables = vetted
        if what:
            return what, [], reason, False
        for name in called:
            if name not in functions:
                return "forbidden", [], f"may not call {name}", False
        for name in tables:
            if name not in self._tables:
                return "invalid", [], f"there is no table {name}", False
        self._db.execute("SAVEPOINT halo")
        try:
            return self._found(text, caps, bool(tables))
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                raise  # the connection is gone
            return _problem(error, bool(tables))
        except (psycopg.Error, ValueError, OverflowError) as error:
            return _problem(error, bool(tables))
        finally:
            if not self._db.closed:
                self._db.execute("ROLLBACK TO SAVEPOINT halo")

    def _found(self, text: str, caps: Caps, reads: bool) -> Found:
        db = self._db
        db.execute(f"SET LOCAL statement_timeout = {round(1000 * self._seconds)}")
        if self._role:
            db.execute(parts.SQL("SET LOCAL ROLE {}").format(parts.Identifier(self._role)))
        db.execute("SET LOCAL transaction_read_only = on")
        measure = (
            "SELECT count(*), coalesce(sum(octet_length(halo::text)), 0) "
            f"FROM (SELECT * FROM (\n{text}\n) AS halo LIMIT {caps.rows + 1}) AS halo"
        )
        count, size = db.execute(measure.encode()).fetchall()[0]
        if count > caps.rows:
            return "limit", [], f"more than {caps.rows} rows", reads
        if size > caps.bytes:
            return "limit", [], f"more than {caps.bytes} bytes", reads
        cursor = db.execute(text.encode())
        described = cursor.description or []
        types = [column.type_code for column in described]
        rows = [
            [_cell(value, kind) for value, kind in zip(row, types, strict=True)] for row in cursor.fetchall()
        ]
        return "rows", [column.name for column in described], cells.encode(rows), reads

    def _fill(self) -> None:
        rows = self._description["rows"]
        if not self._description["copy"]:
            for table, (columns, contents) in rows.items():
                for row in contents:
                    self._db.execute(_insert(table, columns, len(row)), row)
            return
        if rows:
            names = parts.SQL(", ").join(map(parts.Identifier, rows))
            self._db.execute(parts.SQL("TRUNCATE {}").format(names))

        def insert(table: str, row: Sequence[Any]) -> bool:
            self._db.execute("SAVEPOINT row")
            try:
                self._db.execute(_insert(table, rows[table][0], len(row)), row)
            except psycopg.Error as error:
                if error.sqlstate is None:
                    raise
                self._db.execute("ROLLBACK TO SAVEPOINT row")
                return False
            self._db.execute("RELEASE SAVEPOINT row")
            return True

        insert_all(insert, rows)

    def _make_role(self, schema: parts.Identifier) -> None:
        """Make a role that may do nothing but read these tables, where that is allowed. It goes with the rest."""
        role = parts.Identifier(self._name)
        self._db.execute("SAVEPOINT role")
        with suppress(psycopg.errors.InsufficientPrivilege):
            self._db.execute(parts.SQL("CREATE ROLE {} NOLOGIN").format(role))
            self._db.execute(parts.SQL("GRANT {} TO CURRENT_USER").format(role))
            self._db.execute(parts.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
            self._db.execute(parts.SQL("GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}").format(schema, role))
            self._role = self._name
            return
        self._db.execute("ROLLBACK TO SAVEPOINT role")

    def _columns(self, table: int, condition: str) -> list[str]:
        query = f"""
            SELECT attname FROM pg_attribute
            WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND {condition} ORDER BY attnum
        """
        return [name for (name,) in self._db.execute(query.encode(), [table]).fetchall()]


def _insert(table: str, columns: Sequence[str] | None, width: int) -> parts.Composed:
    names = parts.SQL("")
    if columns:
        names = parts.SQL("({})").format(parts.SQL(", ").join(map(parts.Identifier, columns)))  # type: ignore[assignment]
    values = parts.SQL(", ").join([parts.Placeholder()] * width)
    return parts.SQL("INSERT INTO {} {} OVERRIDING SYSTEM VALUE VALUES ({})").format(
        parts.Identifier(table), names, values
    )


def _cell(value: Any, kind: int) -> Any:
    if type(value) is str and kind not in _TEXTS:
        return Other(f"{kind if kind < _FIRST_OWN else 'own'}: {value}")
    return cells.plain(value)


def _problem(error: Exception, reads: bool) -> Found:
    code = getattr(error, "sqlstate", None) or ""
    reason = _first_line(error)
    if code in ("42501", "25006"):
        return "forbidden", [], reason, False
    for known, limit in _LIMITS.items():
        if code.startswith(known):
            return "limit", [], limit, reads
    return ("invalid" if code.startswith(_INVALID) else "failed"), [], reason, reads


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
