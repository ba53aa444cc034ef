"""Equations and inequalities: named values, conditions, and the kinds of sets that they describe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    FUNCTIONS,
    PERCENT,
    PI,
    Refused,
    Tree,
    free_variables,
    integer,
    walk,
)

Condition = tuple[str, Tree]
"""A relation sign, and the left side minus the right side."""

REAL_SETS = frozenset({"interval", "union", "meet", "minus", "space", "tuple", "set"})
ONLY_SETS = REAL_SETS - {"tuple", "set"}
_COORDINATES = frozenset("xyz")
"""Variables whose order in a tuple is fixed."""
_UNITS_OF_NUMBERS = {"percent": PERCENT, "degree": ("div", PI, integer(180))}


def without_unit_of_number(tree: Tree) -> Tree:
    """Return an amount in percent or degrees as a number; any other tree unchanged."""
    if tree[0] != "quantity" or len(tree[2][2]) != 1 or tree[2][2][0][1] != 1:
        return tree
    unit = _UNITS_OF_NUMBERS.get(tree[2][2][0][0])
    return ("mul", (tree[1], unit)) if unit else tree


def named_values(tree: Tree) -> tuple[Tree, ...]:
    """Return a and b for x = a = b, (1, 2) for (x, y) = (1, 2), or all sides of a = b if none has a variable."""
    signs, sides = set(tree[1]), tree[2]
    if sides[0][0] in ("tuple", "ratio"):
        return _values_of_tuple(signs, sides[0], sides[1:])
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


def _values_of_tuple(signs: set[str], names: Tree, values: tuple[Tree, ...]) -> tuple[Tree, ...]:
    """Return the values of (x, y) = (1, 2) or x : y = 1 : 2; empty unless the names are different variables."""
    letters = {item for item in names[1] if item[0] == "sym"}
    ordered = [item[1] for item in names[1]]
    if names[0] == "tuple" and _COORDINATES.issuperset(ordered) and ordered != sorted(ordered):
        return ()
    if len(letters) < len(names[1]) or any(
        names[0] == "tuple" and letters & set(walk(value)) for value in values
    ):
        return ()
    if signs == {"in"} and names[0] == "tuple":
        return values if values[-1][0] == "set" else ()
    same = all(value[0] == names[0] and len(value[1]) == len(names[1]) for value in values)
    return values if same and signs == {"="} else ()


def tuple_of_named(answer: Tree) -> Tree:
    """Return (1, 2) for the list x = 1, y = 2, coordinates in their own order; any other list unchanged."""
    items = answer[2]
    named = all(
        item[0] == "rel" and item[1] == ("=",) and item[2][0][0] == "sym" and not free_variables(item[2][1])
        for item in items
    )
    if answer[1] != "," or not named or len({item[2][0] for item in items}) < len(items):
        return answer
    if _COORDINATES.issuperset(item[2][0][1] for item in items):
        items = sorted(items, key=lambda item: item[2][0][1])
    return ("tuple", tuple(item[2][1] for item in items))


def _is_set(tree: Tree) -> bool:
    """Return whether a tree is a set; (1, 2) may be a point, but (1, infinity) may not."""
    if tree[0] == "tuple":
        return any(map(infinity_sign, tree[1]))
    return tree[0] in ONLY_SETS | {"set", "builder"}


def _calls_function(name: str, tree: Tree) -> bool:
    return any(part[:2] == ("call", name) for part in walk(tree))


def without_names(answer: Tree) -> Tree:
    """Return a list with x = 1 replaced by 1, if all items or only the first are named."""
    items = [named_values(item)[:1] if item[0] == "rel" and len(item[2]) == 2 else () for item in answer[2]]
    if items[0] and not any(items[1:]) and not any(item[0] == "rel" for item in answer[2][1:]):
        return (*answer[:2], (*items[0], *answer[2][1:]))  # x = 1, 2
    return (*answer[:2], tuple(item[0] for item in items)) if all(items) else answer


def conditions(tree: Tree) -> list[Condition]:
    """Return the conditions in an equation, an inequality, a chain or a list of them; empty for other answers."""
    items = tree[2] if tree[0] == "list" and tree[1] == "," else (tree,)
    if not all(item[0] == "rel" and "in" not in item[1] for item in items):
        return []
    return [condition for item in items for condition in _chain_conditions(item)]


def _chain_conditions(tree: Tree) -> Iterable[Condition]:
    for sign, (left, right) in zip(tree[1], pairwise(tree[2]), strict=True):
        left, right = without_unit_of_number(left), without_unit_of_number(right)
        if sign == "=" and left[0] == right[0] == "tuple" and len(left[1]) == len(right[1]):
            for pair in zip(left[1], right[1], strict=True):
                yield from _chain_conditions(("rel", ("=",), pair))
            continue
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


def isolated_variables(sides: Sequence[Tree]) -> set[str]:
    """Return the variables that form one side of a relation and occur in no other side."""
    names = {side[1] for side in sides if side[0] == "sym"}
    return {name for name in names if sum(name in free_variables(side) for side in sides) == 1}
