"""The order that a reference query specifies, and the ties among its rows."""

from __future__ import annotations

from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from halo_verifier_sql.cells import decode, encode
from halo_verifier_sql.compare import Group
from halo_verifier_sql.constants import DIALECTS

_ROWS = "halo_rows"


class UnclearOrderError(ValueError):
    """The order of the reference's rows, or the ties among them, cannot be determined."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A reference query rewritten to return all its rows, with each row's rank as the last column."""

    sql: str
    limit: int | None
    offset: int


def rank(query: str, dialect: str, width: int) -> Ranked | None:
    """Rewrite a reference of `width` columns; return None if it neither orders its rows nor limits their number.

    Ties under its ORDER BY get the same rank from SQL itself (DENSE_RANK), so the engine's own rules for
    collations and NULLs apply. Raises `UnclearOrderError` if the query cannot be parsed, the limit is not a
    number, or a DISTINCT or compound query is ordered by something that it does not return.
    """
    try:
        tree = sqlglot.parse_one(query, read=DIALECTS[dialect])
    except (sqlglot.errors.SqlglotError, RecursionError) as error:
        raise UnclearOrderError(f"the reference cannot be parsed: {str(error).splitlines()[0]}") from error
    if isinstance(tree, exp.Values):
        return None
    if not isinstance(tree, exp.Query):
        raise UnclearOrderError("the reference is not a query")
    order, limit, offset = (tree.args.get(part) for part in ("order", "limit", "offset"))
    if not order and not limit and not offset:
        if isinstance(tree, exp.Subquery) and tree.find(exp.Order, exp.Limit, exp.Fetch):
            raise UnclearOrderError("the reference is enclosed in parentheses")
        return None
    for part in ("order", "limit", "offset"):
        tree.set(part, None)
    terms = [_Term(tree, term, width) for term in (order.expressions if order else [])]
    hidden = [term for term in terms if term.hidden]
    for number, term in enumerate(hidden, width + 1):
        assert term.hidden
        tree = tree.select(exp.alias_(term.hidden, f"halo_{number}"))
        term.place = number
    names = [f"c{number}" for number in range(1, width + 1)]
    inner = ", ".join([*names, *(f"c{term.place}" for term in hidden)])
    ordering = ", ".join(term.sql(dialect) for term in terms)
    ranking = f"DENSE_RANK() OVER (ORDER BY {ordering})" if terms else "1"
    core = tree.sql(dialect=DIALECTS[dialect], comments=False)
    sql = f"WITH {_ROWS}({inner}) AS ({core}) SELECT {', '.join(names)}, {ranking} FROM {_ROWS}"
    return Ranked(sql, _count(limit, None), _count(offset, 0) or 0)


class _Term:
    """One term of an ORDER BY: a column of the result, or an expression that must be added to the columns."""

    def __init__(self, tree: exp.Query, term: exp.Expr, width: int) -> None:
        self._ordered = term
        self.place = 0
        self.hidden: exp.Expr | None = None
        """Expression that must be added to the columns."""
        value = term.this if isinstance(term, exp.Ordered) else term
        value = value.this if isinstance(value, exp.Collate) else value
        known = _output_columns(tree)
        if isinstance(value, exp.Literal) and not value.is_string:
            self.place = int(value.name)
        elif (found := _position(known, value)) is not None:
            self.place = found
        elif isinstance(tree, exp.Select) and not tree.args.get("distinct"):
            self.hidden = _without_aliases(known, value)
        else:
            raise UnclearOrderError(
                f"the reference is ordered by {value.sql()}, which is not among its columns"
            )
        if not self.hidden and not 0 < self.place <= width:
            raise UnclearOrderError(f"the reference is ordered by column {self.place} of {width}")

    def sql(self, dialect: str) -> str:
        """Return the term for the ORDER BY of the window function."""
        column: exp.Expr = exp.column(f"c{self.place}")
        term = self._ordered.copy()
        if not isinstance(term, exp.Ordered):
            return column.sql()
        if isinstance(term.this, exp.Collate):
            column = exp.Collate(this=column, expression=term.this.expression)
        term.set("this", column)
        return term.sql(dialect=DIALECTS[dialect])


def _output_columns(tree: exp.Query) -> list[exp.Expr]:
    """Return the columns of the (first) SELECT up to a star, after which positions are unknown."""
    while isinstance(tree, exp.SetOperation):
        tree = tree.left
    known: list[exp.Expr] = []
    for each in tree.selects:
        if each.is_star:
            break
        known.append(each)
    return known


def _position(known: list[exp.Expr], value: exp.Expr) -> int | None:
    name = value.name.lower() if isinstance(value, exp.Column) and not value.table else None
    for number, each in enumerate(known, 1):
        if name and each.alias_or_name.lower() == name:
            return number
    return next((number for number, each in enumerate(known, 1) if each.unalias() == value), None)


def _without_aliases(known: list[exp.Expr], value: exp.Expr) -> exp.Expr:
    """Replace aliases of the SELECT list by their expressions, as no expression in that list can use them."""
    aliases = {each.alias.lower(): each.unalias() for each in known if each.alias}

    def replace(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in aliases:
            return exp.paren(aliases[node.name.lower()].copy())
        return node

    return value.copy().transform(replace)


def _count(part: exp.Expr | None, default: int | None) -> int | None:
    if part is None:
        return default
    if part.args.get("with_ties") or (
        (options := part.args.get("limit_options")) and options.args.get("with_ties")
    ):
        raise UnclearOrderError("the reference's limit includes ties")
    value = part.args.get("count") if isinstance(part, exp.Fetch) else part.expression
    if isinstance(value, exp.Literal) and not value.is_string and value.name.isdigit():
        return int(value.name)
    raise UnclearOrderError("the reference's limit is not a number")


def groups(text: str, ranked: Ranked) -> tuple[Group, ...]:
    """Return the groups of a rewritten query's rows, after applying the limit."""
    by_rank: dict[int, list[str]] = {}
    for *row, place in decode(text):
        by_rank.setdefault(place, []).append(encode(row))
    formed, before, end = [], 0, None if ranked.limit is None else ranked.offset + ranked.limit
    for place in sorted(by_rank):
        rows = by_rank[place]
        low = max(before, ranked.offset)
        high = before + len(rows) if end is None else min(before + len(rows), end)
        before += len(rows)
        if high > low:
            formed.append(Group(tuple(rows), high - low))
    return tuple(formed)
