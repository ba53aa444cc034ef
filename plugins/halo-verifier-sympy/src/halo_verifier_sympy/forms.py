"""Checks of an answer's form: an equal value is not always enough.

"What is 2/3 + 1/6?" is answered by 5/6, 10/12 and 0.8333... repeating, but not by 2/3 + 1/6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from halo_verifier_sympy.evaluated import extra_variables, is_hidden_rational, is_integer, is_unevaluated
from halo_verifier_sympy.relations import isolated_variables
from halo_verifier_sympy.tree import EXPRESSIONS, Refused, Tree, children, free_variables, walk

Form = Literal["auto", "any", "evaluated", "expanded", "solved"]
FORMS: tuple[Form, ...] = ("auto", "any", "evaluated", "expanded", "solved")


def check_form(tree: Tree, form: Form, gold: Tree) -> None:
    """Raise `Refused` unless `tree` has a form that the task asks for.

    evaluated: no operation on two rational numbers remains, except fractions, and nothing else that is a rational
    number, such as x^0. expanded: evaluated, and each sum is one of distinct products of powers of variables. solved:
    evaluated, and each relation in `tree` isolates a variable that is isolated in `gold`, as x is in x = 2y and
    1 < x < 3.
    """
    if form in ("any", "auto"):
        return
    wanted = {name for part in walk(gold) if part[0] == "rel" for name in isolated_variables(part[2])}
    for part in walk(tree):
        if part[0] in EXPRESSIONS and (is_unevaluated(part) or is_hidden_rational(part)):
            raise Refused("an unevaluated calculation")
        if form == "solved" and part[0] == "rel" and not isolated_variables(part[2]) & wanted:
            raise Refused("a relation that is not solved")
    if form == "evaluated" and extra_variables(tree, gold):
        raise Refused("a variable that the reference does not have")
    if form == "expanded":
        for part in _outermost_expressions(tree):
            _check_expanded(part)


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
        if base[0] == "sym" and is_integer(exponent) and exponent[0] == "num":
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
