"""A prompt's reference, parsed from its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core.errors import did_you_mean
from halo_verifier_sql.cells import from_data

FORM = '{"schema": "CREATE TABLE t (a)", "rows": {"t": [[1], [2]]}, "query": "SELECT sum(a) FROM t"}'
_KEYS = ("schema", "rows", "query", "result", "ordered", "columns")


@dataclass(frozen=True, slots=True)
class Reference:
    """A prompt's reference."""

    schema: str
    """Script that creates the tables; it may also insert rows."""
    rows: Mapping[str, Sequence[Sequence[Any]]]
    """Rows to insert, by table."""
    query: str
    """The reference query; empty if only its result is given."""
    result: Sequence[Sequence[Any]]
    names: Sequence[str]
    """The result's column names, if it was given as objects."""
    ordered: bool | None
    """True if the order of rows counts, False if not; None derives it from the query."""
    by_name: bool
    """Match columns by name instead of position."""


def read(data: Mapping[str, Any]) -> Reference:
    """Return the reference in `data`. Raises `ValueError` with the problem if it is malformed."""
    for key in data.keys() - set(_KEYS):
        raise ValueError(f"unknown key {key!r}; {did_you_mean(str(key), _KEYS)}")
    schema, query = (_text(data, key) for key in ("schema", "query"))
    if not schema.strip():
        raise ValueError("schema is missing")
    if ("result" in data) == bool(query.strip()):
        raise ValueError("the reference needs either a query or its result")
    ordered, columns = data.get("ordered"), data.get("columns", "position")
    if ordered not in (None, True, False):
        raise ValueError(f"ordered must be true or false, not {ordered!r}")
    if columns not in ("position", "name"):
        raise ValueError(f'columns must be "position" or "name", not {columns!r}')
    tables = data.get("rows", {})
    if not isinstance(tables, Mapping):
        raise ValueError("rows must map tables to lists of rows")
    rows = {str(table): _rows(contents, f"rows of {table}") for table, contents in tables.items()}
    names, result = _result(data.get("result", ()))
    if columns == "name" and result and not names:
        raise ValueError("columns are matched by name: give the result as objects")
    return Reference(schema, rows, query, result, names, ordered, bool(names) or columns == "name")


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} must be text, not {type(value).__name__}")
    return value


def _rows(contents: Any, where: str) -> list[list[Any]]:
    if not isinstance(contents, list | tuple):
        raise ValueError(f"{where} must be a list")
    for row in contents:
        if not isinstance(row, list | tuple):
            raise ValueError(f"{where}: each row must be a list of values")

    try:
        return [[from_data(cell) for cell in row] for row in contents]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _result(given: Any) -> tuple[list[str], list[list[Any]]]:
    if not isinstance(given, list | tuple):
        raise ValueError("result must be a list of rows")
    names: list[str] = []
    if given and all(isinstance(row, Mapping) for row in given):
        names = [str(name) for name in given[0]]
        if any(list(row) != names for row in given):
            raise ValueError("result: all objects must have the same keys, in the same order")
        given = [list(row.values()) for row in given]
    rows = _rows(given, "result")
    if len({len(row) for row in rows}) > 1:
        raise ValueError("result: all rows must have the same number of values")
    return names, rows
