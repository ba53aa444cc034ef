"""The slow path: sympy decides what normal forms do not. It runs in a confined process with a CPU budget.

Values at a few points, to 40 digits, refute most wrong answers within a millisecond. An answer that agrees there is
accepted only if algebra proves it: agreeing digits are not a proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import sympy  # type: ignore[import-untyped]
from sympy import S

from halo_verifier_sympy import numeric
from halo_verifier_sympy.compare import difference
from halo_verifier_sympy.criteria import Criteria
from halo_verifier_sympy.fast import FastDecider, within
from halo_verifier_sympy.notation import read_answer, read_reference
from halo_verifier_sympy.poly import Undecided
from halo_verifier_sympy.relations import infinity_sign
from halo_verifier_sympy.tree import FUNCTIONS, ZERO, Refused, Tree, free_variables, substitute

_FUNCTIONS: Mapping[str, Any] = {
    "ln": sympy.log, "abs": sympy.Abs, "ceil": sympy.ceiling, "min": sympy.Min, "max": sympy.Max,
    "gcd": sympy.gcd, "lcm": sympy.lcm,
}  # fmt: skip
_SPACES = {"R": S.Reals, "N": S.Naturals, "Z": S.Integers, "Q": S.Rationals, "C": S.Complexes}
_SAMPLES = [[("num", 7 + 3 * n, 5 + 2 * k) for n in range(12)] for k in range(4)]
"""Values of variables at which a constant factor is computed."""
_MAX_EXPONENT = 10_000
_MAX_ARGUMENT = 1000
"""Largest argument of a factorial or a binomial coefficient."""


def compare_answers(
    gold: str, answer: str, thousands: bool, amounts: bool, criteria: dict[str, Any]
) -> list[str]:
    """Return ["equal", ""], ["different", how] or ["refused", why] for an answer and its reference."""
    try:
        reference = read_reference(gold, thousands)
        answer_tree = read_answer(answer, reference, amounts=amounts)
        found = difference(
            reference.tree, answer_tree, Criteria(**criteria), ExactDecider(criteria["assume"])
        )
    except (Refused, Undecided) as error:
        return ["refused", str(error)]
    return ["different" if found else "equal", found]


class ExactDecider:
    """Decides by normal forms, then by numeric values, then by sympy."""

    def __init__(self, assume: str) -> None:
        self._assume = assume
        self._fast = FastDecider()

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Return whether two expressions are provably equal."""
        try:
            return self._fast.equal(gold, answer)
        except Undecided:
            pass
        wanted, given = self._to_sympy(gold), self._to_sympy(answer)
        if numeric.differ(gold, answer, self._assume):
            return False
        return _is_provably_zero(wanted - given)

    def close(self, gold: Tree, answer: Tree, criteria: Criteria) -> bool:
        """Return whether two numbers are within the tolerances."""
        if free_variables(gold) | free_variables(answer):
            return self.equal(gold, answer)
        self._to_sympy(answer)  # raises `Refused` if the answer is undefined
        wanted, given = numeric.evaluate(gold), numeric.evaluate(answer)
        if wanted.imag or given.imag:
            return self.equal(gold, answer)
        return within(_fraction(wanted), _fraction(given), criteria)

    def proportional(self, gold: Tree, answer: Tree, positive: bool) -> bool:
        """Return whether answer / gold is a nonzero constant, and a positive one if `positive`."""
        try:
            return self._fast.proportional(gold, answer, positive)
        except Undecided:
            pass
        names = sorted(free_variables(gold) | free_variables(answer))
        for sample in _SAMPLES:
            point = dict(zip(names, sample, strict=False))
            wanted, given = substitute(gold, point), substitute(answer, point)
            if numeric.differ(ZERO, wanted, self._assume):
                if not self.equal(("mul", (gold, given)), ("mul", (answer, wanted))) or self.vanishes(given):
                    return False
                return not positive or numeric.is_positive(("div", given, wanted))
        return False

    def vanishes(self, tree: Tree) -> bool:
        """Return whether an expression is provably zero."""
        return self.equal(ZERO, tree)

    def same_set(self, gold: Tree, answer: Tree) -> bool:
        """Return whether two sets of real numbers are provably equal."""
        wanted, given = self._to_set(gold), self._to_set(answer)
        return bool(wanted == given or sympy.SymmetricDifference(wanted, given).is_empty)

    # Conversion to sympy

    def _to_sympy(self, tree: Tree) -> Any:
        result = self._convert(tree)
        if not result.is_Matrix and (result.has(S.NaN, S.ComplexInfinity, S.Infinity, S.NegativeInfinity)):
            raise Refused("an undefined expression")
        return result

    def _convert(self, tree: Tree) -> Any:
        head = tree[0]
        if head == "num":
            return sympy.Rational(tree[1], tree[2])
        if head == "sym":
            return self._symbol(tree[1])
        if head == "const":
            return {"pi": S.Pi, "e": S.Exp1, "i": S.ImaginaryUnit, "inf": S.Infinity}[tree[1]]
        if head == "int":
            bounds = [self._convert(part) for part in tree[2:4] if part is not None]
            return sympy.integrate(self._to_sympy(tree[4]), (self._symbol(tree[1]), *bounds))
        if head == "lim":
            return sympy.limit(self._to_sympy(tree[3]), self._symbol(tree[1]), self._convert(tree[2]))
        if head in ("sum", "prod"):
            bounds = [self._convert(part) for part in tree[2:4]]
            series = sympy.summation if head == "sum" else sympy.product
            return series(self._to_sympy(tree[4]), (self._symbol(tree[1]), *bounds))
        parts = tree[2] if head == "call" else tree[1] if head in ("add", "mul") else tree[1:]
        return self._convert_operation(tree, [self._to_sympy(part) for part in parts])

    def _symbol(self, name: str) -> Any:
        assumptions = {} if self._assume == "complex" else {self._assume: True}
        return sympy.Symbol(name, **assumptions)

    def _convert_operation(self, tree: Tree, parts: list[Any]) -> Any:
        head = tree[0]
        if head == "add":
            return sympy.Add(*parts)
        if head == "mul":
            return sympy.Mul(*parts)
        if head == "neg":
            return -parts[0]
        if head == "div":
            if not numeric.differ(ZERO, tree[2], self._assume) and _is_provably_zero(parts[1]):
                raise Refused("a division by zero")
            return parts[0] / parts[1]
        if head == "pow":
            return _power(*parts)
        if head == "root":
            degree, base = parts
            if not degree.is_Integer or not 2 <= degree <= 100:
                raise Refused("a root of an unusual degree")
            real = degree % 2 and base.is_negative
            return -((-base) ** (1 / degree)) if real else base ** (1 / degree)
        if head == "log":
            if parts[0] == 1:
                raise Refused("a logarithm to the base one")
            return sympy.log(parts[1]) / sympy.log(parts[0])
        return self._convert_call(tree[1], parts)

    def _convert_call(self, name: str, parts: list[Any]) -> Any:
        if name in ("factorial", "binomial") and any(
            part.is_number and abs(part) > _MAX_ARGUMENT for part in parts
        ):
            raise Refused(f"a {name} of more than {_MAX_ARGUMENT}")
        if name not in FUNCTIONS:
            return sympy.Function(name)(*parts)
        if name in ("gcd", "lcm"):
            if not all(part.is_Integer for part in parts):
                raise Refused(f"a {name} of numbers that are not integers")
            return reduce(_FUNCTIONS[name], parts)
        return (_FUNCTIONS.get(name) or getattr(sympy, name))(*parts)

    # Sets

    def _to_set(self, tree: Tree) -> Any:
        head = tree[0]
        if head == "space":
            return _SPACES[tree[1]]
        if head == "set":
            return sympy.FiniteSet(*map(self._to_sympy, tree[1]))
        if head in ("union", "meet"):
            parts = [self._to_set(part) for part in tree[1]]
            return sympy.Union(*parts) if head == "union" else sympy.Intersection(*parts)
        if head == "minus":
            return sympy.Complement(self._to_set(tree[1]), self._to_set(tree[2]))
        if head == "interval":
            return self._interval(tree[1], tree[2], not tree[3], not tree[4])
        if head == "tuple" and len(tree[1]) == 2:
            return self._interval(tree[1][0], tree[1][1], True, True)
        raise Refused(f"a {head} in place of a set of numbers")

    def _interval(self, low: Tree, high: Tree, left_open: bool, right_open: bool) -> Any:
        ends = [
            S.Infinity * infinity_sign(end) if infinity_sign(end) else self._to_sympy(end)
            for end in (low, high)
        ]
        if not all(end.is_extended_real for end in ends):
            raise Refused("an interval between ends that are not real numbers")
        return sympy.Interval(*ends, left_open, right_open)


def _power(base: Any, exponent: Any) -> Any:
    if base.is_zero and not exponent.is_positive:
        raise Refused("zero to a power that is not positive")
    if exponent.is_number and not abs(exponent) <= _MAX_EXPONENT:
        raise Refused(f"a power of more than {_MAX_EXPONENT}")
    return base**exponent


def _is_provably_zero(gap: Any) -> bool:
    return any(form.is_zero or form == 0 for form in _equivalents(gap))


def _equivalents(gap: Any) -> Iterator[Any]:
    """Yield equivalent forms of an expression in which a zero may become visible, cheap ones first."""
    yield gap
    yield sympy.expand(gap)
    yield sympy.expand(sympy.sqrtdenest(gap))
    yield sympy.expand(sympy.numer(sympy.together(gap)))
    yield sympy.radsimp(gap)
    yield sympy.simplify(gap)
    yield sympy.simplify(sympy.expand_log(gap.rewrite(sympy.exp)))
    yield sympy.simplify(sympy.expand_trig(gap))
    if not gap.free_symbols and gap.is_algebraic:
        yield sympy.minimal_polynomial(gap, sympy.Symbol("x")) - sympy.Symbol("x")


def _fraction(value: Any) -> Fraction:
    """Return the exact value of an mpmath number."""
    sign, mantissa, exponent, _ = value.real._mpf_
    result = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -result if sign else result
