"""Checks of an answer's form, for tasks where an equal value is not enough.

"What is 2/3 + 1/6?" is answered by 5/6, 10/12 and 0.8333... repeating, but not by 2/3 + 1/6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from halo_verifier_sympy.tree import EXPRESSIONS, Refused, Tree, children, free_variables, walk

Form = Literal["any", "evaluated", "expanded", "solved"]
FORMS: tuple[Form, ...] = ("any", "evaluated", "expanded", "solved")


def check_form(tree: Tree, form: Form, gold: Tree) -> None:
    """Raise `Refused` unless `tree` has the form.

    evaluated: no operation on two rational numbers remains, except fractions. expanded: evaluated, and each sum is
    one of distinct products of powers of variables. solved: evaluated, and each relation in `tree` isolates a
    variable that is isolated in `gold`, as x is in x = 2y and 1 < x < 3.
    """
    if form == "any":
        return
    wanted = {name for part in walk(gold) if part[0] == "rel" for name in _isolated_variables(part[2])}
    for part in walk(tree):
        if part[0] in EXPRESSIONS and _is_unevaluated(part):
            raise Refused("an unevaluated calculation")
        if form == "solved" and part[0] == "rel" and not _isolated_variables(part[2]) & wanted:
            raise Refused("a relation that is not solved")
    if form == "expanded":
        for part in _outermost_expressions(tree):
            _check_expanded(part)


def _isolated_variables(sides: Sequence[Tree]) -> set[str]:
    """Return the variables that form one side of a relation and occur in no other side."""
    names = {side[1] for side in sides if side[0] == "sym"}
    return {name for name in names if sum(name in free_variables(side) for side in sides) == 1}


def _is_unevaluated(tree: Tree) -> bool:
    head = tree[0]
    if head in ("add", "mul"):
        return sum(map(_is_rational, tree[1])) > 1
    if head == "div":
        return all(map(_is_rational, tree[1:])) and not _is_fraction(*tree[1:])
    if head == "pow":
        return _is_rational(tree[1]) and _is_integer(tree[2])
    if head == "call":
        return all(map(_is_rational, tree[2]))
    if head == "log":
        return _is_rational(tree[1]) and _is_rational(tree[2])
    return bool(head == "neg" and tree[1][0] == "neg")


def _is_fraction(numerator: Tree, denominator: Tree) -> bool:
    """Return whether a quotient of integers, which need not be in lowest terms, is not an integer."""
    if not (_is_integer(numerator) and _is_integer(denominator)):
        return False
    dividend, divisor = (part[1][1] if part[0] == "neg" else part[1] for part in (numerator, denominator))
    return bool(divisor and dividend % divisor)


def _is_integer(tree: Tree) -> bool:
    inside = tree[1] if tree[0] == "neg" else tree
    return bool(inside[0] == "num" and inside[2] == 1)


def _is_rational(tree: Tree) -> bool:
    """Return whether `tree` consists of arithmetic on rational numbers."""
    if tree[0] == "num":
        return True
    if tree[0] in ("add", "mul"):
        return all(map(_is_rational, tree[1]))
    return tree[0] in ("neg", "div", "pow") and all(map(_is_rational, tree[1:]))


def _outermost_expressions(tree: Tree) -> Iterator[Tree]:
    """Yield the outermost expressions."""
    if tree[0] in EXPRESSIONS:
        yield tree
    else:
        for child in children(tree):
            yield from _outermost_expressions(child)


def _check_expanded(tree: Tree) -> None:
    seen = set()
    for term in tree[1] if tree[0] == "add" else (tree,):
        powers = _powers(term)
        if powers in seen:
            raise Refused("like terms that are not collected")
        seen.add(powers)


def _powers(term: Tree) -> tuple[tuple[str, int], ...]:
    """Return the variables of a product with their exponents; raise `Refused` unless it is expanded."""
    exponents: dict[str, int] = {}
    for factor in _factors(term):
        base, exponent = factor[1:] if factor[0] == "pow" else (factor, ("num", 1, 1))
        if base[0] == "sym" and _is_integer(exponent) and exponent[0] == "num":
            if base[1] in exponents:
                raise Refused("powers that are not collected")
            exponents[base[1]] = exponent[1]
        elif free_variables(factor):
            raise Refused("a product that is not multiplied out")
    return tuple(sorted(exponents.items()))


def _factors(term: Tree) -> Iterator[Tree]:
    if term[0] == "neg":
        yield from _factors(term[1])
    elif term[0] == "mul":
        for factor in term[1]:
            yield from _factors(factor)
    elif term[0] == "div" and not free_variables(term[2]):
        yield from _factors(term[1])
        yield term[2]
    else:
        yield term
