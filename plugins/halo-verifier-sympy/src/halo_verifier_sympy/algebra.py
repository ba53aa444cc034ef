"""The slow path: sympy decides what normal forms leave open. Runs in a confined process with a CPU budget.

Numbers first: values at a few points, to forty digits, refute most wrong answers in a millisecond. What agrees
there is proved by algebra, or not taken: digits alone never make two answers equal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fractions import Fraction
from functools import reduce
from typing import Any

import sympy  # type: ignore[import-untyped]
from sympy import S

from halo_verifier_sympy import numeric
from halo_verifier_sympy.compare import Terms, difference, infinite
from halo_verifier_sympy.fast import Fast, within
from halo_verifier_sympy.parser import parse
from halo_verifier_sympy.poly import Unsettled
from halo_verifier_sympy.tree import FUNCTIONS, ZERO, Refused, Tree, substituted, symbols

_FUNCTIONS: Mapping[str, Any] = {
    "ln": sympy.log, "abs": sympy.Abs, "ceil": sympy.ceiling, "min": sympy.Min, "max": sympy.Max,
    "gcd": sympy.gcd, "lcm": sympy.lcm,
}  # fmt: skip
_SPACES = {"R": S.Reals, "N": S.Naturals, "Z": S.Integers, "Q": S.Rationals, "C": S.Complexes}
_PLACES = [[("num", 7 + 3 * n, 5 + 2 * k) for n in range(12)] for k in range(4)]
"""Values of variables at which one constant factor is looked for."""
_MAX_EXPONENT = 10_000
_MAX_ARGUMENT = 1000
"""Of a factorial or a binomial coefficient."""


def judge(gold: str, answer: str, thousands: bool, terms: dict[str, Any]) -> list[str]:
    """Return how `answer` differs from `gold`: ["different" | "refused", why], or ["equal", ""]."""
    try:
        one, two = (parse(text, thousands=thousands) for text in (gold, answer))
        found = difference(one, two, Terms(**terms), Exact(terms["assume"]))
    except (Refused, Unsettled) as refused:
        return ["refused", str(refused)]
    return ["different" if found else "equal", found]


class Exact:
    """Decides by normal forms, then by numbers, then by sympy."""

    def __init__(self, assume: str) -> None:
        self._assume = assume
        self._fast = Fast()

    def equal(self, gold: Tree, answer: Tree) -> bool:
        """Whether two expressions can be shown to be equal."""
        try:
            return self._fast.equal(gold, answer)
        except Unsettled:
            pass
        one, two = self._sympy(gold), self._sympy(answer)
        if numeric.differ(gold, answer, self._assume):
            return False
        return self._is_zero(one - two)

    def close(self, gold: Tree, answer: Tree, terms: Terms) -> bool:
        """Whether two numbers are within the tolerances."""
        if symbols(gold) | symbols(answer):
            return self.equal(gold, answer)
        self._sympy(answer)  # raises for what is undefined
        wanted, given = numeric.number(gold), numeric.number(answer)
        if wanted.imag or given.imag:
            return self.equal(gold, answer)
        return within(_fraction(wanted), _fraction(given), terms)

    def proportional(self, gold: Tree, answer: Tree, positive: bool) -> bool:
        """Whether answer / gold is a constant other than zero, and a positive one if asked for."""
        try:
            return self._fast.proportional(gold, answer, positive)
        except Unsettled:
            pass
        for place in _PLACES:
            at = dict(zip(sorted(symbols(gold) | symbols(answer)), place, strict=False))
            one, two = substituted(gold, at), substituted(answer, at)
            if numeric.differ(ZERO, one, self._assume):
                if not self.equal(("mul", (gold, two)), ("mul", (answer, one))) or self.vanishes(two):
                    return False
                return not positive or numeric.positive(("div", two, one))
        return False

    def vanishes(self, tree: Tree) -> bool:
        """Whether an expression can be shown to be zero."""
        return self.equal(ZERO, tree)

    def same_set(self, gold: Tree, answer: Tree) -> bool:
        """Whether two sets of real numbers are the same."""
        one, two = self._set(gold), self._set(answer)
        return bool(one == two or sympy.SymmetricDifference(one, two).is_empty)

    def _is_zero(self, apart: Any) -> bool:
        return any(candidate.is_zero or candidate == 0 for candidate in _simpler(apart))

    def _vanishes(self, tree: Tree, built: Any) -> bool:
        return not numeric.differ(ZERO, tree, self._assume) and self._is_zero(built)

    # From trees to sympy

    def _sympy(self, tree: Tree) -> Any:
        result = self._built(tree)
        if not result.is_Matrix and (result.has(S.NaN, S.ComplexInfinity, S.Infinity, S.NegativeInfinity)):
            raise Refused("an expression without a value")
        return result

    def _built(self, tree: Tree) -> Any:
        head = tree[0]
        if head == "num":
            return sympy.Rational(tree[1], tree[2])
        if head == "sym":
            return self._symbol(tree[1])
        if head == "const":
            return {"pi": S.Pi, "e": S.Exp1, "i": S.ImaginaryUnit, "inf": S.Infinity}[tree[1]]
        if head == "int":
            bounds = [self._built(part) for part in tree[2:4] if part is not None]
            return sympy.integrate(self._sympy(tree[4]), (self._symbol(tree[1]), *bounds))
        if head == "lim":
            return sympy.limit(self._sympy(tree[3]), self._symbol(tree[1]), self._built(tree[2]))
        if head in ("sum", "prod"):
            bounds = [self._built(part) for part in tree[2:4]]
            series = sympy.summation if head == "sum" else sympy.product
            return series(self._sympy(tree[4]), (self._symbol(tree[1]), *bounds))
        parts = tree[2] if head == "call" else tree[1] if head in ("add", "mul") else tree[1:]
        return self._applied(tree, [self._sympy(part) for part in parts])

    def _symbol(self, name: str) -> Any:
        assumptions = {} if self._assume == "complex" else {self._assume: True}
        return sympy.Symbol(name, **assumptions)

    def _applied(self, tree: Tree, parts: list[Any]) -> Any:
        head = tree[0]
        if head == "add":
            return sympy.Add(*parts)
        if head == "mul":
            return sympy.Mul(*parts)
        if head == "neg":
            return -parts[0]
        if head == "div":
            if self._vanishes(tree[2], parts[1]):
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
        return self._called(tree[1], parts)

    def _called(self, name: str, parts: list[Any]) -> Any:
        if name in ("factorial", "binomial") and any(
            part.is_number and abs(part) > _MAX_ARGUMENT for part in parts
        ):
            raise Refused(f"a {name} of more than {_MAX_ARGUMENT}")
        if name not in FUNCTIONS:
            return sympy.Function(name)(*parts)
        if name in ("gcd", "lcm"):
            if not all(part.is_Integer for part in parts):
                raise Refused(f"a {name} of what are no integers")
            return reduce(_FUNCTIONS[name], parts)
        return (_FUNCTIONS.get(name) or getattr(sympy, name))(*parts)

    # Sets

    def _set(self, tree: Tree) -> Any:
        head = tree[0]
        if head == "space":
            return _SPACES[tree[1]]
        if head == "set":
            return sympy.FiniteSet(*map(self._sympy, tree[1]))
        if head in ("union", "meet"):
            parts = [self._set(part) for part in tree[1]]
            return sympy.Union(*parts) if head == "union" else sympy.Intersection(*parts)
        if head == "minus":
            return sympy.Complement(self._set(tree[1]), self._set(tree[2]))
        if head == "interval":
            return self._interval(tree[1], tree[2], not tree[3], not tree[4])
        if head == "tuple" and len(tree[1]) == 2:
            return self._interval(tree[1][0], tree[1][1], True, True)
        raise Refused(f"a {head} among sets of numbers")

    def _interval(self, low: Tree, high: Tree, left_open: bool, right_open: bool) -> Any:
        ends = [S.Infinity * infinite(end) if infinite(end) else self._sympy(end) for end in (low, high)]
        if not all(end.is_extended_real for end in ends):
            raise Refused("an interval between what are no real numbers")
        return sympy.Interval(*ends, left_open, right_open)


def _power(base: Any, exponent: Any) -> Any:
    if base.is_zero and not exponent.is_positive:
        raise Refused("zero to the power of zero, or less")
    if exponent.is_number and not abs(exponent) <= _MAX_EXPONENT:
        raise Refused(f"a power of more than {_MAX_EXPONENT}")
    return base**exponent


def _simpler(apart: Any) -> Iterator[Any]:
    """Yield forms of an expression in which a zero may show, the cheap ones first."""
    yield apart
    yield sympy.expand(apart)
    yield sympy.expand(sympy.sqrtdenest(apart))
    yield sympy.expand(sympy.numer(sympy.together(apart)))
    yield sympy.radsimp(apart)
    yield sympy.simplify(apart)
    yield sympy.simplify(sympy.expand_log(apart.rewrite(sympy.exp)))
    yield sympy.simplify(sympy.expand_trig(apart))
    if not apart.free_symbols and apart.is_algebraic:
        yield sympy.minimal_polynomial(apart, sympy.Symbol("x")) - sympy.Symbol("x")


def _fraction(value: Any) -> Fraction:
    """Return an mpmath number as the fraction that it is."""
    sign, mantissa, exponent, _ = value.real._mpf_
    result = Fraction(int(mantissa)) * Fraction(2) ** int(exponent)
    return -result if sign else result
