"""Whether an answer is the reference: kinds first, then what they are made of.

Values are left to a `Decider`: the fast one here knows normal forms and says `Unsettled` when they do not tell;
the exact one lives in a confined process, has sympy, and always decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal, Protocol

from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    FUNCTIONS,
    OPEN_FORMS,
    ZERO,
    Refused,
    Tree,
    mapped,
    rename,
    symbols,
    walk,
)

MAX_ITEMS = 64
"""Items of a list or set."""

Link = tuple[str, Tree]
"""A sign and what stands on its left less what stands on its right."""
Assume = Literal["complex", "real", "positive"]


@dataclass(frozen=True)
class Terms:
    """What the task says about how an answer is compared."""

    rtol: float = 0.0
    atol: float = 0.0
    ordered: bool = True
    """Whether the items of a list without brackets come in order."""
    units: bool = True
    """Whether a unit must be given where the reference has one, and only there."""
    names: bool = True
    """Whether x = 5 answers a task whose reference is 5."""
    open_forms: bool = False
    """Whether sums, products, integrals and limits may be left as they are."""
    assume: Assume = "complex"
    """What variables stand for."""


class Decider(Protocol):
    """Decides about values."""

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Whether two expressions are equal."""

    def close(self, gold: Tree, answer: Tree, terms: Terms) -> bool:
        """Whether two numbers are within the tolerances."""

    def proportional(self, gold: Tree, answer: Tree, positive: bool) -> bool:
        """Whether answer / gold is a constant other than zero, and a positive one if asked for."""

    def vanishes(self, tree: Tree) -> bool:
        """Whether an expression is zero."""

    def same_set(self, gold: Tree, answer: Tree) -> bool:
        """Whether two sets of real numbers are the same."""


def difference(gold: Tree, answer: Tree, terms: Terms, decider: Decider) -> str:
    """Say in what `answer` is not `gold`; empty when they are equal.

    Raises `Refused` for an answer that is not taken whatever its value, and what the decider raises.
    """
    if not terms.open_forms and any(tree[0] in OPEN_FORMS for tree in walk(answer)):
        raise Refused("a sum, product, integral or limit that is not worked out")
    return _Comparison(terms, decider).difference(expanded(gold), expanded(answer))


def kind(tree: Tree) -> str:
    """Name the kind of an answer, for people."""
    if tree[0] in EXPRESSIONS:
        return "an expression" if symbols(tree) else "a number"
    if tree[0] == "rel":
        return (
            "an equation" if tree[1][0] == "=" else "a membership" if tree[1][0] == "in" else "an inequality"
        )
    names = {"interval": "an interval", "quantity": "an amount with a unit", "builder": "a set by condition"}
    return names.get(tree[0], f"a {tree[0]}")


def expanded(tree: Tree) -> Tree:
    """Return `tree` with each plus-or-minus made two."""
    if not any(part[0] == "pm" for part in walk(tree)):
        return tree
    if tree[0] in ("list", "set"):
        items = [part for item in tree[-1] for part in _signed(item)]
        return (*tree[:-1], tuple(items))
    return ("list", "or", tuple(_signed(tree)))


def _signed(tree: Tree) -> tuple[Tree, ...]:
    count = sum(part[0] == "pm" for part in walk(tree))
    if not count:
        return (tree,)
    if count > 1:
        raise Refused("more than one plus-or-minus")
    return _with_sign(tree, "plus"), _with_sign(tree, "minus")


def _with_sign(tree: Tree, sign: str) -> Tree:
    if tree[0] == "pm":
        terms = tree[1:] if sign == "plus" else (tree[1], ("neg", tree[2]))
        return terms[1] if terms[0] == ZERO else ("add", terms)
    return mapped(tree, lambda part: _with_sign(part, sign))


class _Comparison:
    def __init__(self, terms: Terms, decider: Decider) -> None:
        self._terms = terms
        self._decider = decider

    def difference(self, gold: Tree, answer: Tree) -> str:
        """Compare two answers."""
        if (wanted := _conditions(gold)) and (given := _conditions(answer)):
            return self._relations(wanted, given, kind(answer))
        if self._terms.names and gold[0] != "rel" and answer[0] == "rel":
            return self._unnamed(gold, answer)
        if self._terms.names and answer[0] == "list" and not (gold[0] == "list" and gold[2][0][0] == "rel"):
            answer = _without_names(answer)
        if gold[0] in EXPRESSIONS and answer[0] in EXPRESSIONS:
            return "" if self._same_value(gold, answer) else "another value"
        if "quantity" in (gold[0], answer[0]):
            return self._amounts(gold, answer)
        if {gold[0], answer[0]} <= _REAL_SETS and (gold[0] in _REGIONS or answer[0] in _REGIONS):
            return self._regions(gold, answer)
        if gold[0] != answer[0]:
            return f"{kind(answer)}, not {kind(gold)}"
        compare: Callable[[Tree, Tree], str] = getattr(self, f"_{gold[0]}")
        return compare(gold, answer)

    def _same(self, gold: Tree, answer: Tree) -> bool:
        return not self.difference(gold, answer)

    # Values

    def _same_value(self, gold: Tree, answer: Tree) -> bool:
        if infinite(gold) or infinite(answer):
            return infinite(gold) == infinite(answer)
        if self._terms.rtol or self._terms.atol:
            return self._decider.close(gold, answer, self._terms)
        return self._decider.equal(gold, answer)

    def _amounts(self, gold: Tree, answer: Tree) -> str:
        if gold[0] != "quantity" or answer[0] != "quantity":
            if self._terms.units or gold[0] not in _MEASURED or answer[0] not in _MEASURED:
                return "a unit is missing" if gold[0] == "quantity" else "a unit that was not asked for"
            values = [tree[1] if tree[0] == "quantity" else tree for tree in (gold, answer)]
            return "" if self._same_value(*values) else "another value"
        (above, below, powers), (other_above, other_below, other_powers) = gold[2], answer[2]
        if powers != other_powers:
            return "another unit"
        scaled = ("mul", (("num", *_lowest(other_above * below, other_below * above)), answer[1]))
        return "" if self._same_value(gold[1], scaled) else "another value"

    # Collections

    def _tuple(self, gold: Tree, answer: Tree) -> str:
        return self._in_order(gold[1], answer[1])

    def _list(self, gold: Tree, answer: Tree) -> str:
        relations = any(item[0] == "rel" for item in (*gold[2], *answer[2]))
        if relations and gold[1] != answer[1]:
            return "joined in another way"
        if relations or not self._terms.ordered or "or" in (gold[1], answer[1]):
            return self._in_any_order(gold[2], answer[2])
        return self._in_order(gold[2], answer[2])

    def _set(self, gold: Tree, answer: Tree) -> str:
        _check_size(gold[1], answer[1])
        missing = any(not any(self._same(item, other) for other in answer[1]) for item in gold[1])
        extra = any(not any(self._same(other, item) for other in gold[1]) for item in answer[1])
        return "other elements" if missing or extra else ""

    def _builder(self, gold: Tree, answer: Tree) -> str:
        reals = ("space", "R")
        if not self._same(gold[2] or reals, answer[2] or reals):
            return "another domain"
        return self.difference(
            rename(gold[3], gold[1], "an element"), rename(answer[3], answer[1], "an element")
        )

    def _matrix(self, gold: Tree, answer: Tree) -> str:
        if (len(gold[1]), len(gold[1][0])) != (len(answer[1]), len(answer[1][0])):
            return "a matrix of another shape"
        pairs = zip(_flat(gold[1]), _flat(answer[1]), strict=True)
        return "" if all(self._same_value(one, two) for one, two in pairs) else "other entries"

    def _in_order(self, gold: Sequence[Tree], answer: Sequence[Tree]) -> str:
        if len(gold) != len(answer):
            return f"{len(answer)} items, not {len(gold)}"
        return "" if all(map(self._same, gold, answer)) else "other items"

    def _in_any_order(self, gold: Sequence[Tree], answer: Sequence[Tree]) -> str:
        if len(gold) != len(answer):
            return f"{len(answer)} items, not {len(gold)}"
        _check_size(gold, answer)
        left = list(answer)
        for item in gold:
            place = next((n for n, other in enumerate(left) if self._same(item, other)), None)
            if place is None:
                return "other items"
            del left[place]
        return ""

    # Sets of real numbers

    def _regions(self, gold: Tree, answer: Tree) -> str:
        if gold[0] == answer[0] == "space":
            return "" if gold[1] == answer[1] else "another set"
        if gold[0] == answer[0] == "interval":
            ends = gold[3:] == answer[3:] and self._in_order(gold[1:3], answer[1:3]) == ""
            return "" if ends else "another interval"
        if gold[0] == answer[0] == "union" and not self._in_any_order(gold[1], answer[1]):
            return ""
        if "interval" in (gold[0], answer[0]) and {gold[0], answer[0]} & {"tuple", "set"}:
            return f"{kind(answer)}, not {kind(gold)}"
        return "" if self._decider.same_set(gold, answer) else "another set"

    # Relations

    def _rel(self, gold: Tree, answer: Tree) -> str:
        """Compare memberships; all other relations are conditions."""
        if gold[1] != answer[1]:
            return f"{kind(answer)}, not {kind(gold)}"
        return self._in_order(gold[2], answer[2])

    def _relations(self, gold: Sequence[Link], answer: Sequence[Link], name: str) -> str:
        _check_size(gold, answer)
        for _, apart in answer:
            if not symbols(apart) or self._decider.vanishes(apart):
                raise Refused("a relation that says nothing")
        left = list(answer)
        for link in gold:
            place = next((n for n, other in enumerate(left) if self._same_link(link, other)), None)
            if place is None:
                return f"{name} with other solutions"
            del left[place]
        return f"{name} with other solutions" if left else ""

    def _same_link(self, gold: Link, answer: Link) -> bool:
        if gold[0] != answer[0]:
            return False
        return self._decider.proportional(gold[1], answer[1], gold[0] in (">", ">="))

    def _unnamed(self, gold: Tree, answer: Tree) -> str:
        """Compare a value with x = 5, or with the links of 10/2 = 5: each of them must be right."""
        values = _named_values(answer)
        if not values:
            return f"{kind(answer)}, not {kind(gold)}"
        return next((found for value in values if (found := self.difference(gold, value))), "")


_REAL_SETS = frozenset({"interval", "union", "meet", "minus", "space", "tuple", "set"})
_REGIONS = _REAL_SETS - {"tuple", "set"}
_MEASURED = EXPRESSIONS | {"quantity"}


def _named_values(tree: Tree) -> tuple[Tree, ...]:
    """Return the sides of x = a = b behind the name, or all sides of a = b when none has a variable."""
    signs, sides = set(tree[1]), tree[2]
    first, rest = sides[0], sides[1:]
    name = first[1] if first[0] == "sym" or (first[0] == "call" and first[1] not in FUNCTIONS) else ""
    if signs == {"in"} and not _region(rest[-1]):
        return ()
    if name and signs in ({"="}, {"in"}):
        inside = symbols(first) if first[0] == "sym" else frozenset[str]()
        return rest if not any(inside & symbols(side) or _calls(name, side) for side in rest) else ()
    closed = signs == {"="} and not any(symbols(side) for side in sides)
    return sides if closed else ()


def _region(tree: Tree) -> bool:
    """Whether a tree is a set; (1, 2) may be a point, but (1, infinity) is none."""
    if tree[0] == "tuple":
        return any(map(infinite, tree[1]))
    return tree[0] in _REGIONS | {"set", "builder"}


def _calls(name: str, tree: Tree) -> bool:
    return any(part[:2] == ("call", name) for part in walk(tree))


def _without_names(answer: Tree) -> Tree:
    """Return a list with x = 1 made 1 in it, where each item has a name or none has."""
    items = [_named_values(item)[:1] if item[0] == "rel" and len(item[2]) == 2 else () for item in answer[2]]
    if items[0] and not any(items[1:]) and not any(item[0] == "rel" for item in answer[2][1:]):
        return (*answer[:2], (*items[0], *answer[2][1:]))  # x = 1, 2
    return (*answer[:2], tuple(item[0] for item in items)) if all(items) else answer


def _conditions(tree: Tree) -> list[Link]:
    """Return what must hold together, for an equation, an inequality, a chain or several; else nothing."""
    items = tree[2] if tree[0] == "list" and tree[1] == "," else (tree,)
    if not all(item[0] == "rel" and "in" not in item[1] for item in items):
        return []
    return [link for item in items for link in _links(item)]


def _links(tree: Tree) -> Iterable[Link]:
    for sign, (left, right) in zip(tree[1], pairwise(tree[2]), strict=True):
        if left[0] not in EXPRESSIONS or right[0] not in EXPRESSIONS:
            raise Refused("a relation between what are no values")
        if sign in ("<", "<="):
            left, right, sign = right, left, sign.replace("<", ">")
        yield sign, ("add", (left, ("neg", right)))


def infinite(tree: Tree) -> int:
    """Return the sign of an infinity; 0 for anything else."""
    if tree[0] == "neg":
        return -infinite(tree[1])
    return int(tree == ("const", "inf"))


def _lowest(above: int, below: int) -> tuple[int, int]:
    value = Fraction(above, below)
    return value.numerator, value.denominator


def _flat(rows: Sequence[Sequence[Tree]]) -> list[Tree]:
    return [item for row in rows for item in row]


def _check_size(*collections: Sequence[Tree]) -> None:
    if any(len(items) > MAX_ITEMS for items in collections):
        raise Refused(f"more than {MAX_ITEMS} items")
