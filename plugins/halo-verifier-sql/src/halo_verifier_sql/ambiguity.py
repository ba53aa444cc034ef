"""Choices that a query leaves to the engine: which of several tied rows a subquery or a window function takes.

On a database where such a choice changes the result, two right answers may differ. The variants of a query make
the choices explicitly, in two opposite ways; where they return what the query returns, its result is determined.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqlglot import exp

from halo_verifier_sql.constants import DIALECTS, parse

_POSITIONAL = (
    exp.RowNumber,
    exp.Ntile,
    exp.Lag,
    exp.Lead,
    exp.FirstValue,
    exp.LastValue,
    exp.NthValue,
)
"""Window functions whose value depends on the order among ties."""


def variants(query: str, dialect: str) -> list[str]:
    """Return the query with explicit choices: none if it leaves none, or if it cannot be parsed."""
    found = []
    for descending in (False, True):
        tree = parse(query, dialect)
        if tree is None:
            return []
        changes = [_limit(node, tree, descending) for node in list(tree.find_all(exp.Query))]
        changes += [_window(node, descending) for node in list(tree.find_all(exp.Window))]
        if dialect == "sqlite":
            changes += [_bare_columns(node, descending) for node in list(tree.find_all(exp.Select))]
        if not any(changes):
            return []
        found.append(tree.sql(dialect=DIALECTS[dialect], comments=False))
    return found


def _limit(query: exp.Expr, tree: exp.Expr, descending: bool) -> bool:
    """Order a limited subquery by its columns, after the terms it has. The order of the whole query is judged apart."""
    if query is tree or not isinstance(query, exp.Select | exp.SetOperation) or not query.args.get("limit"):
        return False
    if any(each.is_star for each in query.selects):
        return False
    places: list[exp.Expr] = [exp.Literal.number(number) for number in range(1, len(query.selects) + 1)]
    order = query.args.get("order") or exp.Order(expressions=[])
    order.set("expressions", [*order.expressions, *_ordered(places, descending)])
    query.set("order", order)
    return True


def _window(window: exp.Expr, descending: bool) -> bool:
    """Order a window function by all columns of its SELECT, after the terms it has."""
    function, select = window.this, window.find_ancestor(exp.Select)
    spec = window.args.get("spec")
    framed = spec is not None and spec.args.get("kind") == "ROWS"
    if select is None or not (isinstance(function, _POSITIONAL) or framed):
        return False
    columns = {column.sql(): column for each in select.expressions for column in _own(each, select)}
    if not columns:
        return False
    order = window.args.get("order") or exp.Order(expressions=[])
    terms = _ordered([column.copy() for column in columns.values()], descending)
    order.set("expressions", [*order.expressions, *terms])
    window.set("order", order)
    return True


def _bare_columns(select: exp.Expr, descending: bool) -> bool:
    """Replace columns outside of aggregate functions and of GROUP BY, for which SQLite takes any row of the group.

    If there is one MIN or MAX, SQLite takes its row instead.
    """
    functions = [node for each in select.expressions for node in _own(each, select, exp.AggFunc)]
    aggregates = [node for node in functions if not node.find_ancestor(exp.Window)]
    group = select.args.get("group")
    if not group and not aggregates:
        return False
    if sum(isinstance(node, exp.Min | exp.Max) for node in aggregates) == 1:
        return False
    keys = list(_keys(select, group))
    changed = False
    for number, each in enumerate(select.expressions):
        value = each.unalias()
        if any(value == key for key in keys) or isinstance(value, exp.Star):
            continue
        for column in list(_own(value, select)):
            if not column.find_ancestor(exp.AggFunc, exp.Window) and not any(
                _same(column, key) for key in keys
            ):
                chosen = _extreme(column, descending)
                if column is value:
                    select.expressions[number].replace(exp.alias_(chosen, each.alias_or_name, quoted=True))
                else:
                    column.replace(chosen)
                changed = True
    return changed


def _keys(select: exp.Expr, group: exp.Expr | None) -> Iterator[exp.Expr]:
    """Yield the expressions that a SELECT is grouped by, without positions and aliases."""
    aliases = {each.alias.lower(): each.unalias() for each in select.expressions if each.alias}
    for key in group.expressions if group else ():
        if (
            isinstance(key, exp.Literal)
            and key.name.isdigit()
            and 0 < int(key.name) <= len(select.expressions)
        ):
            yield select.expressions[int(key.name) - 1].unalias()
        elif isinstance(key, exp.Column) and not key.table and key.name.lower() in aliases:
            yield aliases[key.name.lower()]
        yield key


def _same(column: exp.Expr, key: exp.Expr) -> bool:
    return (
        isinstance(key, exp.Column)
        and isinstance(column, exp.Column)
        and column.name.lower() == key.name.lower()
        and (not column.table or not key.table or column.table.lower() == key.table.lower())
    )


def _extreme(column: exp.Expr, descending: bool) -> exp.Expr:
    """Return the largest value of a group; or the smallest, with NULL below all others."""
    if descending:
        return exp.Max(this=column.copy())
    full = exp.EQ(this=exp.Count(this=column.copy()), expression=exp.Count(this=exp.Star()))
    return exp.Case(ifs=[exp.If(this=full, true=exp.Min(this=column.copy()))])


def _own(tree: exp.Expr, select: exp.Expr, kind: type[exp.Expr] = exp.Column) -> Iterator[exp.Expr]:
    """Yield the nodes of a kind that belong to `select` itself and not to a subquery."""
    return (node for node in tree.find_all(kind) if node.find_ancestor(exp.Select) is select)


def _ordered(terms: Sequence[exp.Expr], descending: bool) -> list[exp.Expr]:
    return [exp.Ordered(this=term, desc=descending) for term in terms]
