"""Changes of a query's operators, constants and clauses. Each function yields one changed copy for each place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from sqlglot import exp

_SWAPS: tuple[tuple[type[exp.Expr], tuple[type[exp.Expr], ...]], ...] = (
    (exp.GT, (exp.GTE, exp.LT)),
    (exp.GTE, (exp.GT, exp.LTE)),
    (exp.LT, (exp.LTE, exp.GT)),
    (exp.LTE, (exp.LT, exp.GTE)),
    (exp.EQ, (exp.NEQ, exp.GTE, exp.LTE)),
    (exp.NEQ, (exp.EQ, exp.LT, exp.GT)),
    (exp.And, (exp.Or,)),
    (exp.Or, (exp.And,)),
    (exp.Add, (exp.Sub,)),
    (exp.Sub, (exp.Add,)),
    (exp.Mul, (exp.Add,)),
    (exp.Max, (exp.Min,)),
    (exp.Min, (exp.Max,)),
    (exp.Sum, (exp.Avg, exp.Max)),
    (exp.Avg, (exp.Sum, exp.Min)),
    (exp.Union, (exp.Intersect,)),
    (exp.Intersect, (exp.Union,)),
    (exp.Except, (exp.Union,)),
    (exp.Rank, (exp.DenseRank, exp.RowNumber)),
    (exp.DenseRank, (exp.Rank,)),
    (exp.RowNumber, (exp.Rank,)),
)


def changed_copies(
    tree: exp.Expr, kind: type[exp.Expr], change: Callable[[exp.Expr], bool]
) -> Iterator[exp.Expr]:
    """Yield one copy of the tree for each node of `kind` that `change` can be applied to.

    `change` modifies the node and returns whether it could.
    """
    for index in range(sum(1 for _ in tree.find_all(kind))):
        copy = tree.copy()
        node = list(copy.find_all(kind))[index]
        if change(node):
            yield copy


def operators(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Replace a comparison, a connective, an arithmetic operator, an aggregate function or a set operation."""
    for kind, replacements in _SWAPS:
        for other in replacements:

            def change(node: exp.Expr, kind: type[exp.Expr] = kind, other: type[exp.Expr] = other) -> bool:

                if type(node) is not kind or node.parent is None:
                    return False
                node.replace(
                    other(**{key: value for key, value in node.args.items() if key in other.arg_types})
                )
                return True

            yield from changed_copies(tree, kind, change)


def clauses(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Drop a WHERE, a HAVING, one side of an AND or OR, a NOT, a DISTINCT or a grouping; or add a DISTINCT."""

    def drop(node: exp.Expr) -> bool:
        node.pop()
        return True

    def keep_left(node: exp.Expr) -> bool:
        return node.parent is not None and bool(node.replace(node.this))

    def keep_right(node: exp.Expr) -> bool:
        return node.parent is not None and bool(node.replace(node.expression))

    def toggle_distinct(node: exp.Expr) -> bool:
        node.set("distinct", None if node.args.get("distinct") else exp.Distinct())
        return True

    def toggle_all(node: exp.Expr) -> bool:
        node.set("distinct", not node.args.get("distinct"))
        return True

    for clause in (exp.Where, exp.Having, exp.Group):
        yield from changed_copies(tree, clause, drop)
    for connective in (exp.And, exp.Or):
        yield from changed_copies(tree, connective, keep_left)
        yield from changed_copies(tree, connective, keep_right)
    yield from changed_copies(tree, exp.Not, keep_left)
    yield from changed_copies(tree, exp.Select, toggle_distinct)
    for operation in (exp.Union, exp.Intersect, exp.Except):
        yield from changed_copies(tree, operation, toggle_all)
    yield from changed_copies(
        tree, exp.Distinct, lambda node: isinstance(node.parent, exp.AggFunc) and _unwrap(node)
    )


def _unwrap(node: exp.Expr) -> bool:
    return len(node.expressions) == 1 and bool(node.replace(node.expressions[0]))


def joins(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Make an inner join a left join or the other way round, or drop the condition of a join."""

    def toggle_left(node: exp.Expr) -> bool:
        node.set("side", None if node.args.get("side") else "LEFT")
        return True

    def drop_condition(node: exp.Expr) -> bool:
        if not node.args.get("on"):
            return False
        node.set("on", exp.true())
        return True

    yield from changed_copies(tree, exp.Join, toggle_left)
    yield from changed_copies(tree, exp.Join, drop_condition)


def constants(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Change a text, a whole number or a pattern, shorten a list, or exclude an end of a range."""

    def widen(node: exp.Expr) -> bool:
        if not isinstance(node.parent, exp.Like):
            return False
        node.set("this", node.name + "%" if node.name.startswith("%") else "%" + node.name)
        return not node.name.startswith("%%")

    def open_end(node: exp.Expr, place: str, kind: type[exp.Expr]) -> bool:
        inside = kind(this=node.this.copy(), expression=node.args[place].copy())
        return node.parent is not None and bool(
            node.replace(exp.paren(exp.And(this=node.copy(), expression=inside)))
        )

    def drop_element(node: exp.Expr) -> bool:
        node.set("expressions", node.expressions[:-1])
        return bool(node.expressions)

    def change(node: exp.Expr) -> bool:
        if node.args["is_string"]:
            node.set("this", node.name + "x" if "%" not in node.name else node.name.strip("%") or "x")
            return True
        if not node.name.isdigit():
            return False
        node.set("this", str(int(node.name) + 1))
        return True

    yield from changed_copies(tree, exp.Literal, change)
    yield from changed_copies(tree, exp.Literal, widen)
    yield from changed_copies(tree, exp.In, drop_element)
    for place, kind in (("low", exp.GT), ("high", exp.LT)):
        yield from changed_copies(tree, exp.Between, partial(open_end, place=place, kind=kind))


def lists(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Drop the last column of the result, append one, rotate the columns, or count distinct values."""

    def drop(node: exp.Expr) -> bool:
        node.set("expressions", node.expressions[:-1])
        return bool(node.expressions)

    def add(node: exp.Expr) -> bool:
        node.append("expressions", exp.Literal.number(1))
        return True

    def rotate(node: exp.Expr) -> bool:
        if len(node.expressions) < 2:
            return False
        node.set("expressions", [*node.expressions[1:], node.expressions[0]])
        return True

    for change in (drop, add, rotate):
        yield from changed_copies(tree, exp.Select, change)
    yield from changed_copies(tree, exp.Count, make_distinct)


def orders(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Reverse or drop a term of an ORDER BY, or drop an ORDER BY, a LIMIT or an OFFSET."""

    def reverse(node: exp.Expr) -> bool:
        node.set("desc", not node.args.get("desc"))
        return True

    def drop(node: exp.Expr) -> bool:
        if not isinstance(node.parent, exp.Query):
            return False
        node.pop()
        return True

    def drop_term(node: exp.Expr) -> bool:
        if not isinstance(node.parent, exp.Order) or len(node.parent.expressions) < 2:
            return False
        node.pop()
        return True

    yield from changed_copies(tree, exp.Ordered, reverse)
    yield from changed_copies(tree, exp.Ordered, drop_term)
    yield from changed_copies(tree, exp.Order, drop)
    yield from changed_copies(tree, exp.Limit, drop)
    yield from changed_copies(tree, exp.Offset, drop)


def make_distinct(node: exp.Expr) -> bool:
    """Make an aggregate function ignore repeated values, and return whether it did not before."""
    if node.this is None or isinstance(node.this, exp.Star) or node.find(exp.Distinct):
        return False
    node.set("this", exp.Distinct(expressions=[node.this]))
    return True
