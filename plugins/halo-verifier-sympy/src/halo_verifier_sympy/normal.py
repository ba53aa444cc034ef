"""The fast path: normal forms of expressions by exact arithmetic, without sympy or floats.

Equality of rational functions of variables, radicals, i, pi and e is decided. Trigonometric functions are
rewritten as sums of exponentials, so their identities become identities of polynomials. With other functions, equal
normal forms prove equality; different ones prove nothing, and sympy decides. Symbols stand for complex numbers and
roots are principal: nothing is assumed that the task does not state.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from halo_verifier_sympy import poly
from halo_verifier_sympy.poly import Budget, Poly, Undecided
from halo_verifier_sympy.special_values import function_value, prime_powers, sine
from halo_verifier_sympy.tree import OPEN_FORMS, Refused, Tree

_MAX_POWER = 32
"""Largest power of a sum that is multiplied out."""
_ENTIRE = frozenset({"abs", "floor", "ceil", "re", "im"})
"""Functions that are defined everywhere."""
_TRIGONOMETRIC = frozenset({"sin", "cos", "sinh", "cosh"})
_QUOTIENTS = {
    "tan": ("sin", "cos"), "cot": ("cos", "sin"), "sec": ("", "cos"), "csc": ("", "sin"),
    "tanh": ("sinh", "cosh"), "coth": ("cosh", "sinh"), "sech": ("", "cosh"), "csch": ("", "sinh"),
}  # fmt: skip
_HALF = Fraction(1, 2)
_ONE: Poly = {(): Fraction(1)}


class Ratio(NamedTuple):
    """A quotient of two sums with a nonzero denominator."""

    numerator: Poly
    denominator: Poly

    def as_rational(self) -> Fraction | None:
        """Return the value if this is a rational number, otherwise None."""
        return poly.as_rational(self.numerator) if self.denominator == _ONE else None


class NormalForm(NamedTuple):
    """An expression in normal form, with what its calculation shows."""

    ratio: Ratio
    risky: frozenset[str]
    """Generators that may be undefined somewhere, or zero in a denominator."""
    rational: dict[Tree, bool]
    """For each operation in the expression, whether it is a rational number."""
    cost: int
    """Units of the budget that the calculation spent."""


def normal_form(tree: Tree) -> NormalForm:
    """Return the normal form of an expression; see `Normalizer.form` for exceptions."""
    budget = Budget()
    total = budget.remaining
    normalizer = Normalizer(budget)
    ratio = normalizer.form(tree)
    return NormalForm(ratio, frozenset(normalizer.risky), normalizer.rational, total - budget.remaining)


form_of_reference = lru_cache(maxsize=256)(normal_form)
"""`normal_form` for references, which many answers are compared with."""


class Normalizer:
    """Converts expressions to normal form and records which of their parts may be undefined."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.risky: set[str] = set()
        """Generators that may be undefined somewhere, or zero in a denominator."""
        self.rational: dict[Tree, bool] = {}
        """For each operation in the expressions, whether it is a rational number."""

    def form(self, tree: Tree) -> Ratio:
        """Return the normal form of an expression.

        Raises `Undecided` if it would be too large and `Refused` if the expression is undefined.
        """
        self.budget.spend(1)
        head = tree[0]
        if head == "num":
            return Ratio(poly.constant(Fraction(tree[1], tree[2])), _ONE)
        if head == "sym":
            return Ratio(poly.term(tree[1]), _ONE)
        if head == "const":
            return self._constant(tree[1])
        if head in OPEN_FORMS or head == "pm":
            raise Undecided
        result: Ratio = getattr(self, f"_{head}")(*tree[1:])
        self.rational[tree] = result.as_rational() is not None
        return result

    def _times(self, left: Poly, right: Poly) -> Poly:
        if left is _ONE or right is _ONE:
            return right if left is _ONE else left
        return poly.multiply(left, right, self.budget)

    # Arithmetic

    def _constant(self, name: str) -> Ratio:
        if name == "inf":
            raise Refused("infinity in a calculation")
        return Ratio(poly.term(f"#{name}"), _ONE)

    def _add(self, terms: tuple[Tree, ...]) -> Ratio:
        result = self.form(terms[0])
        for term in terms[1:]:
            other = self.form(term)
            if result.denominator == other.denominator:
                result = Ratio(poly.add(result.numerator, other.numerator), result.denominator)
            else:
                left = self._times(result.numerator, other.denominator)
                right = self._times(other.numerator, result.denominator)
                result = Ratio(poly.add(left, right), self._times(result.denominator, other.denominator))
        return result

    def _mul(self, factors: tuple[Tree, ...]) -> Ratio:
        result = self.form(factors[0])
        for factor in factors[1:]:
            other = self.form(factor)
            result = Ratio(
                self._times(result.numerator, other.numerator),
                self._times(result.denominator, other.denominator),
            )
        return result

    def _neg(self, tree: Tree) -> Ratio:
        numerator, denominator = self.form(tree)
        return Ratio({monomial: -factor for monomial, factor in numerator.items()}, denominator)

    def _div(self, numerator: Tree, denominator: Tree) -> Ratio:
        return self._quotient(self.form(numerator), self.form(denominator))

    def _quotient(self, upper: Ratio, lower: Ratio) -> Ratio:
        numerator = self._times(upper.numerator, lower.denominator)
        denominator = self._times(upper.denominator, lower.numerator)
        if not denominator:
            raise Refused("a division by zero")
        self.risky |= {name for monomial in denominator for name, _ in monomial if _may_be_zero(name)}
        while len(denominator) > 1 and (name := _square_root(denominator)):  # (a + b r)(a - b r) is free of r
            conjugate = {p: -c if any(n == name for n, _ in p) else c for p, c in denominator.items()}
            numerator, denominator = self._times(numerator, conjugate), self._times(denominator, conjugate)
        if len(denominator) == 1:
            ((monomial, factor),) = denominator.items()
            inverse, factor = poly.reduced_monomial(
                {name: -exponent for name, exponent in monomial}, 1 / factor
            )
            return Ratio(self._times(numerator, {inverse: factor}), _ONE)
        return Ratio(numerator, denominator)

    # Powers

    def _pow(self, base: Tree, exponent: Tree) -> Ratio:
        power = self.form(exponent)
        if base == ("const", "e"):
            return self._exponential(power)
        value = power.as_rational()
        if value is None:
            return self._symbolic_power(self.form(base), power)
        return self._power(self.form(base), value)

    def _root(self, degree: Tree, tree: Tree) -> Ratio:
        order = poly.as_rational(self.form(degree).numerator)
        if order is None or order.denominator != 1 or not 2 <= order <= 100:
            raise Refused("a root of an unusual degree")
        base = self.form(tree)
        value = base.as_rational()
        if value is not None and value < 0 and order % 2:  # the root sign denotes the real root
            return self._quotient(
                self._power(Ratio(poly.constant(-value), _ONE), 1 / order), _integer_ratio(-1)
            )
        return self._power(base, 1 / order)

    def _power(self, base: Ratio, exponent: Fraction) -> Ratio:
        if not base.numerator:
            if exponent <= 0:
                raise Refused("zero to a power that is not positive")
            return base
        if exponent.denominator != 1:
            return self._radical(base, exponent)
        if exponent < 0:
            return self._power(self._quotient(_integer_ratio(1), base), -exponent)
        count = int(exponent)
        return Ratio(self._integer_power(base.numerator, count), self._integer_power(base.denominator, count))

    def _integer_power(self, base: Poly, count: int) -> Poly:
        if len(base) == 1:
            ((monomial, factor),) = base.items()
            if count > 10**6:
                raise Undecided
            exponents = {name: exponent * count for name, exponent in monomial}
            return dict([poly.reduced_monomial(exponents, poly.power(factor, count))])
        if count > _MAX_POWER:
            raise Undecided
        result = _ONE
        for _ in range(count):
            result = self._times(result, base)
        return result

    def _radical(self, base: Ratio, exponent: Fraction) -> Ratio:
        """Return a fractional power, factored for a rational number or a multiple of a variable."""
        if base.denominator == _ONE and len(base.numerator) == 1:
            ((monomial, factor),) = base.numerator.items()
            simple = not monomial or (
                len(monomial) == 1 and monomial[0][0][0] not in "#@" and 0 < monomial[0][1] <= 1
            )
            if simple and (factor > 0 or (not monomial and exponent.denominator == 2)):
                exponents = {name: power * exponent for name, power in monomial}
                sign = {"#i": Fraction(exponent.numerator)} if factor < 0 else {}
                primes = prime_powers(abs(factor), exponent)
                return Ratio(
                    dict([poly.reduced_monomial({**exponents, **primes, **sign}, Fraction(1))]), _ONE
                )
        return self._atom("root", f"{self._key(base)},{exponent}")

    def _symbolic_power(self, base: Ratio, exponent: Ratio) -> Ratio:
        """Return b^(c m + d n + k) as (b^m)^c (b^n)^d b^k, for b a positive number or a variable."""
        if exponent.denominator != _ONE or base.denominator != _ONE or len(base.numerator) != 1:
            raise Undecided
        ((monomial, factor),) = base.numerator.items()
        if monomial and (
            factor != 1 or len(monomial) > 1 or monomial[0][0][0] in "#@" or monomial[0][1] != 1
        ):
            raise Undecided
        if factor < 0:
            raise Undecided
        primes = prime_powers(factor, Fraction(1)) if not monomial else {monomial[0][0]: Fraction(1)}
        result = _ONE
        for name, count in primes.items():
            for term, coefficient in exponent.numerator.items():
                if not term:
                    piece = poly.reduced_monomial({name: coefficient * count}, Fraction(1))
                    result = self._times(result, dict([piece]))
                else:
                    generator = self._checked_generator(f"@{name}^({poly.key({term: Fraction(1)})})")
                    result = self._times(result, poly.term(generator, coefficient * count))
        return Ratio(result, _ONE)

    def _exponential(self, exponent: Ratio) -> Ratio:
        """Return e^(c m + d n + k) as (e^m)^c (e^n)^d e^k."""
        result = _ONE
        for monomial, coefficient in exponent.numerator.items():
            names = tuple(name for name, _ in monomial)
            if not monomial and exponent.denominator == _ONE:
                power = poly.term("#e", coefficient)
            elif names == ("#i", "#pi") and monomial[1][1] == 1 and exponent.denominator == _ONE:
                power = self._root_of_unity(coefficient)
            else:
                kind = "exp" if any(name[0] not in "#@" for name in names) else "number"
                term = f"{poly.key({monomial: Fraction(1)})}/{poly.key(exponent.denominator)}"
                power = poly.term(self._checked_generator(f"@{kind}({term})"), coefficient)
            result = self._times(result, power)
        return Ratio(result, _ONE)

    def _root_of_unity(self, turn: Fraction) -> Poly:
        """Return e^(i * pi * turn)."""
        imaginary, real = sine(turn), sine(turn + _HALF)
        if imaginary is None or real is None:
            return poly.term("@number(circle)", turn % 2)
        return poly.add(real, self._times(imaginary, poly.term("#i")))

    # Functions

    def _log(self, base: Tree, tree: Tree) -> Ratio:
        return self._quotient(self._call("ln", (tree,)), self._call("ln", (base,)))

    def _call(self, name: str, arguments: tuple[Tree, ...]) -> Ratio:
        forms = [self.form(argument) for argument in arguments]
        values = [form.as_rational() for form in forms]
        numbers = [value for value in values if value is not None]
        if len(numbers) == len(forms) and (found := function_value(name, numbers)) is not None:
            return Ratio(found, _ONE)
        if name == "exp":
            return self._exponential(forms[0])
        if name in _QUOTIENTS:
            upper, lower = (self._trigonometric(part, forms[0]) for part in _QUOTIENTS[name])
            return self._quotient(upper, lower)
        if name in _TRIGONOMETRIC:
            return self._trigonometric(name, forms[0])
        if name == "ln" and len(forms[0].numerator) == 1 and forms[0].denominator == _ONE:
            ((monomial, factor),) = forms[0].numerator.items()
            if factor == 1 and len(monomial) == 1 and monomial[0][0] == "#e":
                return Ratio(poly.constant(monomial[0][1]), _ONE)
        return self._atom(name, ";".join(map(self._key, forms)))

    def _trigonometric(self, name: str, form: Ratio) -> Ratio:
        """Return a sine or cosine, circular or hyperbolic, by Euler's formula; 1 for an empty name."""
        if not name:
            return _integer_ratio(1)
        factor = Fraction(1, 2)
        unit = poly.term("#i") if name in ("sin", "cos") else _ONE
        plus, minus = (
            self._exponential(
                Ratio(self._times(form.numerator, {p: sign * c for p, c in unit.items()}), form.denominator)
            ).numerator
            for sign in (1, -1)
        )
        result = poly.add(plus, minus, 1 if name.startswith("cos") else -1)
        scale = poly.term("#i", 1, -factor) if name == "sin" else poly.constant(factor)
        return Ratio(self._times(result, scale), _ONE)

    def _atom(self, name: str, argument: str) -> Ratio:
        generator = self._checked_generator(f"@{name}({argument})")
        if name not in _ENTIRE:
            self.risky.add(generator)
        return Ratio(poly.term(generator), _ONE)

    def _checked_generator(self, generator: str) -> str:
        self.budget.spend(len(generator) // 100)
        if len(generator) > 2000:
            raise Undecided
        return generator

    def _key(self, form: Ratio) -> str:
        self.budget.spend(len(form.numerator) + len(form.denominator))
        return f"{poly.key(form.numerator)}/{poly.key(form.denominator)}"


def _integer_ratio(value: int) -> Ratio:
    return Ratio(poly.constant(value), _ONE)


def _may_be_zero(name: str) -> bool:
    return name[0] == "@" and not name.startswith(("@exp(", "@ln[", "@#"))


def _square_root(denominator: Poly) -> str:
    """Return the generator of a square root in a sum, which may be i; empty if there is none."""
    for monomial in denominator:
        for name, exponent in monomial:
            root = name == "#i" or (name[0] == "#" and name[1:].isdigit() and exponent == _HALF)
            if root and all(power in (_HALF, 1) for other in denominator for n, power in other if n == name):
                return name
    return ""
