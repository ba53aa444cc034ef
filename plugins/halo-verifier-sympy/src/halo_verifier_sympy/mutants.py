"""Wrong answers that are close to a reference, as from small mistakes in calculating or copying."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from halo_verifier_sympy import numeric
from halo_verifier_sympy.latex import latex
from halo_verifier_sympy.notation import read_reference
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.tree import (
    EXPRESSIONS,
    ONE,
    OPEN_FORMS,
    Refused,
    Tree,
    Unreadable,
    children,
    integer,
    map_children,
    walk,
)

_MAX = 24
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "=": "!=", "!=": "="}
_STRICT = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


def mutants(reference: Mapping[str, Any], *, thousands: bool = False) -> list[str]:
    """Return texts of answers that differ from the reference; deterministic."""
    kind, gold = reference.get("kind", "value"), reference["answer"]
    if kind == "choice":
        letter = gold.strip("() .")
        return [chr(ord(letter[0]) + 1), f"{letter} or {chr(ord(letter[0]) + 1)}"]
    if kind == "text":
        return [f"not {gold}", gold[:-1] or "x", f"{gold} or not"]
    tree = read_reference(gold, thousands).tree
    found = dict.fromkeys(latex(mutant) for mutant in _mutants(tree, reference))
    return [text for text in found if _is_readable(text)][:_MAX]


def _is_readable(text: str) -> bool:
    try:
        parse(text)
    except (Refused, Unreadable):
        return False
    return True


def _mutants(tree: Tree, reference: Mapping[str, Any]) -> Iterator[Tree]:
    if tree[0] in EXPRESSIONS:
        yield from _values(tree, reference)
        yield ("tuple", (tree, tree))
        yield ("set", (tree,))
        yield ("list", ",", (tree, ("add", (tree, ONE))))
        if _differs(ONE, tree, reference):
            yield ("rel", ("=",), (ONE, tree))
    elif tree[0] == "rel":
        yield from _relations(tree)
    elif tree[0] == "quantity":
        for value in _values(tree[1], reference):
            yield ("quantity", value, tree[2])
        numerator, denominator, powers = tree[2]
        yield ("quantity", tree[1], (numerator * 1000, denominator, powers))
        yield ("quantity", tree[1], (numerator, denominator, (*powers, ("wrong", 1))))
    elif tree[0] == "interval":
        yield (*tree[:3], not tree[3], tree[4])
        yield (*tree[:4], not tree[4])
        yield from _one_item_changed(tree, reference)
    elif tree[0] == "space":
        yield ("space", "N" if tree[1] == "R" else "R")
    elif tree[0] == "builder":
        for condition in _mutants(tree[3], reference):
            yield (*tree[:3], condition)
    elif tree[0] == "based":
        yield ("based", tree[1], tree[2] + 1)
        yield integer(tree[1])
    elif tree[0] == "image":
        for value in _mutants(tree[2], reference):
            if value[0] in EXPRESSIONS:
                yield (*tree[:2], value, tree[3])
    elif tree[0] in ("union", "meet", "minus"):
        yield tree[1] if tree[0] == "minus" else tree[1][0]
    else:
        yield from _collections(tree, reference)
        yield from _one_item_changed(tree, reference)


def _values(tree: Tree, reference: Mapping[str, Any]) -> Iterator[Tree]:
    """Yield different values: any numeral off by one, the negative, the reciprocal, a hundredfold, and others."""
    if ("const", "inf") in (tree, *children(tree)):
        yield integer(0)
        yield tree[1] if tree[0] == "neg" else ("neg", tree)
        return
    candidates = [*_numerals_changed(tree), ("neg", tree), ("div", ONE, tree), ("mul", (integer(100), tree))]
    candidates += [("add", (tree, ONE)), ("div", tree, integer(2)), ("pow", tree, integer(2))]
    for candidate in candidates:
        value = _simplified(candidate)
        if _differs(tree, value, reference):
            yield value


def _simplified(tree: Tree) -> Tree:
    """Return `tree`, evaluated if it is a simple operation on one number."""
    number = tree[-1][-1] if tree[0] == "mul" else tree[-1]
    if tree[0] == "neg" and number[0] == "num":
        return ("num", -number[1], number[2])
    if tree[0] == "neg" and number[0] == "neg":
        return number[1]  # type: ignore[no-any-return]
    if tree[0] == "div" and tree[1] == ONE and number[0] == "num" and number[1]:
        return ("num", number[2] if number[1] > 0 else -number[2], abs(number[1]))
    if tree[0] == "add" and tree[1][1] == ONE and len(tree[1]) == 2 and tree[1][0][0] == "num":
        return ("num", tree[1][0][1] + tree[1][0][2], tree[1][0][2])
    return tree


def _numerals_changed(tree: Tree) -> Iterator[Tree]:
    """Yield `tree` with one of its numerals increased or decreased by one."""
    count = sum(part[0] == "num" for part in walk(tree))
    for place in range(min(count, 6)):
        for step in (1, -1):
            yield _numeral_changed(tree, [place], step)


def _numeral_changed(tree: Tree, place: list[int], step: int) -> Tree:
    if tree[0] == "num":
        place[0] -= 1
        return ("num", tree[1] + step, tree[2]) if place[0] == -1 else tree
    return map_children(tree, lambda part: _numeral_changed(part, place, step))


def _differs(tree: Tree, value: Tree, reference: Mapping[str, Any]) -> bool:
    """Return whether `value` differs from `tree` numerically and by more than the tolerances."""
    if any(part[0] in OPEN_FORMS | {"pm"} for either in (tree, value) for part in walk(either)):
        return value == ("add", (tree, ONE))
    try:
        if not numeric.differ(tree, value, reference.get("assume", "complex")):
            return False
        tolerances = reference.get("rtol", 0), reference.get("atol", 0)
        return not any(tolerances) or not numeric.within_tolerances(tree, value, *tolerances)
    except Refused:
        return False


def _collections(tree: Tree, reference: Mapping[str, Any]) -> Iterator[Tree]:
    """Yield collections with an item removed, added or swapped, or with other brackets."""
    head, items = tree[0], tree[-1]
    if head not in ("tuple", "list", "set"):
        return
    rest = tree[1:-1]
    if len(items) > 1:
        yield (head, *rest, items[:-1]) if len(items) > 2 or head != "list" else items[0]
        swaps = head == "tuple" or (head == "list" and reference.get("ordered", True) and tree[1] == ",")
        values = {items[0][0], items[-1][0]} <= EXPRESSIONS
        if swaps and values and _differs(items[0], items[-1], reference):
            yield (head, *rest, (items[-1], *items[1:-1], items[0]))
    yield (head, *rest, (*items, integer(9973)))
    yield ("set", items) if head != "set" else ("tuple", (*items, *items)[:2] if items else (ONE, ONE))


def _one_item_changed(tree: Tree, reference: Mapping[str, Any]) -> Iterator[Tree]:
    """Yield `tree` with one of its items changed."""
    for part in [part for part in children(tree) if tree[0] != "set" or tree[1].count(part) == 1][:8]:
        changed = _values(part, reference) if part[0] in EXPRESSIONS else _mutants(part, reference)
        for value in islice(changed, 3):
            if tree[0] != "set" or value not in tree[1]:
                yield _with_first_replaced(tree, part, value)


def _with_first_replaced(tree: Tree, old: Tree, new: Tree) -> Tree:
    """Return `tree` with the first `old` directly below it replaced by `new`."""
    done: list[Tree] = []

    def change(part: Tree) -> Tree:
        if part == old and not done:
            done.append(part)
            return new
        return part

    return map_children(tree, change)


def _relations(tree: Tree) -> Iterator[Tree]:
    signs, sides = tree[1], tree[2]
    if "in" in signs:
        yield ("rel", signs, (("sym", "z"), *sides[1:]))
        return
    yield ("rel", tuple(_FLIPPED[sign] for sign in signs), sides)
    if any(sign in _STRICT for sign in signs):
        yield ("rel", (*signs[:-1], _STRICT.get(signs[-1], signs[-1])), sides)
    yield ("rel", signs, (*sides[:-1], ("add", (sides[-1], ONE))))
    if len(sides) == 2:
        doubled = ("mul", (integer(2), sides[1])) if sides[1] != integer(0) else ONE
        yield ("rel", signs, (sides[0], doubled))
        yield sides[1]
