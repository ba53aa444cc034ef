"""What a PostgreSQL query does, read off PostgreSQL's own grammar, behind the walls and before any server sees it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pglast.parser

Vetted = tuple[str, str, str, list[str], list[str]]
"""What is wrong (`invalid`, `forbidden` or nothing) and why; the statement alone; the functions it calls and the
tables it reads, in small letters."""

_DENIED = {
    "intoClause": "make a table",
    "lockingClause": "lock rows",
    "LockingClause": "lock rows",
    "RangeTableSample": "draw a sample",
    "SQLValueFunction": "ask for the time or the user",
    "CurrentOfExpr": "use a cursor",
}
_MOMENT = re.compile(r"\b(?:now|today|tomorrow|yesterday)\b", re.IGNORECASE)
"""Words that PostgreSQL takes for a date, another one each day, alone or with a time and a zone."""


def vet(sql: str) -> Vetted:
    """Say what a query does."""
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
    own = {node["ctename"].lower() for kind, node in nodes if kind == "CommonTableExpr"}
    tables = {node["relname"].lower() for kind, node in nodes if kind in ("RangeVar", "relation")}
    functions = {_function(node) for kind, node in nodes if kind == "FuncCall"}
    return "", "", text, sorted(functions), sorted(table for table in tables if table not in own)


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
    if kind == "sval" and isinstance(node, dict) and _tells_time(str(node.get("sval", ""))):
        return "may not ask for the time"
    return ""


def _tells_time(text: str) -> bool:
    return _MOMENT.search(text) is not None and len(re.findall(r"[^\W\d]+", text)) <= 2


def _function(node: Any) -> str:
    name = _names(node["funcname"])[-1].lower()
    return f"{name}/1" if name == "age" and len(node.get("args", ())) == 1 else name


def _names(parts: Any) -> list[str]:
    return [str(part["String"]["sval"]) for part in parts if "String" in part]


def _nodes(tree: Any) -> Iterator[tuple[str, Any]]:
    """Go through all named nodes of a syntax tree."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from node.items()
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
