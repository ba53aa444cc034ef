"""PostgreSQL databases: tables that exist in a transaction, which is always rolled back.

The transaction creates a separate schema for the tables, so no other session sees them and nothing remains. The
query runs read-only; if the user may create roles, it runs under a new role that can only read these tables.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql as parts
from psycopg.adapt import Loader

from halo_verifier_sql import cells
from halo_verifier_sql.worker import (
    Caps,
    Contents,
    Declared,
    Description,
    Outcome,
    Row,
    first_line,
    insert_all,
)

_TEXTS = frozenset({18, 19, 25, 1042, 1043})
"""Object identifiers of the types whose values are plain text."""
_FIRST_USER_TYPE = 16384
"""First object identifier of user-defined types; these identifiers differ between databases."""
_INVALID = ("42", "0A")
_LIMITS = {"57014": "time", "53": "insufficient resources", "54": "program limit exceeded"}
"""Limit by prefix of SQLSTATE."""
_COLUMNS = """
    SELECT coalesce(
        (SELECT 'ENUM(' || string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) || ')'
         FROM pg_enum WHERE enumtypid = atttypid),
        format_type(atttypid, atttypmod)
    ), attnotnull
    FROM pg_attribute
    WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum
"""
_NAMES = """ARRAY(
    SELECT attname::text FROM unnest({}) WITH ORDINALITY AS key(number, place)
    JOIN pg_attribute ON attrelid = {} AND attnum = number ORDER BY place
)"""
_UNIQUE = f"""
    SELECT {_NAMES.format("indkey::smallint[]", "indrelid")} FROM pg_index
    WHERE indrelid = %s AND indisunique AND indpred IS NULL AND indexprs IS NULL
"""
_REFERENCES = f"""
    SELECT {_NAMES.format("conkey", "conrelid")}, (SELECT relname::text FROM pg_class WHERE oid = confrelid),
        {_NAMES.format("confkey", "confrelid")}
    FROM pg_constraint WHERE contype = 'f' AND conrelid = %s
"""
_serial = itertools.count()


class _Tagged:
    """A value that Python represents as text although its type is not text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class Json(_Tagged):
    """The text of a JSON value."""


class Other(_Tagged):
    """The text of a value of any other type that psycopg reads as text."""


class JsonLoader(Loader):
    """A psycopg loader that leaves JSON as text."""

    def load(self, data: Any) -> Json:
        """Return a JSON value as text."""
        return Json(bytes(data).decode())


class PostgresDatabase:
    """Tables that exist in a transaction until the `with` block ends."""

    def __init__(self, connection: psycopg.Connection[Any], description: Description, seconds: float) -> None:
        self._db = connection
        self._description = description
        self._seconds = seconds
        self._name = f"halo_{os.getpid()}_{next(_serial)}"
        self._role = ""
        self._tables: set[str] = set()

    def __enter__(self) -> PostgresDatabase:
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
            self._create_role(schema)
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._db.execute("ROLLBACK")

    def contents(self) -> Contents:
        """Return the contents of all tables, without generated columns."""
        contents: Contents = {}
        tables = self._db.execute(
            "SELECT oid, relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind = 'r' ORDER BY oid",
            [self._name],
        ).fetchall()
        for oid, name in tables:
            columns = self._columns(oid, "attgenerated = ''")
            listed = parts.SQL(", ").join(map(parts.Identifier, columns))
            query = parts.SQL("SELECT {} FROM {}").format(listed, parts.Identifier(name))
            rows = self._db.execute(query).fetchall()
            contents[name] = (
                columns,
                [list(map(cells.storable, row)) for row in rows],
                self._declared(oid),
            )
        return contents

    def run(self, vetted: Any, caps: Caps, functions: frozenset[str]) -> Outcome:
        """Run one query, given the result of `vet`; see `worker.Database`."""
        problem, reason, text, called, tables = vetted
        if problem:
            return problem, [], reason, False
        for name in called:
            if name not in functions:
                return "forbidden", [], f"may not call {name}", False
        for name in tables:
            if name not in self._tables:
                return "invalid", [], f"there is no table {name}", False
        self._db.execute("SAVEPOINT halo")
        try:
            return self._execute(text, caps, bool(tables))
        except psycopg.OperationalError as error:
            if error.sqlstate is None:
                raise  # the connection is lost
            return _problem(error, bool(tables))
        except (psycopg.Error, ValueError, OverflowError) as error:
            return _problem(error, bool(tables))
        finally:
            if not self._db.closed:
                self._db.execute("ROLLBACK TO SAVEPOINT halo")

    def _execute(self, text: str, caps: Caps, reads: bool) -> Outcome:
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

        def insert(table: str, several: Sequence[Row]) -> bool:
            self._db.execute("SAVEPOINT rows")
            values = [value for row in several for value in row]
            try:
                self._db.execute(_insert(table, rows[table][0], len(several[0]), len(several)), values)
            except psycopg.Error as error:
                if error.sqlstate is None:
                    raise
                self._db.execute("ROLLBACK TO SAVEPOINT rows")
                return False
            self._db.execute("RELEASE SAVEPOINT rows")
            return True

        insert_all(insert, rows)

    def _create_role(self, schema: parts.Identifier) -> None:
        """Create a role that can only read these tables, if the user may. The rollback removes it too."""
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

    def _declared(self, table: int) -> Declared:
        """Return what the schema declares about a table."""
        columns = self._db.execute(_COLUMNS.encode(), [table]).fetchall()
        unique = self._db.execute(_UNIQUE.encode(), [table]).fetchall()
        references = self._db.execute(_REFERENCES.encode(), [table]).fetchall()
        checks = self._db.execute(
            "SELECT pg_get_expr(conbin, conrelid) FROM pg_constraint WHERE contype = 'c' AND conrelid = %s",
            [table],
        ).fetchall()
        return {
            "types": [kind for kind, _ in columns],
            "required": [is_required for _, is_required in columns],
            "unique": [names for (names,) in unique],
            "references": [list(row) for row in references],
            "checks": [text for (text,) in checks],
        }


def _insert(table: str, columns: Sequence[str] | None, width: int, rows: int = 1) -> parts.Composed:
    names = parts.SQL("")
    if columns:
        names = parts.SQL("({})").format(parts.SQL(", ").join(map(parts.Identifier, columns)))  # type: ignore[assignment]
    row = parts.SQL("({})").format(parts.SQL(", ").join([parts.Placeholder()] * width))
    return parts.SQL("INSERT INTO {} {} OVERRIDING SYSTEM VALUE VALUES {}").format(
        parts.Identifier(table), names, parts.SQL(", ").join([row] * rows)
    )


def _cell(value: Any, kind: int) -> Any:
    if type(value) is str and kind not in _TEXTS:
        return Other(f"{kind if kind < _FIRST_USER_TYPE else 'own'}: {value}")
    return cells.plain(value)


def _problem(error: Exception, reads: bool) -> Outcome:
    code = getattr(error, "sqlstate", None) or ""
    reason = first_line(error)
    if code in ("42501", "25006"):
        return "forbidden", [], reason, False
    for prefix, limit in _LIMITS.items():
        if code.startswith(prefix):
            return "limit", [], limit, reads
    return ("invalid" if code.startswith(_INVALID) else "failed"), [], reason, reads
