"""What form an answer must have, where the task is to work something out: equal is not enough then.

"What is 2/3 + 1/6?" is answered by 5/6, 10/12 and 0.8333... repeating, but not by 2/3 + 1/6.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from halo_verifier_sympy.tree import EXPRESSIONS, Refused, Tree, children, symbols, walk

Form = Literal["any", "evaluated", "expanded", "solved"]
FORMS: tuple[Form, ...] = ("any", "evaluated", "expanded", "solved")


def check_form(tree: Tree, form: Form, gold: Tree) -> None:
    """Raise `Refused` unless `tree` has the form.

    evaluated: no operation of two rational numbers is left, but for fractions. expanded: evaluated, and sums are
    of different products of powers of variables. solved: evaluated, and a variable that is alone in a relation of
    `gold`, as x in x = 2y or 1 < x < 3, is alone in each relation of `tree`.
    """
    if form == "any":
        return
    wanted = {name for part in walk(gold) if part[0] == "rel" for name in _alone(part[2])}
    for part in walk(tree):
        if part[0] in EXPRESSIONS and _left_to_do(part):
            raise Refused("a calculation that is not worked out")
        if form == "solved" and part[0] == "rel" and not _alone(part[2]) & wanted:
            raise Refused("a relation that is not solved")
    if form == "expanded":
        for part in _tops(tree):
            _check_expanded(part)


def _alone(sides: Sequence[Tree]) -> set[str]:
    """Return the variables that are one side of a relation and in no other side."""
    names = {side[1] for side in sides if side[0] == "sym"}
    return {name for name in names if sum(name in symbols(side) for side in sides) == 1}


def _left_to_do(tree: Tree) -> bool:
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


def _is_fraction(above: Tree, below: Tree) -> bool:
    """Whether one integer over another stays a fraction when worked out, if not in lowest terms."""
    if not (_is_integer(above) and _is_integer(below)):
        return False
    top, bottom = (part[1][1] if part[0] == "neg" else part[1] for part in (above, below))
    return bool(bottom and top % bottom)


def _is_integer(tree: Tree) -> bool:
    inside = tree[1] if tree[0] == "neg" else tree
    return bool(inside[0] == "num" and inside[2] == 1)


def _is_rational(tree: Tree) -> bool:
    """Whether `tree` is made of rational numbers by arithmetic alone."""
    if tree[0] == "num":
        return True
    if tree[0] in ("add", "mul"):
        return all(map(_is_rational, tree[1]))
    return tree[0] in ("neg", "div", "pow") and all(map(_is_rational, tree[1:]))


def _tops(tree: Tree) -> Iterator[Tree]:
    """Yield the outermost expressions."""
    if tree[0] in EXPRESSIONS:
        yield tree
    else:
        for child in children(tree):
            yield from _tops(child)


def _check_expanded(tree: Tree) -> None:
    seen = set()
    for term in tree[1] if tree[0] == "add" else (tree,):
        powers = _powers(term)
        if powers in seen:
            raise Refused("like terms that are not collected")
        seen.add(powers)


def _powers(term: Tree) -> tuple[tuple[str, int], ...]:
    """Return the variables of a product with their exponents; raise `Refused` for what is no such product."""
    exponents: dict[str, int] = {}
    for factor in _factors(term):
        base, exponent = factor[1:] if factor[0] == "pow" else (factor, ("num", 1, 1))
        if base[0] == "sym" and _is_integer(exponent) and exponent[0] == "num":
            if base[1] in exponents:
                raise Refused("powers that are not collected")
            exponents[base[1]] = exponent[1]
        elif symbols(factor):
            raise Refused("a product that is not multiplied out")
    return tuple(sorted(exponents.items()))


def _factors(term: Tree) -> Iterator[Tree]:
    if term[0] == "neg":
        yield from _factors(term[1])
    elif term[0] == "mul":
        for factor in term[1]:
            yield from _factors(factor)
    elif term[0] == "div" and not symbols(term[2]):
        yield from _factors(term[1])
        yield term[2]
    else:
        yield term
