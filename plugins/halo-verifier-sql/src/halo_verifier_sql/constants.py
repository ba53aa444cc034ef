"""Constants that a query or a CHECK constraint compares columns with."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits
from typing import Any

import sqlglot
from sqlglot import exp

DIALECTS = {"sqlite": "sqlite", "duckdb": "duckdb", "postgresql": "postgres"}
"""Name of a dialect in this package -> its name in sqlglot."""
_LITERAL = re.compile(r"--[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/|('[^']*'|(?<![\w.])\d+(?:\.\d+)?)")
_WORD = re.compile(r"[^\W\d]\w*")
_OTHER_LETTERS = str.maketrans(
    ascii_letters + digits, ascii_lowercase[1:] + "a" + ascii_uppercase[1:] + "A" + digits[1:] + "0"
)
"""Turns a text into one of the same form that has another letter or digit at each place."""
_MEASURES = (exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Avg)
"""Expressions that use a column as a quantity."""


@dataclass(frozen=True, slots=True)
class Constants:
    """The columns of an expression, in lower case, and the values that it compares them with."""

    values: dict[str, list[Any]] = field(default_factory=dict)
    """Literals that a column is compared with, and their neighbours."""
    exact: dict[str, list[Any]] = field(default_factory=dict)
    """The literals alone; of a pattern, a text that matches it and one that does not."""
    measured: set[str] = field(default_factory=set)
    """Columns that are used as quantities: in arithmetic, or compared by more or less, or with numbers above 1."""
    columns: set[str] = field(default_factory=set)
    """All columns."""


def of_query(query: str, dialect: str) -> Constants:
    """Return the constants of a query; none if it cannot be parsed."""
    return _collected([tree] if (tree := parse(query, dialect)) else [])


def of_check(text: str, dialect: str) -> Constants:
    """Return the constants of a CHECK constraint: its expression, or the CREATE TABLE that contains it."""
    tree = parse(text, dialect)
    if isinstance(tree, exp.Create):
        return _collected(tree.find_all(exp.CheckColumnConstraint), near=False)
    return _collected([tree] if tree else [], near=False)


def literals(query: str) -> frozenset[str]:
    """Return the texts and numbers of a query, as they are written; without 0, 1 and comments. Takes linear time."""
    return frozenset(_LITERAL.findall(query)) - {"", "0", "1"}


def words(query: str) -> frozenset[str]:
    """Return the words of a query in lower case, also those in texts. Takes linear time."""
    return frozenset(_WORD.findall(query.lower()))


def compared_literals(query: str, dialect: str) -> frozenset[str]:
    """Return the literals that a query compares something with, as `literals` returns them."""
    tree = parse(query, dialect)
    found = tree.find_all(exp.Literal) if tree else ()
    return frozenset(literal.sql() for literal in found if literal.find_ancestor(exp.Predicate))


def parse(sql: str, dialect: str) -> exp.Expr | None:
    """Return the syntax tree of a statement or an expression; None if it cannot be parsed."""
    try:
        return sqlglot.parse_one(sql, read=DIALECTS[dialect])
    except (sqlglot.errors.SqlglotError, RecursionError):
        return None


def _collected(trees: Iterable[exp.Expr], *, near: bool = True) -> Constants:
    found = Constants()
    for tree in trees:
        found.columns.update(column.name.lower() for column in tree.find_all(exp.Column))
        for literal in tree.find_all(exp.Literal):
            around = literal.find_ancestor(exp.Predicate)
            while isinstance(around, exp.SubqueryPredicate):
                around = around.find_ancestor(exp.Predicate)
            for column in around.find_all(exp.Column) if around is not None else ():
                name = column.name.lower()
                values = _neighbours(literal, near)
                found.values.setdefault(name, []).extend(values)
                found.exact.setdefault(name, []).extend(values[: 1 + _is_pattern(literal)])
                if not literal.is_string and literal.name not in ("0", "1"):
                    found.measured.add(name)
        for measure in tree.find_all(*_MEASURES):
            found.measured.update(column.name.lower() for column in measure.find_all(exp.Column))
    return found


def _is_pattern(literal: exp.Literal) -> bool:
    return literal.is_string and isinstance(literal.parent, exp.Like | exp.ILike)


def _neighbours(literal: exp.Literal, near: bool) -> list[Any]:
    """Return the value of a literal and others close to it; with `near`, also of a text."""
    text = literal.name
    if _is_pattern(literal):
        matching = [text.replace("%", some).replace("_", "x") for some in ("", "o")]
        return [matching[0], matching[0].translate(_OTHER_LETTERS), matching[1]]
    if literal.is_string:
        others = [text.replace("%", ""), text[:-1], f"{text}o"]
        return [text, *(other for other in others if near and other and other != text)]
    try:
        number = float(text)
    except ValueError:
        return []
    sign = -1 if isinstance(literal.parent, exp.Neg) else 1
    if text.isdigit():
        whole = sign * int(text)
        return [whole, whole - 1, whole + 1, sign * number, sign * number - 0.5, sign * number + 0.5]
    if not math.isfinite(number) or abs(number) > 2**53:
        return [sign * number] if math.isfinite(number) else []
    low = math.floor(sign * number)
    return [sign * number, sign * number - 0.5, sign * number + 0.5, low, low + 1]
