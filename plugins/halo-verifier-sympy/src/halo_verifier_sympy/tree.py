"""Parsed answers: trees of plain tuples, the first item of which (the head) names the kind of node.

Expressions:

    ("num", p, q)                     the rational number p/q in lowest terms, q > 0; p and q are integers
    ("sym", name)  ("const", name)    a variable; one of pi, e, i, inf
    ("add", terms)  ("mul", factors)  a tuple of at least two trees
    ("neg", a)  ("div", a, b)  ("pow", a, b)  ("root", n, a)  ("log", base, a)  ("pm", a, b)
    ("call", name, arguments)         a function in `FUNCTIONS`, or one that the task leaves undefined
    ("sum" | "prod", variable, low, high, body)
    ("int", variable, low | None, high | None, body)  ("lim", variable, to, body)

Other answers, made of expressions and of each other:

    ("quantity", a, unit)             the unit is the fields of a `Unit`
    ("list", joiner, items)           without brackets; joined by commas and "and" (","), or by "or"
    ("tuple", items)  ("set", items)  ("builder", variable, domain | None, condition)
    ("image", variable, element, condition)   the condition names the domain of the variable
    ("ratio", terms)  ("based", digits, base)   digits are written as a decimal integer
    ("interval", low, high, low included, high included)   ("space", name)
    ("union" | "meet", parts)  ("minus", a, b)
    ("rel", operators, sides)         a chain: one more side than operators
    ("matrix", rows)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, TypeAlias

Tree: TypeAlias = tuple[Any, ...]

FUNCTIONS = frozenset(
    {"sin", "cos", "tan", "sec", "csc", "cot", "asin", "acos", "atan", "asec", "acsc", "acot"}
    | {"sinh", "cosh", "tanh", "sech", "csch", "coth", "asinh", "acosh", "atanh"}
    | {"exp", "ln", "abs", "floor", "ceil", "factorial", "binomial", "gcd", "lcm", "min", "max", "re", "im"}
)
OPEN_FORMS = frozenset({"sum", "prod", "int", "lim"})
"""Unevaluated sums, products, integrals and limits."""

_EXPRESSIONS = {
    "num": "--", "sym": "-", "const": "-", "add": "T", "mul": "T", "neg": "t", "div": "tt", "pow": "tt",
    "root": "tt", "log": "tt", "pm": "tt", "call": "-T", "sum": "-ttt", "prod": "-ttt", "int": "-oot",
    "lim": "-tt",
}  # fmt: skip
_FIELDS = _EXPRESSIONS | {
    "quantity": "t-", "list": "-T", "tuple": "T", "set": "T", "builder": "-ot", "image": "-tt", "ratio": "T",
    "based": "--", "interval": "tt--",
    "space": "-", "union": "T", "meet": "T", "minus": "tt", "rel": "-T", "matrix": "R",
}  # fmt: skip
"""Fields after each head: t a tree, o a tree or None, T a tuple of trees, R rows of trees, - anything else."""
_PLACES = {
    head: tuple((place, kind) for place, kind in enumerate(kinds, 1) if kind != "-")
    for head, kinds in _FIELDS.items()
}
"""The fields that hold trees, after each head."""
EXPRESSIONS = frozenset(_EXPRESSIONS)
"""Heads of the trees with a single value."""

ZERO: Tree = ("num", 0, 1)
ONE: Tree = ("num", 1, 1)
PERCENT: Tree = ("num", 1, 100)
PI: Tree = ("const", "pi")


class Unreadable(Exception):
    """A text without an answer, or with one that is not in the grammar."""


class Refused(Exception):
    """An answer that can be read but is not accepted: ambiguous, undefined, too large or unevaluated."""


def integer(value: int) -> Tree:
    """Return the tree of an integer."""
    return ("num", value, 1)


def children(tree: Tree) -> Iterator[Tree]:
    """Yield the trees directly below `tree`."""
    for place, kind in _PLACES[tree[0]]:
        part = tree[place]
        if kind == "t" or (kind == "o" and part is not None):
            yield part
        elif kind == "T":
            yield from part
        elif kind == "R":
            yield from (item for row in part for item in row)


def map_children(tree: Tree, change: Callable[[Tree], Tree]) -> Tree:
    """Return `tree` with `change` applied to each tree directly below it."""
    parts: list[Any] = [tree[0]]
    for kind, part in zip(_FIELDS[tree[0]], tree[1:], strict=True):
        if kind == "t" or (kind == "o" and part is not None):
            parts.append(change(part))
        elif kind == "T":
            parts.append(tuple(map(change, part)))
        elif kind == "R":
            parts.append(tuple(tuple(map(change, row)) for row in part))
        else:
            parts.append(part)
    return tuple(parts)


def walk(tree: Tree) -> Iterator[Tree]:
    """Yield `tree` and all trees below it, each before those below it."""
    waiting = [tree]
    while waiting:
        part = waiting.pop()
        yield part
        if _PLACES[part[0]]:
            waiting += reversed(tuple(children(part)))


@lru_cache(maxsize=256)
def free_variables(tree: Tree) -> frozenset[str]:
    """Return the names of the free variables in `tree`."""
    return _free_variables(tree)


def _free_variables(tree: Tree) -> frozenset[str]:
    if tree[0] == "sym":
        return frozenset({tree[1]})
    found = frozenset[str]().union(*map(_free_variables, children(tree)))
    if tree[0] in OPEN_FORMS:
        outer = [part for part in tree[2:-1] if part is not None]
        return (found - {tree[1]}) | frozenset[str]().union(*map(_free_variables, outer))
    return found - {tree[1]} if tree[0] in ("builder", "image") else found


def substitute(tree: Tree, values: Mapping[str, Tree]) -> Tree:
    """Return `tree` with its free variables replaced by `values`."""
    if tree[0] == "sym":
        return values.get(tree[1], tree)
    inner = {name: value for name, value in values.items() if name != tree[1]}
    if tree[0] in ("builder", "image"):
        return map_children(tree, lambda part: substitute(part, inner))
    if tree[0] in OPEN_FORMS:
        outer = (part and substitute(part, values) for part in tree[2:-1])
        return (*tree[:2], *outer, substitute(tree[-1], inner))
    return map_children(tree, lambda part: substitute(part, values))


def rename(tree: Tree, old: str, new: str) -> Tree:
    """Return `tree` with the free variable `old` renamed to `new`."""
    return substitute(tree, {old: ("sym", new)})
