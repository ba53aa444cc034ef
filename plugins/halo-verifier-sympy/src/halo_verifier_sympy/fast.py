"""Decisions by normal forms alone."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from halo_verifier_sympy import poly
from halo_verifier_sympy.criteria import Criteria
from halo_verifier_sympy.normal import NormalForm, Ratio, form_of_reference, normal_form
from halo_verifier_sympy.poly import Budget, Poly, Undecided
from halo_verifier_sympy.tree import ZERO, Tree


class FastDecider:
    """Decides by normal forms, or raises `Undecided`. Use one instance per answer.

    Each operation is charged to the instance's budget before it is executed, so no sandbox is needed.
    """

    def __init__(self) -> None:
        self._budget = Budget()
        self._forms: dict[Tree, NormalForm] = {}
        self.rational: dict[Tree, bool] = {}
        """For operations in the answer, whether they are rational numbers, as far as that is known."""

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Return whether two expressions are equal."""
        wanted, given = self._pair(gold, answer)
        if wanted == given:
            return True
        if wanted.denominator != given.denominator and self._cross(wanted, given) == self._cross(
            given, wanted
        ):
            return True
        if _are_canonical(wanted, given):
            return False
        raise Undecided

    def close(self, gold: Tree, answer: Tree, criteria: Criteria) -> bool:
        """Return whether two rational numbers are within the tolerances."""
        wanted, given = (form.as_rational() for form in self._pair(gold, answer))
        if wanted is None or given is None:
            raise Undecided
        return within(wanted, given, criteria)

    def proportional(self, gold: Tree, answer: Tree, positive: bool) -> bool:
        """Return whether answer / gold is a nonzero constant, and a positive one if `positive`.

        Decides only if the normal forms show the quotient to be rational or not constant.
        """
        gold_form, answer_form = self._pair(gold, answer)
        wanted, given = self._cross(gold_form, answer_form), self._cross(answer_form, gold_form)
        if not wanted or not given:
            return False
        factor = _rational_factor(wanted, given)
        if factor is None:
            raise Undecided
        return factor != 0 and (factor > 0 or not positive)

    def vanishes(self, tree: Tree) -> bool:
        """Return whether an expression is zero."""
        return self.equal(ZERO, tree)

    def same_set(self, gold: Tree, answer: Tree) -> bool:
        """Raise `Undecided`."""
        raise Undecided

    def _pair(self, gold: Tree, answer: Tree) -> tuple[Ratio, Ratio]:
        wanted, given = self._form(gold, form_of_reference), self._form(answer, normal_form)
        self.rational |= given.rational
        if not given.risky <= wanted.risky:
            raise Undecided  # a part of the answer that cancels may be undefined
        return wanted.ratio, given.ratio

    def _form(self, tree: Tree, calculate: Callable[[Tree], NormalForm]) -> NormalForm:
        if tree not in self._forms:
            form = calculate(tree)
            self._budget.spend(form.cost)
            self._forms[tree] = form
        return self._forms[tree]

    def _cross(self, upper: Ratio, lower: Ratio) -> Poly:
        return poly.multiply(upper.numerator, lower.denominator, self._budget)


def within(wanted: Fraction, given: Fraction, criteria: Criteria) -> bool:
    """Return whether `given` is within the tolerances of `wanted`."""
    return abs(given - wanted) <= max(Fraction(criteria.atol), Fraction(criteria.rtol) * abs(wanted))


def _are_canonical(left: Ratio, right: Ratio) -> bool:
    """Return whether two different forms are certainly unequal."""
    return poly.is_canonical({monomial: Fraction(1) for part in (*left, *right) for monomial in part})


def _rational_factor(wanted: Poly, given: Poly) -> Fraction | None:
    """Return given / wanted if it is rational, 0 if it is certainly not constant, None if that is undecided."""
    if wanted.keys() == given.keys():
        factors = {given[monomial] / factor for monomial, factor in wanted.items()}
        if len(factors) == 1:
            return factors.pop()
    numbers = any(name[0] in "#@" for part in (wanted, given) for monomial in part for name, _ in monomial)
    return None if numbers else Fraction(0)
