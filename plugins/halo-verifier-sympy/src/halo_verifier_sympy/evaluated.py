"""Evaluated numbers: 12 and 5/6 are, 7 + 5, 2^10 and x^0 are not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from halo_verifier_sympy.normal import form_of_reference, normal_form
from halo_verifier_sympy.plus_minus import expand_plus_minus
from halo_verifier_sympy.poly import Undecided
from halo_verifier_sympy.relations import isolated_variables, without_unit_of_number
from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    OPEN_FORMS,
    PERCENT,
    Refused,
    Tree,
    children,
    free_variables,
    integer,
    walk,
)

_LEAVES = frozenset({"num", "sym", "const"})
_FAMILIES = {
    "circular": "sin cos tan sec csc cot", "inverse": "asin acos atan asec acsc acot",
    "hyperbolic": "sinh cosh tanh sech csch coth", "area": "asinh acosh atanh", "logarithm": "ln log", "power": "exp",
}  # fmt: skip
_FAMILY = {name: family for family, names in _FAMILIES.items() for name in names.split()}


class _Wanted(NamedTuple):
    """Demands on the numbers of an answer."""

    numeral: bool
    """They must be numerals."""
    quotients: bool
    """They may be quotients of integers that are integers."""
    families: frozenset[str] | None
    """Families of functions that they may use; None: any."""


_NUMERAL = _Wanted(numeral=True, quotients=True, families=None)


def check_numbers(
    tree: Tree, gold: Tree, known: Mapping[Tree, bool], *, tolerant: bool, open_forms: bool
) -> None:
    """Raise `Refused` if the reference has evaluated numbers and the answer, which is equal, a calculation.

    A rational number as reference wants a numeral: an integer, a decimal, a fraction that is not an integer, a
    percentage or a multiple of a power of ten. Another number wants no operation on rational numbers, no power of a
    sum, and no function of a kind that the reference does not have. With `tolerant`, a rational reference may be
    rounded, so that it wants the same, with any function. Numbers in tuples, lists, sets and intervals want no
    operation on rational numbers but quotients. Of a chain such as 7 + 5 = 12, one side must be evaluated. Equations
    are compared as a whole, except x = 12. With `open_forms`, unevaluated sums, integrals and limits are allowed.
    `known` tells of some operations whether they are rational numbers.
    """
    if is_literal(tree) or (wanted := _wanted(gold, tolerant)) is None or _is_general_relation(tree):
        return
    if (gold[0] in EXPRESSIONS or gold[0] == "quantity") and extra_variables(tree, gold):
        raise Refused("a variable in a number")
    for group in _numbers(expand_plus_minus(tree)):
        if open_forms and any(part[0] in OPEN_FORMS for number in group for part in walk(number)):
            continue
        if not any(_is_evaluated(number, wanted, known) for number in group):
            raise Refused("an unevaluated number")


def check_numeral(tree: Tree, gold: Tree) -> None:
    """Raise `Refused` if the reference is a numeral and the answer, which is equal, neither one nor a quotient."""
    if is_literal(gold) and not _is_evaluated(tree, _NUMERAL, {}):
        raise Refused("an unevaluated number")


@lru_cache(maxsize=4096)
def _wanted(gold: Tree, tolerant: bool) -> _Wanted | None:
    """Return what a reference demands of the numbers in an answer; None if its own numbers are not evaluated."""
    if gold[0] in EXPRESSIONS and free_variables(gold):
        return None
    gold = without_unit_of_number(gold)
    numbers = [number for group in _numbers(expand_plus_minus(gold)) for number in group]
    if not numbers or _is_general_relation(gold):
        return None
    single = gold[0] in EXPRESSIONS or gold[0] == "quantity"
    known = _rational_parts(numbers)
    numeral = single and not tolerant and all(_is_rational_number(number, known) for number in numbers)
    used = frozenset(_family(part) for number in numbers for part in walk(number))
    wanted = _Wanted(numeral, not single, used if single and not tolerant else None)
    return wanted if all(_is_evaluated(number, wanted, known) for number in numbers) else None


def _is_general_relation(tree: Tree) -> bool:
    """Return whether a tree has a relation other than x = 12, P(A) = 1/2 or 7 + 5 = 12."""
    return any(
        part[0] == "rel" and set(part[1]) != {"in"} and not _names_a_value(part) for part in walk(tree)
    )


def _names_a_value(relation: Tree) -> bool:
    named = relation[2][0][0] in ("sym", "call", "tuple", "ratio")
    return set(relation[1]) == {"="} and (named or not free_variables(relation))


def _numbers(tree: Tree) -> Iterator[list[Tree]]:
    """Yield each number of an answer alone, and the numbers of a chain of equations together."""
    if tree[0] == "rel" and set(tree[1]) == {"="} and all(side[0] in EXPRESSIONS for side in tree[2]):
        if group := [side for side in tree[2] if not free_variables(side)]:
            yield group
    elif tree[0] in EXPRESSIONS:
        if not free_variables(tree):
            yield [tree]
    elif tree[0] != "matrix":
        for child in children(tree):
            yield from _numbers(child)


def extra_variables(tree: Tree, gold: Tree) -> frozenset[str]:
    """Return the variables of an answer that the reference does not have, except the names of values."""
    extra = free_variables(tree) - free_variables(gold)
    for part in walk(tree) if extra else ():
        if part[0] == "rel":
            extra -= isolated_variables(part[2])
            first = part[2][0]
            extra -= free_variables(first) if first[0] in ("tuple", "ratio", "call") else frozenset[str]()
    return extra


def _is_evaluated(tree: Tree, wanted: _Wanted, known: Mapping[Tree, bool]) -> bool:
    if is_literal(tree) or tree == ("const", "inf"):
        return True
    if tree[0] == "neg" and tree[1][0] != "neg":
        return _is_evaluated(tree[1], wanted, known)
    if wanted.quotients and tree[0] == "div" and all(map(is_integer, tree[1:])):
        return True
    if wanted.numeral or any(_is_calculation(part, known) for part in walk(tree)):
        return False
    return _uses(tree, wanted.families)


def _is_calculation(tree: Tree, known: Mapping[Tree, bool]) -> bool:
    if tree[0] in _LEAVES or is_literal(tree):
        return False
    return is_unevaluated(tree) or is_hidden_rational(tree, known) or _is_power_of_sum(tree)


def _uses(tree: Tree, families: frozenset[str] | None) -> bool:
    """Return whether an expression uses only functions of these families."""
    return families is None or {_family(part) for part in walk(tree)} <= families | {"", "power"}


def _family(tree: Tree) -> str:
    """Return the family of functions that `tree` is a call of; empty for other trees."""
    if tree[0] == "log":
        return "logarithm"
    return _FAMILY.get(tree[1], str(tree[1])) if tree[0] == "call" else ""


def _is_power_of_sum(tree: Tree) -> bool:
    """Return whether a tree is a power to be multiplied out, such as (1 + i)^2 and i^3."""
    if tree[0] != "pow" or not is_integer(tree[2]) or tree[2] in (integer(1), ("neg", integer(1))):
        return False
    return tree[1] == ("const", "i") or any(part[0] == "add" for part in (tree[1], *children(tree[1])))


def is_literal(tree: Tree) -> bool:
    """Return whether a tree is a numeral: 5, -1/2, 0.5, 50% or 3 * 10^8."""
    if tree[0] == "neg":
        return tree[1][0] != "neg" and is_literal(tree[1])
    if tree[0] == "num":
        return True
    if tree[0] == "div":
        return _is_fraction(*tree[1:])
    if tree[0] == "mul" and len(tree[1]) == 2:
        first, second = tree[1]
        return is_literal(first) if second == PERCENT else first[0] == "num" and _is_power_of_ten(second)
    return _is_power_of_ten(tree)


def _is_power_of_ten(tree: Tree) -> bool:
    return tree[0] == "pow" and tree[1] == integer(10) and is_integer(tree[2])


def _rational_parts(numbers: Iterable[Tree]) -> dict[Tree, bool]:
    """Return for operations in a reference's numbers whether they are rational numbers, as far as that is known."""
    known: dict[Tree, bool] = {}
    for number in numbers:
        with suppress(Undecided, Refused):
            known |= form_of_reference(number).rational
    return known


def _is_rational_number(tree: Tree, known: Mapping[Tree, bool]) -> bool:
    """Return whether the normal form of an expression is a rational number."""
    if tree in known:
        return known[tree]
    try:
        return normal_form(tree).ratio.as_rational() is not None
    except (Undecided, Refused):
        return False


def is_hidden_rational(tree: Tree, known: Mapping[Tree, bool] = MappingProxyType({})) -> bool:
    """Return whether an expression is a rational number that is not written as one, such as x^0.

    `known` tells of some operations whether they are rational numbers.
    """
    if tree[0] in _LEAVES or is_literal(tree):
        return False
    inside = tree[1] if tree[0] == "neg" else tree
    return not is_literal(inside) and _is_rational_number(tree, known)


def is_unevaluated(tree: Tree) -> bool:
    """Return whether a tree is an operation on rational numbers other than a fraction."""
    head = tree[0]
    if head in ("add", "mul"):
        return sum(map(_is_rational, _flattened(tree))) > 1 and not (head == "mul" and tree[1][-1] == PERCENT)
    if head == "div":
        return all(map(_is_rational, tree[1:])) and not _is_fraction(*tree[1:])
    if head == "pow":
        return _is_rational(tree[1]) and is_integer(tree[2])
    return bool(head == "neg" and tree[1][0] == "neg")


def _flattened(tree: Tree) -> Iterator[Tree]:
    """Yield the terms of a sum, or the factors of a product, and those of the sums or products among them."""
    for part in tree[1]:
        if part[0] == tree[0]:
            yield from _flattened(part)
        else:
            yield part


def _is_fraction(numerator: Tree, denominator: Tree) -> bool:
    """Return whether a quotient of integers, which need not be in lowest terms, is not an integer."""
    if not (is_integer(numerator) and is_integer(denominator)):
        return False
    dividend, divisor = (part[1][1] if part[0] == "neg" else part[1] for part in (numerator, denominator))
    return bool(divisor and dividend % divisor)


def is_integer(tree: Tree) -> bool:
    """Return whether a tree is an integer, perhaps with a sign."""
    inside = tree[1] if tree[0] == "neg" else tree
    return bool(inside[0] == "num" and inside[2] == 1)


def _is_rational(tree: Tree) -> bool:
    """Return whether `tree` consists of arithmetic on rational numbers."""
    if tree[0] == "num":
        return True
    if tree[0] in ("add", "mul"):
        return all(map(_is_rational, tree[1]))
    return tree[0] in ("neg", "div", "pow") and all(map(_is_rational, tree[1:]))
