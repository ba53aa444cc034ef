"""DuckDB in the sandbox: in-memory databases and read-only queries on them.

DuckDB's own syntax tree determines whether a query is allowed, before it runs. In addition, the engine has no
access to files or extensions, and its settings are locked.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

import duckdb

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
    insert_statement,
    quote,
    serve,
)

_SIZE = 12 << 20
"""Memory use, in bytes, that is assumed for an instance; an almost empty one takes a third of it."""
_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": "1",
    "memory_limit": "256MB",
    "max_temp_directory_size": "0KB",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}
_MORE_FUNCTIONS = frozenset(
    """
    row_number rank dense_rank rank_dense percent_rank cume_dist ntile lag lead first_value first last_value last
    nth_value fill unnest range generate_series nullif ifnull split_part date_add fdiv fmod geomean wavg
    array_to_string array_append array_prepend list_append list_prepend list_reverse array_reverse list_sum
    list_avg list_min list_max list_count list_first list_last
    """.split()  # noqa: SIM905 - more readable than a list
)
"""Allowed functions besides those that the engine lists: window functions, table functions and macros."""
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_SOURCES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY"})
_TABLE_FUNCTIONS = frozenset({"range", "generate_series", "unnest"})
_KEYWORDS = frozenset(
    """
    current_date current_time current_timestamp localtime localtimestamp current_user session_user user
    current_role current_catalog current_schema current_database today now
    """.split()  # noqa: SIM905 - more readable than a list
)
_FORBIDDEN_PREFIXES = tuple(
    """
    getvariable current_ getenv version pragma_ nextval currval setseed query read_ write_ checkpoint
    duckdb_ which_secret in_search_path add_parquet_key json_execute json_serialize_plan parse_duckdb_log
    error sql_auto_ txid now today get_current current_setting has_ pg_ col_description obj_description
    shobj_description create_sort_key reservoir_ combine finalize sleep_ is_histogram
    """.split()  # noqa: SIM905 - more readable than a list
)
"""Prefixes of functions that expose the engine's state instead of the data."""
_SYSTEM = ("duckdb_", "pragma_", "pg_", "sqlite_", "information_schema")
_INVALID = (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.SyntaxException)
_BROKEN = (duckdb.InternalException, duckdb.FatalException)


def main(key: str, queries: Sequence[str] | None, caps: Sequence[int]) -> Any:
    """Answer a call from the host; see `worker.serve`."""
    return serve(DuckDatabase, key, queries, caps)


class DuckDatabase:
    """An in-memory database, immutable once built."""

    def __init__(self, description: Description) -> None:
        self._db = duckdb.connect(":memory:", config=_CONFIG)
        self._db.execute(description["schema"])
        self._fill(description)
        self._db.execute("SET lock_configuration = true")
        self._tables = _tables_of(description["schema"], self._db)
        self._functions = _functions(self._db)
        self.size = _SIZE

    def close(self) -> None:
        """Free the memory of the database."""
        self._db.close()

    def contents(self) -> Contents:
        """Return the contents of all tables."""
        contents: Contents = {}
        names = self._db.execute(
            "SELECT table_name FROM duckdb_tables() WHERE NOT internal ORDER BY table_oid"
        ).fetchall()
        for (name,) in names:
            columns = self._columns(name)
            rows = self._db.execute(f"SELECT {', '.join(map(quote, columns))} FROM {quote(name)}").fetchall()
            contents[name] = (
                columns,
                [list(map(cells.storable, row)) for row in rows],
                self._declared(name),
            )
        return contents

    def run(self, sql: str, caps: Caps) -> Outcome:
        """Run one read-only query; see `worker.Database`."""
        problem, reason, reads = self._vetted(sql)
        if problem:
            return problem, [], reason, False
        self._db.execute("BEGIN TRANSACTION READ ONLY")
        try:
            return self._execute(sql, caps, reads)
        except _BROKEN:
            os._exit(1)
        except _INVALID as error:
            return "invalid", [], first_line(error), False
        except (duckdb.OutOfMemoryException, MemoryError, RecursionError):
            return "limit", [], "memory", reads
        except (duckdb.Error, ValueError, OverflowError, RuntimeError, ImportError) as error:
            return "failed", [], first_line(error), reads
        finally:
            self._db.execute("ROLLBACK")

    def _execute(self, sql: str, caps: Caps, reads: bool) -> Outcome:
        cursor = self._db.execute(sql)
        columns = [str(column[0]) for column in cursor.description or ()]
        rows = cursor.fetchmany(caps.rows + 1)
        if len(rows) > caps.rows:
            return "limit", [], f"more than {caps.rows} rows", reads
        text = cells.encode([list(map(cells.plain, row)) for row in rows])
        if len(text) > caps.bytes:
            return "limit", [], f"more than {caps.bytes} bytes", reads
        return "rows", columns, text, reads

    def _vetted(self, sql: str) -> tuple[str, str, bool]:
        """Return the result of `_vet`, which is the same on all databases with the same tables."""
        global _last_vetted
        if _last_vetted[:2] != (sql, self._tables):
            _last_vetted = sql, self._tables, self._vet(sql)
        return _last_vetted[2]

    def _vet(self, sql: str) -> tuple[str, str, bool]:
        """Return the problem of a query and its reason, both empty if there is none, and whether it reads a table."""
        try:
            sql.encode()
            statements = self._db.extract_statements(sql)
            if len(statements) != 1:
                return "forbidden", "more than one statement", False
            if statements[0].type != duckdb.StatementType.SELECT:
                return "forbidden", "not a query", False
            return self._vet_tree(sql)
        except _BROKEN:
            os._exit(1)  # the library's state is corrupt
        except (duckdb.Error, ValueError, RecursionError) as error:
            return "invalid", first_line(error), False

    def _vet_tree(self, sql: str) -> tuple[str, str, bool]:
        answer = self._db.execute("SELECT json_serialize_sql(?)", [sql]).fetchone()
        tree = json.loads(answer[0] if answer else "{}")
        if tree.get("error", True):
            return "forbidden", str(tree.get("error_message", "not a query")), False
        nodes = list(_nodes(tree["statements"]))
        ctes = {
            str(entry["key"]).lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())
        }
        for node in nodes:
            if denied := self._denied(node):
                return "forbidden", denied, False
        tables = {str(node["table_name"]).lower() for node in nodes if node.get("type") == "BASE_TABLE"}
        for table in tables - self._tables - ctes:
            return "invalid", f"there is no table {table}", False
        if any(node.get("class") == "PARAMETER" for node in nodes):
            return "invalid", "a parameter has no value", False
        return "", "", bool(tables & self._tables)

    def _denied(self, node: dict[str, Any]) -> str:
        """Return the forbidden action of a syntax tree node; empty if it is allowed."""
        kind, name = str(node.get("type")), str(node.get("function_name", "")).lower()
        if kind.endswith("_NODE") and kind not in _NODES:
            return "not a query"
        if "alias" in node and "sample" in node and "class" not in node and kind not in _SOURCES:
            return f"may not read from a {kind.lower()}"
        if node.get("sample"):
            return "may not draw a sample"
        if kind == "TABLE_FUNCTION":
            table_function = str(node["function"].get("function_name")).lower()
            return "" if table_function in _TABLE_FUNCTIONS else f"may not read {table_function}"
        if kind == "BASE_TABLE":
            table = str(node["table_name"]).lower()
            elsewhere = node["schema_name"] not in ("", "main") or node["catalog_name"] not in ("", "memory")
            return f"may not read {table}" if elsewhere or table.startswith(_SYSTEM) else ""
        if node.get("class") in ("FUNCTION", "WINDOW") and name not in self._functions | _MORE_FUNCTIONS:
            return f"may not call {name}"
        if name == "age" and len(node.get("arguments", ())) < 2:
            return "may not read the clock"
        if node.get("class") == "COLUMN_REF" and str(node["column_names"][-1]).lower() in _KEYWORDS:
            return f"may not call {node['column_names'][-1]}"
        return ""

    def _fill(self, description: Description) -> None:
        if not description["copy"]:
            for table, (_, rows) in description["rows"].items():
                for row in rows:
                    self._db.execute(insert_statement(table, None, len(row)), row)
            return
        names = {table: columns for table, (columns, _) in description["rows"].items()}
        for table in reversed(names):
            self._db.execute(f"DELETE FROM {quote(table)}")

        def insert(table: str, rows: Sequence[Row]) -> bool:
            values = [value for row in rows for value in row]
            try:
                self._db.execute(insert_statement(table, names[table], len(rows[0]), len(rows)), values)
            except duckdb.Error:
                return False
            return True

        insert_all(insert, description["rows"])

    def _columns(self, table: str) -> list[str]:
        found = self._db.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index", [table]
        ).fetchall()
        return [name for (name,) in found]

    def _declared(self, table: str) -> Declared:
        """Return what the schema declares about a table."""
        columns = self._db.execute(
            "SELECT data_type, is_nullable FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index",
            [table],
        ).fetchall()
        constraints = self._db.execute(
            "SELECT constraint_type, constraint_column_names, referenced_table, referenced_column_names, expression "
            "FROM duckdb_constraints() WHERE table_name = ?",
            [table],
        ).fetchall()
        indexed = self._db.execute(
            "SELECT expressions FROM duckdb_indexes() WHERE is_unique AND table_name = ?", [table]
        ).fetchall()
        unique = [each[1] for each in constraints if each[0] in ("PRIMARY KEY", "UNIQUE")]
        return {
            "types": [kind for kind, _ in columns],
            "required": [not is_nullable for _, is_nullable in columns],
            "unique": unique + [text.strip("[]").replace('"', "").split(", ") for (text,) in indexed],
            "references": [list(each[1:4]) for each in constraints if each[0] == "FOREIGN KEY"],
            "checks": [each[4] for each in constraints if each[0] == "CHECK"],
        }


def _nodes(tree: Any) -> Iterator[dict[str, Any]]:
    """Yield all objects of a syntax tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield node
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


_last_vetted: tuple[str, set[str], tuple[str, str, bool]] = ("", set(), ("", "", False))
_last_tables: tuple[str, set[str]] = ("", set())
_pure_functions: frozenset[str] = frozenset()


def _tables_of(schema: str, db: duckdb.DuckDBPyConnection) -> set[str]:
    """Return the names of the tables and views of `schema`, of which a prompt has many databases."""
    global _last_tables
    if _last_tables[0] != schema:
        rows = db.execute("SELECT table_name FROM information_schema.tables").fetchall()
        _last_tables = schema, {name.lower() for (name,) in rows}
    return _last_tables[1]


def _functions(db: duckdb.DuckDBPyConnection) -> frozenset[str]:
    """Return the functions that the engine itself lists as depending on their arguments only."""
    global _pure_functions
    if not _pure_functions:
        rows = db.execute(
            "SELECT function_name FROM duckdb_functions() WHERE function_type IN ('scalar', 'aggregate') "
            "GROUP BY function_name HAVING bool_and(coalesce(stability, 'CONSISTENT') = 'CONSISTENT')"
        ).fetchall()
        _pure_functions = frozenset(name for (name,) in rows if not name.startswith(_FORBIDDEN_PREFIXES))
    return _pure_functions
