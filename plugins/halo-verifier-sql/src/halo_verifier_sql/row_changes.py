"""Changes of which rows a query groups, counts or leaves out. Each function yields one changed copy for each place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from sqlglot import exp

from halo_verifier_sql.changes import changed_copies, make_distinct

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Like, exp.In, exp.Between)
_FILTERS = (exp.Where, exp.Having, exp.Join)
_SHOWN = 4
"""Columns of a SELECT list, from its start, without whose NULLs it is tried."""


def groups(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Drop a key of a GROUP BY, group by the columns of the result, or return rows, or the first one, not groups."""

    def drop_key(node: exp.Expr) -> bool:
        node.set("expressions", node.expressions[1:])
        return bool(node.expressions)

    def by_result(node: exp.Expr) -> bool:
        shown = [each.unalias() for each in node.parent_select.expressions] if node.parent_select else []
        node.set("expressions", [each.copy() for each in shown if not each.find(exp.AggFunc, exp.Star)])
        return bool(node.expressions)

    def ungroup(node: exp.Expr, *, first: bool = False) -> bool:
        if first and (node.args.get("limit") or not node.find(exp.AggFunc)):
            return False
        for each in list(node.find_all(exp.AggFunc)):
            if each.parent_select is node:
                each.replace(
                    each.this if each.this and not isinstance(each.this, exp.Star) else exp.Literal.number(1)
                )
        for part in ("group", "having"):
            node.set(part, None)
        if first:
            node.set("limit", exp.Limit(expression=exp.Literal.number(1)))
        return True

    yield from changed_copies(tree, exp.Group, by_result)
    yield from changed_copies(tree, exp.Select, ungroup)
    yield from changed_copies(tree, exp.Select, partial(ungroup, first=True))
    yield from changed_copies(tree, exp.Group, drop_key)
    for kind in (exp.Sum, exp.Avg):
        yield from changed_copies(tree, kind, make_distinct)


def nulls(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Leave out rows with NULLs, count them, or negate a membership."""

    def without_nulls(node: exp.Expr, number: int) -> bool:
        shown = [each.unalias() for each in node.expressions if isinstance(each.unalias(), exp.Column)]
        if len(shown) <= number or not isinstance(node, exp.Select):
            return False
        node.where(exp.Not(this=exp.Is(this=shown[number].copy(), expression=exp.Null())), copy=False)
        return True

    def count_all(node: exp.Expr) -> bool:
        changed = not isinstance(node.this, exp.Star)
        node.set("this", exp.Star())
        return changed

    def or_zero(node: exp.Expr) -> bool:
        zero = exp.Coalesce(this=node.copy(), expressions=[exp.Literal.number(0)])
        return not isinstance(node.parent, exp.Window | exp.Coalesce) and bool(node.replace(zero))

    def negate(node: exp.Expr) -> bool:
        return not isinstance(node.parent, exp.Not) and bool(
            node.replace(exp.Not(this=exp.paren(node.copy())))
        )

    for number in range(_SHOWN):
        yield from changed_copies(tree, exp.Select, partial(without_nulls, number=number))
    yield from changed_copies(tree, exp.Count, count_all)
    for test in (exp.In, exp.Exists, exp.Is):
        yield from changed_copies(tree, test, negate)
    yield from changed_copies(tree, exp.Coalesce, lambda node: bool(node.replace(node.this)))
    for function in (exp.Sum, exp.Avg, exp.Max, exp.Min):
        yield from changed_copies(tree, function, or_zero)


def truths(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Let a condition be true, or false, where it is NULL. In a filter, false changes nothing unless it is negated."""

    def change(node: exp.Expr, value: exp.Expr) -> bool:
        """Make `node` IS TRUE, or IS NOT FALSE; `value` is the true or the false."""
        joins = isinstance(node.parent, exp.Join) and isinstance(node.expression, exp.Column)
        around = node.find_ancestor(exp.Not, exp.Case, exp.Coalesce, exp.Select)
        filters = isinstance(around, exp.Select) and node.find_ancestor(*_FILTERS, exp.Select) is not around
        if node.parent is None or joins or isinstance(node.parent, exp.Is):
            return False
        if value == exp.true() and filters:
            return False
        found: exp.Expr = exp.Is(this=exp.paren(node.copy()), expression=value.copy())
        return bool(node.replace(exp.paren(found if value == exp.true() else exp.Not(this=found))))

    for kind in (*_COMPARISONS, exp.And, exp.Or):
        for value in (exp.false(), exp.true()):
            yield from changed_copies(tree, kind, partial(change, value=value))


def best(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Return one of the rows with the largest or smallest value instead of all of them."""

    def limit(node: exp.Expr) -> bool:
        equal = node.args["where"].this if node.args.get("where") else None
        best = (
            equal.find(exp.Max, exp.Min) if isinstance(equal, exp.EQ) and equal.find(exp.Subquery) else None
        )
        if equal is None or best is None or best.this is None:
            return False
        term = exp.Ordered(this=equal.this.copy(), desc=isinstance(best, exp.Max))
        node.set("where", None)
        node.set("order", exp.Order(expressions=[term]))
        node.set("limit", exp.Limit(expression=exp.Literal.number(1)))
        return True

    yield from changed_copies(tree, exp.Select, limit)


def ties(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Return all rows that tie for the last place of a LIMIT, NULL for no row, or no rows whose sort key is NULL."""

    def keep_ties(node: exp.Expr) -> bool:
        term, limit = _first_term(node), node.args.get("limit")
        if term is None or limit is None or node.args.get("offset") or not str(limit.expression).isdigit():
            return False
        assert isinstance(node, exp.Select)
        last = node.copy()
        last.set("distinct", None)
        last.set("expressions", [term.this.copy()])
        last.set("limit", exp.Limit(expression=exp.Literal.number(1)))
        last.set("offset", exp.Offset(expression=exp.Literal.number(int(str(limit.expression)) - 1)))
        kind = exp.EQ if int(str(limit.expression)) == 1 else exp.GTE if term.args.get("desc") else exp.LTE
        condition = kind(this=term.this.copy(), expression=exp.Subquery(this=last))
        if node.args.get("group"):
            node.having(condition, copy=False)
        else:
            node.where(condition, copy=False)
        node.set("limit", None)
        return True

    def without_nulls(node: exp.Expr) -> bool:
        term = _first_term(node)
        if term is None or not isinstance(term.this, exp.Column) or node.args.get("group"):
            return False
        assert isinstance(node, exp.Select)
        node.where(exp.Not(this=exp.Is(this=term.this.copy(), expression=exp.Null())), copy=False)
        return True

    if isinstance(tree, exp.Select) and tree.args.get("limit") and len(tree.expressions) == 1:
        yield exp.select(exp.Subquery(this=tree.copy()))
    yield from changed_copies(tree, exp.Select, keep_ties)
    yield from changed_copies(tree, exp.Select, without_nulls)


def _first_term(node: exp.Expr) -> exp.Ordered | None:
    """Return the first term of a SELECT's ORDER BY, unless it is a position or the name of a result."""
    order = node.args.get("order")
    term = order.expressions[0] if isinstance(node, exp.Select) and order else None
    if not isinstance(term, exp.Ordered) or isinstance(term.this, exp.Literal):
        return None
    named = {each.alias.lower() for each in node.expressions if each.alias}
    return None if term.this.name.lower() in named and isinstance(term.this, exp.Column) else term


def columns(tree: exp.Expr, tables: Mapping[str, Sequence[str]]) -> Iterator[exp.Expr]:
    """Use another column of the same table, or count the values of a column instead of rows."""
    used = [each.name.lower() for each in tree.find_all(exp.Table)]
    known = {name.lower(): columns for name, columns in tables.items() if name.lower() in used}

    def columns_of(name: str) -> Sequence[str]:
        return next((columns for columns in known.values() if name.lower() in map(str.lower, columns)), ())

    for distance in (1, 2):

        def exchange(node: exp.Expr, distance: int = distance) -> bool:
            columns = columns_of(node.name)
            if len(columns) <= distance or not isinstance(node.this, exp.Identifier):
                return False
            place = [column.lower() for column in columns].index(node.name.lower())
            node.set("this", exp.to_identifier(columns[(place + distance) % len(columns)]))
            return True

        yield from changed_copies(tree, exp.Column, exchange)
    first = next(iter(known.values()), ())
    named = dict.fromkeys(each.name for each in tree.find_all(exp.Column))
    for column in [*named, *first[1:], *first[:1]][:3]:

        def count(node: exp.Expr, column: str = column) -> bool:
            if not isinstance(node.this, exp.Star):
                return False
            node.set("this", exp.column(column))
            return True

        yield from changed_copies(tree, exp.Count, count)
