"""Deciding by normal forms alone."""

from __future__ import annotations

from fractions import Fraction

from halo_verifier_sympy import poly
from halo_verifier_sympy.compare import Terms
from halo_verifier_sympy.normal import Normal, Ratio
from halo_verifier_sympy.poly import Poly, Unsettled, Work
from halo_verifier_sympy.tree import ZERO, Tree


class Fast:
    """Decides by normal forms, or raises `Unsettled`.

    For one answer: all its work together is bounded, and bounded before it is done, so it is harmless anywhere.
    """

    def __init__(self) -> None:
        self._work = Work()
        self._forms: dict[Tree, tuple[Ratio, frozenset[str]]] = {}

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Whether two expressions are equal."""
        one, two = self._pair(gold, answer)
        if one == two or (one.below != two.below and self._cross(one, two) == self._cross(two, one)):
            return True
        if _tell(one, two):
            return False
        raise Unsettled

    def close(self, gold: Tree, answer: Tree, terms: Terms) -> bool:
        """Whether two rational numbers are within the tolerances."""
        one, two = self._pair(gold, answer)
        wanted, given = (poly.rational(form.above) if form.below == {(): 1} else None for form in (one, two))
        if wanted is None or given is None:
            raise Unsettled
        return within(wanted, given, terms)

    def proportional(self, gold: Tree, answer: Tree, positive: bool) -> bool:
        """Whether answer / gold is a constant but zero, where normal forms show it to be rational or none."""
        one, two = self._pair(gold, answer)
        wanted, given = self._cross(one, two), self._cross(two, one)
        if not wanted or not given:
            return False
        factor = _rational_factor(wanted, given)
        if factor is None:
            raise Unsettled
        return factor != 0 and (factor > 0 or not positive)

    def vanishes(self, tree: Tree) -> bool:
        """Whether an expression is zero."""
        return self.equal(ZERO, tree)

    def same_set(self, gold: Tree, answer: Tree) -> bool:
        """Leave it to the exact decider."""
        raise Unsettled

    def _pair(self, gold: Tree, answer: Tree) -> tuple[Ratio, Ratio]:
        (one, expected), (two, risky) = self._form(gold), self._form(answer)
        if not risky <= expected:
            raise Unsettled  # something in the answer may be undefined, though it cancels
        return one, two

    def _form(self, tree: Tree) -> tuple[Ratio, frozenset[str]]:
        if tree not in self._forms:
            normal = Normal(self._work)
            self._forms[tree] = normal.form(tree), frozenset(normal.risky)
        return self._forms[tree]

    def _cross(self, one: Ratio, two: Ratio) -> Poly:
        return poly.multiply(one.above, two.below, self._work)


def within(wanted: Fraction, given: Fraction, terms: Terms) -> bool:
    """Whether `given` is within the tolerances of `wanted`."""
    return abs(given - wanted) <= max(Fraction(terms.atol), Fraction(terms.rtol) * abs(wanted))


def _tell(one: Ratio, two: Ratio) -> bool:
    """Whether two forms that differ are certainly unequal."""
    together = {product: Fraction(1) for part in (*one, *two) for product in part}
    return poly.settled(together)


def _rational_factor(wanted: Poly, given: Poly) -> Fraction | None:
    """Return given / wanted when rational, 0 when it is certainly no constant, None when that is open."""
    if wanted.keys() == given.keys():
        factors = {given[product] / factor for product, factor in wanted.items()}
        if len(factors) == 1:
            return factors.pop()
    numbers = any(name[0] in "#@" for part in (wanted, given) for product in part for name, _ in product)
    return None if numbers else Fraction(0)
