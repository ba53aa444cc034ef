"""Mutants of a reference query: each has one change that a model might make by mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import sqlglot
from sqlglot import exp

from halo_verifier_sql.ordering import DIALECTS

_MAX_MUTANTS = 40
"""Maximum number of mutants of one query; the kinds of changes take turns."""
_SWAPS: tuple[tuple[type[exp.Expr], tuple[type[exp.Expr], ...]], ...] = (
    (exp.GT, (exp.GTE, exp.LT)),
    (exp.GTE, (exp.GT, exp.LTE)),
    (exp.LT, (exp.LTE, exp.GT)),
    (exp.LTE, (exp.LT, exp.GTE)),
    (exp.EQ, (exp.NEQ,)),
    (exp.NEQ, (exp.EQ,)),
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
)


def mutants(query: str, dialect: str) -> list[str]:
    """Return changed copies of `query`, deterministically; an empty list if it cannot be parsed.

    A mutant can be correct: moving a comparison's boundary changes nothing if no value lies on it.
    """
    try:
        tree = sqlglot.parse_one(query, read=DIALECTS[dialect])
    except (sqlglot.errors.SqlglotError, RecursionError):
        return []
    turns = [kind(tree) for kind in (_operators, _clauses, _joins, _constants, _lists, _orders)]
    found: dict[str, None] = {}
    while turns and len(found) < _MAX_MUTANTS:
        for turn in list(turns):
            changed = next(turn, None)
            if changed is None:
                turns.remove(turn)
            elif text := _render(changed, dialect):
                found[text] = None
    found.pop(_render(tree, dialect), None)
    return list(found)


def _render(tree: exp.Expr, dialect: str) -> str:
    try:
        return tree.sql(dialect=DIALECTS[dialect], comments=False)
    except Exception:  # a changed tree may be invalid in any way; one mutant fewer does no harm
        return ""


def constants(query: str, dialect: str) -> dict[str, list[object]]:
    """Return the literals that `query` compares columns with, and their neighbours, by column in lower case."""
    found: dict[str, list[object]] = {}
    try:
        tree = sqlglot.parse_one(query, read=DIALECTS[dialect])
    except (sqlglot.errors.SqlglotError, RecursionError):
        return found
    for literal in tree.find_all(exp.Literal):
        around = literal.find_ancestor(exp.Predicate)
        if around is None:
            continue
        for column in around.find_all(exp.Column):
            found.setdefault(column.name.lower(), []).extend(_neighbours(literal))
    return found


def _neighbours(literal: exp.Literal) -> list[object]:
    text = literal.name
    if literal.is_string:
        return [text, text.strip("%")]
    try:
        whole = float(text)
    except ValueError:
        return []
    near: list[object] = [whole, whole - 0.5, whole + 0.5]
    if text.isdigit():
        near += [int(text) - 1, int(text), int(text) + 1]
    return near


def _changed(tree: exp.Expr, kind: type[exp.Expr], change: Callable[[exp.Expr], bool]) -> Iterator[exp.Expr]:
    """Yield one copy of the tree for each node of `kind` that `change` can be applied to.

    `change` modifies the node and returns whether it could.
    """
    for index in range(sum(1 for _ in tree.find_all(kind))):
        copy = tree.copy()
        node = list(copy.find_all(kind))[index]
        if change(node):
            yield copy


def _operators(tree: exp.Expr) -> Iterator[exp.Expr]:
    for kind, replacements in _SWAPS:
        for other in replacements:

            def change(node: exp.Expr, kind: type[exp.Expr] = kind, other: type[exp.Expr] = other) -> bool:

                if type(node) is not kind or node.parent is None:
                    return False
                node.replace(
                    other(**{key: value for key, value in node.args.items() if key in other.arg_types})
                )
                return True

            yield from _changed(tree, kind, change)


def _clauses(tree: exp.Expr) -> Iterator[exp.Expr]:
    """Drop a WHERE, a HAVING, one side of an AND, a NOT, a DISTINCT or a grouping; or add a DISTINCT."""

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

    for kind in (exp.Where, exp.Having, exp.Group):
        yield from _changed(tree, kind, drop)
    yield from _changed(tree, exp.And, keep_left)
    yield from _changed(tree, exp.And, keep_right)
    yield from _changed(tree, exp.Not, keep_left)
    yield from _changed(tree, exp.Select, toggle_distinct)
    yield from _changed(
        tree, exp.Distinct, lambda node: isinstance(node.parent, exp.AggFunc) and _unwrap(node)
    )


def _unwrap(node: exp.Expr) -> bool:
    return len(node.expressions) == 1 and bool(node.replace(node.expressions[0]))


def _joins(tree: exp.Expr) -> Iterator[exp.Expr]:
    def toggle_left(node: exp.Expr) -> bool:
        node.set("side", None if node.args.get("side") else "LEFT")
        return True

    def drop_condition(node: exp.Expr) -> bool:
        if not node.args.get("on"):
            return False
        node.set("on", exp.true())
        return True

    yield from _changed(tree, exp.Join, toggle_left)
    yield from _changed(tree, exp.Join, drop_condition)


def _constants(tree: exp.Expr) -> Iterator[exp.Expr]:
    def change(node: exp.Expr) -> bool:
        if node.args["is_string"]:
            node.set("this", node.name + "x" if "%" not in node.name else node.name.strip("%") or "x")
            return True
        if not node.name.isdigit():
            return False
        node.set("this", str(int(node.name) + 1))
        return True

    yield from _changed(tree, exp.Literal, change)


def _lists(tree: exp.Expr) -> Iterator[exp.Expr]:
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

    def count_distinct(node: exp.Expr) -> bool:
        if isinstance(node.this, exp.Star) or node.find(exp.Distinct) or node.this is None:
            return False
        node.set("this", exp.Distinct(expressions=[node.this]))
        return True

    for change in (drop, add, rotate):
        yield from _changed(tree, exp.Select, change)
    yield from _changed(tree, exp.Count, count_distinct)


def _orders(tree: exp.Expr) -> Iterator[exp.Expr]:
    def reverse(node: exp.Expr) -> bool:
        node.set("desc", not node.args.get("desc"))
        return True

    def drop(node: exp.Expr) -> bool:
        if not isinstance(node.parent, exp.Query):
            return False
        node.pop()
        return True

    yield from _changed(tree, exp.Ordered, reverse)
    yield from _changed(tree, exp.Order, drop)
    yield from _changed(tree, exp.Limit, drop)
    yield from _changed(tree, exp.Offset, drop)
