"""Expansion of the plus-minus sign into two answers."""

from __future__ import annotations

from functools import lru_cache

from halo_verifier_sympy.tree import ZERO, Refused, Tree, map_children, walk


@lru_cache(maxsize=256)
def expand_plus_minus(tree: Tree) -> Tree:
    """Return `tree` with each item that has a plus-minus sign replaced by two items.

    Raises `Refused` if an item has more than one such sign.
    """
    if not _count(tree):
        return tree
    if tree[0] in ("list", "set"):
        items = [part for item in tree[-1] for part in _both_signs(item)]
        return (*tree[:-1], tuple(items))
    return ("list", "or", tuple(_both_signs(tree)))


def _both_signs(tree: Tree) -> tuple[Tree, ...]:
    count = _count(tree)
    if not count:
        return (tree,)
    if count > 1:
        raise Refused("more than one plus-minus sign")
    return _with_sign(tree, "plus"), _with_sign(tree, "minus")


def _count(tree: Tree) -> int:
    return sum(part[0] == "pm" for part in walk(tree))


def _with_sign(tree: Tree, sign: str) -> Tree:
    if tree[0] == "pm":
        terms = tree[1:] if sign == "plus" else (tree[1], ("neg", tree[2]))
        return terms[1] if terms[0] == ZERO else ("add", terms)
    return map_children(tree, lambda part: _with_sign(part, sign))
