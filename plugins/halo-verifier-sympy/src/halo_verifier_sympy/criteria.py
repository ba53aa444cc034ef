"""The criteria of a comparison, and the interface of the deciders about values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from halo_verifier_sympy.tree import Tree

Assume = Literal["complex", "real", "positive"]


@dataclass(frozen=True)
class Criteria:
    """The task's rules for comparing an answer with the reference."""

    rtol: float = 0.0
    atol: float = 0.0
    ordered: bool = True
    """Compare the items of a list without brackets in order."""
    units: bool = True
    """Require a unit if the reference has one, and refuse it otherwise."""
    names: bool = True
    """Accept x = 5 for the reference 5."""
    open_forms: bool = False
    """Accept unevaluated sums, products, integrals and limits."""
    assume: Assume = "complex"
    """Domain of the variables."""


class Decider(Protocol):
    """Decides about values."""

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Return whether two expressions are equal."""

    def close(self, gold: Tree, answer: Tree, criteria: Criteria) -> bool:
        """Return whether two numbers are within the tolerances."""

    def proportional(self, gold: Tree, answer: Tree, positive: bool) -> bool:
        """Return whether answer / gold is a nonzero constant, and a positive one if `positive`."""

    def vanishes(self, tree: Tree) -> bool:
        """Return whether an expression is zero."""

    def same_set(self, gold: Tree, answer: Tree) -> bool:
        """Return whether two sets of real numbers are equal."""
