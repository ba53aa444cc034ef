"""Queries that look the rows of a result up by values seen on the given database, as a model that knows them might."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlglot import ErrorLevel, exp

from halo_verifier_sql.constants import DIALECTS, parse

_MAX_COLUMNS = 3
_MAX_VALUES = 20


def columns(query: str, dialect: str, keys: Mapping[str, str]) -> list[str]:
    """Return columns by which the rows of `query` can be looked up: keys of its tables, then columns of its result.

    `keys` has the key column of each table in lower case. Empty if the rows of the result are not rows of a table.
    """
    tree = parse(query, dialect)
    if not isinstance(tree, exp.Select) or tree.args.get("group") or tree.args.get("distinct"):
        return []
    if tree.find(exp.With, exp.SetOperation) or any(each.find(exp.AggFunc) for each in tree.expressions):
        return []
    sources = [
        source
        for part in (tree.args.get("from_"), *tree.args.get("joins", ()))
        if part
        for source in [part.this]
    ]
    found = [
        exp.column(keys[source.name.lower()], table=source.alias_or_name)
        for source in sources
        if isinstance(source, exp.Table) and source.name.lower() in keys
    ]
    found += [each.unalias() for each in tree.expressions if isinstance(each.unalias(), exp.Column)]
    return list(dict.fromkeys(column.sql(dialect=DIALECTS[dialect]) for column in found))[:_MAX_COLUMNS]


def reading(query: str, dialect: str, column: str) -> str:
    """Return `query` with `column` as its only column."""
    tree = parse(query, dialect)
    assert isinstance(tree, exp.Select)
    tree.set("expressions", [parse(column, dialect)])
    return tree.sql(dialect=DIALECTS[dialect], unsupported_level=ErrorLevel.IGNORE)


def looked_up(query: str, dialect: str, column: str, values: Sequence[Any]) -> str:
    """Return `query` without its conditions and its limit, restricted to `values` of `column`; empty if impossible."""
    known = list(dict.fromkeys(value for value in values if type(value) in (int, str)))
    tree = parse(query, dialect)
    if not isinstance(tree, exp.Select) or not 0 < len(known) <= _MAX_VALUES:
        return ""
    for part in ("where", "limit", "offset"):
        tree.set(part, None)
    literals = [exp.convert(value) for value in known]
    found = tree.where(exp.In(this=parse(column, dialect), expressions=literals))
    return found.sql(dialect=DIALECTS[dialect], unsupported_level=ErrorLevel.IGNORE)
