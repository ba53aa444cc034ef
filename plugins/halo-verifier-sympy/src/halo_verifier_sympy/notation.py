"""Reading of references and answers: an answer may write thousands and units as the reference writes them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.tree import Refused, Tree, Unreadable

_SPACED = re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?!\d)")


class Reference(NamedTuple):
    """The tree of a reference, and the notation of thousands that it uses."""

    tree: Tree
    commas: bool
    """12,000 is a number, also in answers."""
    spaces: bool
    """12 000 is a number, also in answers."""


@lru_cache(maxsize=4096)
def read_reference(text: str, thousands: bool) -> Reference:
    """Return a reference; 12,000 and 12 000 are numbers there, and 7 apples an amount.

    Raises `Refused` or `Unreadable`.
    """
    spaces = _SPACED.search(text) is not None
    joined = _joined(text) if spaces else text
    try:
        return Reference(parse(joined, thousands=thousands), thousands, spaces)
    except Refused:
        return Reference(parse(joined, thousands=True), True, spaces)
    except Unreadable:
        return Reference(parse(joined, thousands=thousands, amounts=True), thousands, spaces)


def read_answer(text: str, reference: Reference, *, amounts: bool) -> Tree:
    """Return the tree of an answer; with `amounts`, any word after a number is a unit."""
    return _parsed(_joined(text) if reference.spaces else text, reference.commas, amounts)


@lru_cache(maxsize=4096)
def _parsed(text: str, thousands: bool, amounts: bool) -> Tree:
    """Return the tree of an answer; the completions of one prompt often agree."""
    return parse(text, thousands=thousands, amounts=amounts)


def _joined(text: str) -> str:
    return _SPACED.sub(lambda number: number[0].replace(" ", ""), text)
