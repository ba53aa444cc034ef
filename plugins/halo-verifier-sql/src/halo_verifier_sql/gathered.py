"""Columns of a result that gather the values of a group in one cell, in an order that the query leaves open.

Without an ORDER BY of its own, `GROUP_CONCAT` takes the values in any order, and so do `ARRAY_AGG` and
`JSON_GROUP_ARRAY`. An aggregate over a subquery that is ordered itself counts as ordered, as that is how SQLite's users
order it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from halo_verifier_sql.constants import parse

_AGGREGATES = (exp.GroupConcat, exp.ArrayAgg, exp.JSONArrayAgg)
_Queries = Mapping[str, exp.Expr]
"""Queries by the names, in lower case, that a WITH gives them."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """How the values of a cell are separated."""

    separator: str | None
    """Text between the values; None if the cell is a list, or JSON."""

    def sort(self, cell: Any) -> Any:
        """Return a cell with its values in one fixed order. Idempotent; a cell of another form stays as it is."""
        if isinstance(cell, list):
            return sorted(cell, key=repr)
        if not isinstance(cell, str):
            return cell
        if self.separator is not None:
            return self.separator.join(sorted(cell.split(self.separator))) if self.separator else cell
        try:
            values = json.loads(cell)
        except ValueError:
            return cell
        return json.dumps(sorted(values, key=repr)) if isinstance(values, list) else cell


def sort_cells(rows: list[list[Any]], gathered: Mapping[int, Gathered]) -> list[list[Any]]:
    """Return rows with the values of gathered cells in one fixed order."""
    if not gathered:
        return rows
    return [
        [gathered[place].sort(cell) if place in gathered else cell for place, cell in enumerate(row)]
        for row in rows
    ]


def columns(query: str, dialect: str) -> dict[int, Gathered]:
    """Return the columns of a query's result, by place from 0, whose cells gather values in an open order."""
    tree = parse(query, dialect)
    return _columns(tree, {}) if isinstance(tree, exp.Query) else {}


def _columns(tree: exp.Expr, known: _Queries) -> dict[int, Gathered]:
    """Return the columns of a query; `known` has the queries that it can name."""
    if with_ := tree.args.get("with_") or tree.args.get("with"):
        known = {**known, **{each.alias.lower(): each.this for each in with_.expressions}}
    if isinstance(tree, exp.Subquery):
        return _columns(tree.this, known)
    if isinstance(tree, exp.SetOperation):
        return {**_columns(tree.right, known), **_columns(tree.left, known)}
    if not isinstance(tree, exp.Select):
        return {}
    found: dict[int, Gathered] = {}
    for place, each in enumerate(tree.selects):
        if each.is_star:
            return _of_star(tree, known) if len(tree.selects) == 1 else found
        if gathered := _of_value(each.unalias(), tree, known):
            found[place] = gathered
    return found


def _of_star(select: exp.Select, known: _Queries) -> dict[int, Gathered]:
    """Return the columns of `SELECT *` from one source."""
    sources = list(_sources(select, known).values())
    return _columns(*sources[0]) if len(sources) == 1 and sources[0] else {}


def _of_value(value: exp.Expr, select: exp.Select, known: _Queries) -> Gathered | None:
    """Return how a column of the SELECT list gathers values; None if it does not, or in a fixed order."""
    if isinstance(value, exp.Paren | exp.Coalesce | exp.Filter | exp.Cast):
        return _of_value(value.this, select, known)
    if isinstance(value, exp.Subquery):
        return _columns(value.this, known).get(0)
    if isinstance(value, exp.Column):
        return _of_column(value, select, known)
    if not isinstance(value, _AGGREGATES) or value.find(exp.Order) or _is_ordered(select, known):
        return None
    if not isinstance(value, exp.GroupConcat):
        return Gathered(None)
    separator = value.args.get("separator")
    if separator is not None and not (isinstance(separator, exp.Literal) and separator.is_string):
        return None
    return Gathered("," if separator is None else separator.name)


def _of_column(column: exp.Column, select: exp.Select, known: _Queries) -> Gathered | None:
    """Return how a column of a subquery in FROM gathers values."""
    for name, source in _sources(select, known).items():
        if source is None or (column.table and column.table.lower() != name):
            continue
        names = [each.alias_or_name.lower() for each in source[0].selects]
        if column.name.lower() in names:
            return _columns(*source).get(names.index(column.name.lower()))
    return None


def _sources(select: exp.Select, known: _Queries) -> dict[str, tuple[exp.Query, _Queries] | None]:
    """Return the queries that a SELECT reads from, by name, each with those that it can name; None for a table."""
    start = select.args.get("from_") or select.args.get("from")
    parts = [start.this] if start else []
    parts += [join.this for join in select.args.get("joins") or ()]
    found: dict[str, tuple[exp.Query, _Queries] | None] = {}
    for part in parts:
        name = part.name.lower()
        if isinstance(part, exp.Subquery):
            query, inner = part.this, known
        else:  # a recursive query names itself
            query, inner = known.get(name), {each: known[each] for each in known if each != name}
        found[part.alias_or_name.lower()] = (query, inner) if isinstance(query, exp.Query) else None
    return found


def _is_ordered(select: exp.Select, known: _Queries) -> bool:
    """Return True if a SELECT reads one ordered subquery and nothing else."""
    sources = list(_sources(select, known).values())
    return len(sources) == 1 and sources[0] is not None and bool(sources[0][0].args.get("order"))
