"""Comparison of an answer with the reference: by kind first, then by their parts.

A `Decider` decides about values. The fast one uses normal forms and raises `Undecided` when they are not enough; the
exact one runs sympy in a confined process and always decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

from halo_verifier_sympy.criteria import Criteria, Decider
from halo_verifier_sympy.plus_minus import expand_plus_minus
from halo_verifier_sympy.relations import (
    ONLY_SETS,
    REAL_SETS,
    Condition,
    conditions,
    infinity_sign,
    named_values,
    tuple_of_named,
    without_names,
    without_unit_of_number,
)
from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    OPEN_FORMS,
    Refused,
    Tree,
    free_variables,
    rename,
    walk,
)
from halo_verifier_sympy.units import is_scaled

MAX_ITEMS = 64
"""Largest number of items in a list or set."""


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
    names = {
        "interval": "an interval",
        "quantity": "an amount with a unit",
        "builder": "a set by condition",
        "image": "a set of expressions",
        "based": "a number in a base",
    }
    return names.get(tree[0], f"a {tree[0]}")


class _Comparison:
    def __init__(self, criteria: Criteria, decider: Decider) -> None:
        self._criteria = criteria
        self._decider = decider

    def difference(self, gold: Tree, answer: Tree) -> str:
        """Return how two answers differ; empty if they are equal."""
        if (wanted := conditions(gold)) and (given := conditions(answer)):
            return self._compare_conditions(wanted, given, describe_kind(answer))
        if self._criteria.names and gold[0] != "rel" and answer[0] == "rel":
            return self._compare_to_relation(gold, answer)
        if self._criteria.names and gold[0] == "tuple" and answer[0] == "list":
            answer = tuple_of_named(answer)
        wants_names = gold[0] == "list" and gold[2][0][0] == "rel"
        if self._criteria.names and answer[0] == "list" and not wants_names:
            answer = without_names(answer)
        if gold[0] in EXPRESSIONS and answer[0] in EXPRESSIONS:
            return "" if self._equal_values(gold, answer) else "a different value"
        if "quantity" in (gold[0], answer[0]):
            return self._compare_amounts(gold, answer)
        if gold[0] == "ratio" and len(gold[1]) == 2 and answer[0] in EXPRESSIONS:
            return "" if self._equal_values(("div", *gold[1]), answer) else "a different ratio"
        if {gold[0], answer[0]} <= REAL_SETS and (gold[0] in ONLY_SETS or answer[0] in ONLY_SETS):
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
        numbers = [without_unit_of_number(tree) for tree in (gold, answer)]
        if [gold, answer] != numbers and all(tree[0] in EXPRESSIONS for tree in numbers):
            if self._equal_values(*numbers):
                return ""
            if self._criteria.units or gold[0] == answer[0]:
                return "a different value"
        if gold[0] != "quantity" or answer[0] != "quantity":
            if any(tree[0] == "quantity" and is_scaled(tree[2]) for tree in (gold, answer)):
                return "a different value"
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

    def _compare_image(self, gold: Tree, answer: Tree) -> str:
        renamed = [[rename(part, tree[1], "an element") for part in tree[2:]] for tree in (gold, answer)]
        return "" if all(map(self._are_equal, *renamed)) else "different elements"

    def _compare_ratio(self, gold: Tree, answer: Tree) -> str:
        """Compare terms up to a common factor; terms that have one in the reference, as in 12:30, must be the same."""
        if len(gold[1]) != len(answer[1]):
            return f"{len(answer[1])} terms, not {len(gold[1])}"
        integers = [term[1] for term in gold[1] if term[0] == "num" and term[2] == 1]
        if len(integers) == len(gold[1]) and math.gcd(*integers) != 1:
            return self._in_order(gold[1], answer[1])
        products = [
            (("mul", (gold[1][0], given)), ("mul", (wanted, answer[1][0])))
            for wanted, given in zip(gold[1][1:], answer[1][1:], strict=True)
        ]
        if any(self._decider.vanishes(term) for term in answer[1]):
            return "" if gold == answer else "a different ratio"
        return "" if all(self._equal_values(*pair) for pair in products) else "a different ratio"

    def _compare_based(self, gold: Tree, answer: Tree) -> str:
        return "" if gold == answer else "different digits or another base"

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
        values = named_values(answer)
        if not values:
            return f"{describe_kind(answer)}, not {describe_kind(gold)}"
        return next((found for value in values if (found := self.difference(gold, value))), "")


_VALUES = EXPRESSIONS | {"quantity"}


def _flattened(rows: Sequence[Sequence[Tree]]) -> list[Tree]:
    return [item for row in rows for item in row]


def _check_size(*collections: Sequence[Tree]) -> None:
    if any(len(items) > MAX_ITEMS for items in collections):
        raise Refused(f"more than {MAX_ITEMS} items")
