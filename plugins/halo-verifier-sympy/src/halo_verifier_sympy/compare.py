"""Comparison of an answer with the reference: by kind first, then by their parts.

A `Decider` decides about values. The fast one uses normal forms and raises `Undecided` when they are not enough; the
exact one runs sympy in a confined process and always decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from itertools import pairwise

from halo_verifier_sympy.criteria import Criteria, Decider
from halo_verifier_sympy.plus_minus import expand_plus_minus
from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    FUNCTIONS,
    OPEN_FORMS,
    Refused,
    Tree,
    free_variables,
    rename,
    walk,
)

MAX_ITEMS = 64
"""Largest number of items in a list or set."""

Condition = tuple[str, Tree]
"""A relation sign, and the left side minus the right side."""


def difference(gold: Tree, answer: Tree, criteria: Criteria, decider: Decider) -> str:
    """Return how `answer` differs from `gold`; empty if they are equal.

    Raises `Refused` for an answer that is not acceptable whatever its value, and passes on the decider's exceptions.
    """
    if not criteria.open_forms and any(tree[0] in OPEN_FORMS for tree in walk(answer)):
        raise Refused("an unevaluated sum, product, integral or limit")
    return _Comparison(criteria, decider).difference(expand_plus_minus(gold), expand_plus_minus(answer))


def describe_kind(tree: Tree) -> str:
    """Return the kind of an answer in words."""
    if tree[0] in EXPRESSIONS:
        return "an expression" if free_variables(tree) else "a number"
    if tree[0] == "rel":
        return {"=": "an equation", "in": "a membership"}.get(tree[1][0], "an inequality")
    names = {"interval": "an interval", "quantity": "an amount with a unit", "builder": "a set by condition"}
    return names.get(tree[0], f"a {tree[0]}")


class _Comparison:
    def __init__(self, criteria: Criteria, decider: Decider) -> None:
        self._criteria = criteria
        self._decider = decider

    def difference(self, gold: Tree, answer: Tree) -> str:
        """Return how two answers differ; empty if they are equal."""
        if (wanted := _conditions(gold)) and (given := _conditions(answer)):
            return self._compare_conditions(wanted, given, describe_kind(answer))
        if self._criteria.names and gold[0] != "rel" and answer[0] == "rel":
            return self._compare_to_relation(gold, answer)
        wants_names = gold[0] == "list" and gold[2][0][0] == "rel"
        if self._criteria.names and answer[0] == "list" and not wants_names:
            answer = _without_names(answer)
        if gold[0] in EXPRESSIONS and answer[0] in EXPRESSIONS:
            return "" if self._equal_values(gold, answer) else "a different value"
        if "quantity" in (gold[0], answer[0]):
            return self._compare_amounts(gold, answer)
        if {gold[0], answer[0]} <= _REAL_SETS and (gold[0] in _ONLY_SETS or answer[0] in _ONLY_SETS):
            return self._compare_real_sets(gold, answer)
        if gold[0] != answer[0]:
            return f"{describe_kind(answer)}, not {describe_kind(gold)}"
        compare: Callable[[Tree, Tree], str] = getattr(self, f"_compare_{gold[0]}")
        return compare(gold, answer)

    def _are_equal(self, gold: Tree, answer: Tree) -> bool:
        return not self.difference(gold, answer)

    # Values

    def _equal_values(self, gold: Tree, answer: Tree) -> bool:
        if infinity_sign(gold) or infinity_sign(answer):
            return infinity_sign(gold) == infinity_sign(answer)
        if self._criteria.rtol or self._criteria.atol:
            return self._decider.close(gold, answer, self._criteria)
        return self._decider.equal(gold, answer)

    def _compare_amounts(self, gold: Tree, answer: Tree) -> str:
        if gold[0] != "quantity" or answer[0] != "quantity":
            if self._criteria.units or gold[0] not in _VALUES or answer[0] not in _VALUES:
                return "a unit is missing" if gold[0] == "quantity" else "a unit that was not asked for"
            values = [tree[1] if tree[0] == "quantity" else tree for tree in (gold, answer)]
            return "" if self._equal_values(*values) else "a different value"
        *wanted, wanted_powers = gold[2]
        *given, given_powers = answer[2]
        if wanted_powers != given_powers:
            return "a different unit"
        factor = Fraction(*given) / Fraction(*wanted)
        scaled = ("mul", (("num", factor.numerator, factor.denominator), answer[1]))
        return "" if self._equal_values(gold[1], scaled) else "a different value"

    # Collections

    def _compare_tuple(self, gold: Tree, answer: Tree) -> str:
        return self._in_order(gold[1], answer[1])

    def _compare_list(self, gold: Tree, answer: Tree) -> str:
        relations = any(item[0] == "rel" for item in (*gold[2], *answer[2]))
        if relations and gold[1] != answer[1]:
            return "'and' and 'or' are confused"
        if relations or not self._criteria.ordered or "or" in (gold[1], answer[1]):
            return self._in_any_order(gold[2], answer[2])
        return self._in_order(gold[2], answer[2])

    def _compare_set(self, gold: Tree, answer: Tree) -> str:
        _check_size(gold[1], answer[1])
        missing = any(not any(self._are_equal(item, other) for other in answer[1]) for item in gold[1])
        extra = any(not any(self._are_equal(other, item) for other in gold[1]) for item in answer[1])
        return "different elements" if missing or extra else ""

    def _compare_builder(self, gold: Tree, answer: Tree) -> str:
        reals = ("space", "R")
        if not self._are_equal(gold[2] or reals, answer[2] or reals):
            return "a different domain"
        return self.difference(
            rename(gold[3], gold[1], "an element"), rename(answer[3], answer[1], "an element")
        )

    def _compare_matrix(self, gold: Tree, answer: Tree) -> str:
        if (len(gold[1]), len(gold[1][0])) != (len(answer[1]), len(answer[1][0])):
            return "a matrix of a different shape"
        pairs = zip(_flattened(gold[1]), _flattened(answer[1]), strict=True)
        equal = all(self._equal_values(wanted, given) for wanted, given in pairs)
        return "" if equal else "different entries"

    def _in_order(self, gold: Sequence[Tree], answer: Sequence[Tree]) -> str:
        if len(gold) != len(answer):
            return f"{len(answer)} items, not {len(gold)}"
        return "" if all(map(self._are_equal, gold, answer)) else "different items"

    def _in_any_order(self, gold: Sequence[Tree], answer: Sequence[Tree]) -> str:
        if len(gold) != len(answer):
            return f"{len(answer)} items, not {len(gold)}"
        _check_size(gold, answer)
        remaining = list(answer)
        for item in gold:
            place = next((n for n, other in enumerate(remaining) if self._are_equal(item, other)), None)
            if place is None:
                return "different items"
            del remaining[place]
        return ""

    # Sets of real numbers

    def _compare_real_sets(self, gold: Tree, answer: Tree) -> str:
        if gold[0] == answer[0] == "space":
            return "" if gold[1] == answer[1] else "a different set"
        if gold[0] == answer[0] == "interval":
            ends = gold[3:] == answer[3:] and self._in_order(gold[1:3], answer[1:3]) == ""
            return "" if ends else "a different interval"
        if gold[0] == answer[0] == "union" and not self._in_any_order(gold[1], answer[1]):
            return ""
        if "interval" in (gold[0], answer[0]) and {gold[0], answer[0]} & {"tuple", "set"}:
            return f"{describe_kind(answer)}, not {describe_kind(gold)}"
        return "" if self._decider.same_set(gold, answer) else "a different set"

    # Relations

    def _compare_rel(self, gold: Tree, answer: Tree) -> str:
        """Compare memberships; `_compare_conditions` handles all other relations."""
        if gold[1] != answer[1]:
            return f"{describe_kind(answer)}, not {describe_kind(gold)}"
        return self._in_order(gold[2], answer[2])

    def _compare_conditions(self, gold: Sequence[Condition], answer: Sequence[Condition], name: str) -> str:
        _check_size(gold, answer)
        for _, gap in answer:
            if not free_variables(gap) or self._decider.vanishes(gap):
                raise Refused("a relation that is always true or always false")
        remaining = list(answer)
        for condition in gold:
            matches = (n for n, other in enumerate(remaining) if self._equal_conditions(condition, other))
            if (place := next(matches, None)) is None:
                return f"{name} with different solutions"
            del remaining[place]
        return f"{name} with different solutions" if remaining else ""

    def _equal_conditions(self, gold: Condition, answer: Condition) -> bool:
        if gold[0] != answer[0]:
            return False
        return self._decider.proportional(gold[1], answer[1], gold[0] in (">", ">="))

    def _compare_to_relation(self, gold: Tree, answer: Tree) -> str:
        """Compare a value with x = 5, or with each side of 10/2 = 5."""
        values = _named_values(answer)
        if not values:
            return f"{describe_kind(answer)}, not {describe_kind(gold)}"
        return next((found for value in values if (found := self.difference(gold, value))), "")


_REAL_SETS = frozenset({"interval", "union", "meet", "minus", "space", "tuple", "set"})
_ONLY_SETS = _REAL_SETS - {"tuple", "set"}
_VALUES = EXPRESSIONS | {"quantity"}


def _named_values(tree: Tree) -> tuple[Tree, ...]:
    """Return a and b for x = a = b, or all sides of a = b if none has a variable."""
    signs, sides = set(tree[1]), tree[2]
    first, rest = sides[0], sides[1:]
    name = first[1] if first[0] == "sym" or (first[0] == "call" and first[1] not in FUNCTIONS) else ""
    if signs == {"in"} and not _is_set(rest[-1]):
        return ()
    if name and signs in ({"="}, {"in"}):
        inside = free_variables(first) if first[0] == "sym" else frozenset[str]()
        recursive = any(inside & free_variables(side) or _calls_function(name, side) for side in rest)
        return () if recursive else rest
    closed = signs == {"="} and not any(free_variables(side) for side in sides)
    return sides if closed else ()


def _is_set(tree: Tree) -> bool:
    """Return whether a tree is a set; (1, 2) may be a point, but (1, infinity) may not."""
    if tree[0] == "tuple":
        return any(map(infinity_sign, tree[1]))
    return tree[0] in _ONLY_SETS | {"set", "builder"}


def _calls_function(name: str, tree: Tree) -> bool:
    return any(part[:2] == ("call", name) for part in walk(tree))


def _without_names(answer: Tree) -> Tree:
    """Return a list with x = 1 replaced by 1, if all items or only the first are named."""
    items = [_named_values(item)[:1] if item[0] == "rel" and len(item[2]) == 2 else () for item in answer[2]]
    if items[0] and not any(items[1:]) and not any(item[0] == "rel" for item in answer[2][1:]):
        return (*answer[:2], (*items[0], *answer[2][1:]))  # x = 1, 2
    return (*answer[:2], tuple(item[0] for item in items)) if all(items) else answer


def _conditions(tree: Tree) -> list[Condition]:
    """Return the conditions in an equation, an inequality, a chain or a list of them; empty for other answers."""
    items = tree[2] if tree[0] == "list" and tree[1] == "," else (tree,)
    if not all(item[0] == "rel" and "in" not in item[1] for item in items):
        return []
    return [condition for item in items for condition in _chain_conditions(item)]


def _chain_conditions(tree: Tree) -> Iterable[Condition]:
    for sign, (left, right) in zip(tree[1], pairwise(tree[2]), strict=True):
        if left[0] not in EXPRESSIONS or right[0] not in EXPRESSIONS:
            raise Refused("a relation between sides that are not values")
        if sign in ("<", "<="):
            left, right, sign = right, left, sign.replace("<", ">")
        yield sign, ("add", (left, ("neg", right)))


def infinity_sign(tree: Tree) -> int:
    """Return 1 or -1 for an infinity, and 0 for any other tree."""
    if tree[0] == "neg":
        return -infinity_sign(tree[1])
    return int(tree == ("const", "inf"))


def _flattened(rows: Sequence[Sequence[Tree]]) -> list[Tree]:
    return [item for row in rows for item in row]


def _check_size(*collections: Sequence[Tree]) -> None:
    if any(len(items) > MAX_ITEMS for items in collections):
        raise Refused(f"more than {MAX_ITEMS} items")
