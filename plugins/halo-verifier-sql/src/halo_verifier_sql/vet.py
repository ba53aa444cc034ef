"""Static checks of a PostgreSQL query with PostgreSQL's own grammar, in the sandbox, before it reaches a server."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pglast.parser

Vetted = tuple[str, str, str, list[str], list[str]]
"""The problem (`invalid`, `forbidden` or empty) and its reason; the bare statement; the functions that it calls
and the tables that it reads, in lower case."""

_DENIED = {
    "intoClause": "create a table",
    "lockingClause": "lock rows",
    "LockingClause": "lock rows",
    "RangeTableSample": "draw a sample",
    "SQLValueFunction": "read the clock or the user name",
    "CurrentOfExpr": "use a cursor",
}
_MOMENT = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)
"""Words that PostgreSQL reads as the current date or time, alone or with a time and a zone."""


def vet(sql: str) -> Vetted:
    """Return the problem, functions and tables of a query."""
    try:
        tree = json.loads(pglast.parser.parse_sql_json(sql))
    except (pglast.parser.ParseError, UnicodeEncodeError, ValueError, RecursionError) as error:
        return "invalid", (str(error).splitlines() or [""])[0][:200], "", [], []
    statements = tree.get("stmts", [])
    if not statements:
        return "invalid", "not a query", "", [], []
    if len(statements) > 1:
        return "forbidden", "more than one statement", "", [], []
    start = statements[0].get("stmt_location", 0)
    length = statements[0].get("stmt_len", 0) or len(sql.encode())
    text = sql.encode()[start : start + length].decode()
    nodes = list(_nodes(statements[0]["stmt"]))
    for kind, node in nodes:
        if denied := _denied(kind, node):
            return "forbidden", denied, "", [], []
        if kind == "ParamRef":
            return "invalid", "a parameter has no value", "", [], []
    ctes = {node["ctename"].lower() for kind, node in nodes if kind == "CommonTableExpr"}
    tables = {node["relname"].lower() for kind, node in nodes if kind in ("RangeVar", "relation")}
    functions = {_function(node) for kind, node in nodes if kind == "FuncCall"}
    return "", "", text, sorted(functions), sorted(table for table in tables if table not in ctes)


def _denied(kind: str, node: Any) -> str:
    if kind.endswith("Stmt") and kind != "SelectStmt":
        return "not a query"
    if kind in _DENIED:
        return f"may not {_DENIED[kind]}"
    if kind in ("RangeVar", "relation") and isinstance(node, dict):
        name = str(node.get("relname", "")).lower()
        if "schemaname" in node or "catalogname" in node or name.startswith("pg_"):
            return f"may not read {name}"
    if kind == "CommonTableExpr" and node["ctename"].lower().startswith("pg_"):
        return f"may not name a table {node['ctename']}"
    if kind == "FuncCall" and len(node["funcname"]) > 1 and _names(node["funcname"])[0] != "pg_catalog":
        return f"may not call {'.'.join(_names(node['funcname']))}"
    if (
        kind in ("TypeName", "typeName")
        and _names(node.get("names", []))[-1:][:1]
        and _names(node["names"])[-1].startswith("reg")
    ):
        return f"may not name a {_names(node['names'])[-1]}"
    if kind == "sval" and isinstance(node, dict) and _reads_clock(str(node.get("sval", ""))):
        return "may not read the clock"
    return ""


def _reads_clock(text: str) -> bool:
    return _MOMENT.search(text) is not None and len(re.findall(r"[^\W\d]+", text)) <= 2


def _function(node: Any) -> str:
    name = _names(node["funcname"])[-1].lower()
    return f"{name}/1" if name == "age" and len(node.get("args", ())) == 1 else name


def _names(parts: Any) -> list[str]:
    return [str(part["String"]["sval"]) for part in parts if "String" in part]


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield all named nodes of a syntax tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node.items()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
