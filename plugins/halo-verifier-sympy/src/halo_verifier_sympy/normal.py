"""The fast path: normal forms of expressions, by exact arithmetic alone, with neither sympy nor floats.

Rational functions of variables, radicals, i, pi and e are decided either way. Sines and the like are sums of
exponentials, so that their identities are identities of polynomials. Where functions occur, equal normal forms
prove equality; different ones prove nothing, and the question goes on to sympy. Symbols stand
for complex numbers, roots are principal: nothing is assumed that the task did not say.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

from halo_verifier_sympy import poly
from halo_verifier_sympy.poly import Poly, Unsettled, Work
from halo_verifier_sympy.tree import OPEN_FORMS, Refused, Tree

_MAX_POWER = 32
"""Powers of sums up to which they are multiplied out."""
_MAX_ARGUMENT = 200
"""Of factorials and binomial coefficients that are worked out here; beyond five times that they are refused."""
_ENTIRE = frozenset({"abs", "floor", "ceil", "re", "im"})
"""Functions with a value everywhere."""
_WAVES = frozenset({"sin", "cos", "sinh", "cosh"})
_QUOTIENTS = {
    "tan": ("sin", "cos"), "cot": ("cos", "sin"), "sec": ("", "cos"), "csc": ("", "sin"),
    "tanh": ("sinh", "cosh"), "coth": ("cosh", "sinh"), "sech": ("", "cosh"), "csch": ("", "sinh"),
}  # fmt: skip
_HALF = Fraction(1, 2)
_ONE: Poly = {(): Fraction(1)}


class Ratio(NamedTuple):
    """A quotient of two sums; the lower is not zero."""

    above: Poly
    below: Poly


class Normal:
    """Brings expressions into normal form and remembers what might be undefined in them."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.risky: set[str] = set()
        """What may have no value somewhere, or be a zero that is divided by."""

    def form(self, tree: Tree) -> Ratio:
        """Return the normal form of an expression.

        Raises `Unsettled` when it would be too large, and `Refused` when there is no value.
        """
        self.work.spend(1)
        head = tree[0]
        if head == "num":
            return Ratio(poly.constant(Fraction(tree[1], tree[2])), _ONE)
        if head == "sym":
            return Ratio(poly.single(tree[1]), _ONE)
        if head == "const":
            return self._constant(tree[1])
        if head in OPEN_FORMS or head == "pm":
            raise Unsettled
        return getattr(self, f"_{head}")(*tree[1:])  # type: ignore[no-any-return]

    def _times(self, one: Poly, two: Poly) -> Poly:
        return poly.multiply(one, two, self.work)

    # Arithmetic

    def _constant(self, name: str) -> Ratio:
        if name == "inf":
            raise Refused("infinity in a calculation")
        return Ratio(poly.single(f"#{name}"), _ONE)

    def _add(self, terms: tuple[Tree, ...]) -> Ratio:
        result = self.form(terms[0])
        for term in terms[1:]:
            other = self.form(term)
            if result.below == other.below:
                result = Ratio(poly.add(result.above, other.above), result.below)
            else:
                left, right = self._times(result.above, other.below), self._times(other.above, result.below)
                result = Ratio(poly.add(left, right), self._times(result.below, other.below))
        return result

    def _mul(self, factors: tuple[Tree, ...]) -> Ratio:
        result = self.form(factors[0])
        for factor in factors[1:]:
            other = self.form(factor)
            result = Ratio(self._times(result.above, other.above), self._times(result.below, other.below))
        return result

    def _neg(self, tree: Tree) -> Ratio:
        above, below = self.form(tree)
        return Ratio({product: -factor for product, factor in above.items()}, below)

    def _div(self, above: Tree, below: Tree) -> Ratio:
        return self._quotient(self.form(above), self.form(below))

    def _quotient(self, one: Ratio, two: Ratio) -> Ratio:
        above, below = self._times(one.above, two.below), self._times(one.below, two.above)
        if not below:
            raise Refused("a division by zero")
        self.risky |= {name for product in below for name, _ in product if _may_vanish(name)}
        while len(below) > 1 and (name := _square_root(below)):  # (a + b r)(a - b r) is free of r
            conjugate = {p: -c if any(n == name for n, _ in p) else c for p, c in below.items()}
            above, below = self._times(above, conjugate), self._times(below, conjugate)
        if len(below) == 1:
            ((product, factor),) = below.items()
            inverse, factor = poly.reduced({name: -exponent for name, exponent in product}, 1 / factor)
            return Ratio(self._times(above, {inverse: factor}), _ONE)
        return Ratio(above, below)

    # Powers

    def _pow(self, base: Tree, exponent: Tree) -> Ratio:
        power = self.form(exponent)
        if base == ("const", "e"):
            return self._exponential(power)
        value = poly.rational(power.above) if power.below == _ONE else None
        if value is None:
            return self._symbolic_power(self.form(base), power)
        return self._power(self.form(base), value)

    def _root(self, degree: Tree, tree: Tree) -> Ratio:
        order = poly.rational(self.form(degree).above)
        if order is None or order.denominator != 1 or not 2 <= order <= 100:
            raise Refused("a root of an unusual degree")
        base = self.form(tree)
        value = poly.rational(base.above) if base.below == _ONE else None
        if value is not None and value < 0 and order % 2:  # the real root, which is what the sign stands for
            return self._quotient(self._power(Ratio(poly.constant(-value), _ONE), 1 / order), _ratio(-1))
        return self._power(base, 1 / order)

    def _power(self, base: Ratio, exponent: Fraction) -> Ratio:
        if not base.above:
            if exponent <= 0:
                raise Refused("zero to the power of zero, or less")
            return base
        if exponent.denominator != 1:
            return self._radical(base, exponent)
        if exponent < 0:
            return self._power(self._quotient(_ratio(1), base), -exponent)
        count = int(exponent)
        return Ratio(self._whole_power(base.above, count), self._whole_power(base.below, count))

    def _whole_power(self, base: Poly, count: int) -> Poly:
        if len(base) == 1:
            ((product, factor),) = base.items()
            if count > 10**6:
                raise Unsettled
            exponents = {name: exponent * count for name, exponent in product}
            return dict([poly.reduced(exponents, poly.power(factor, count))])
        if count > _MAX_POWER:
            raise Unsettled
        result = _ONE
        for _ in range(count):
            result = self._times(result, base)
        return result

    def _radical(self, base: Ratio, exponent: Fraction) -> Ratio:
        """Return a broken power: of a rational number by its primes, of a multiple of a variable by its own."""
        if base.below == _ONE and len(base.above) == 1:
            ((product, factor),) = base.above.items()
            simple = not product or (
                len(product) == 1 and product[0][0][0] not in "#@" and 0 < product[0][1] <= 1
            )
            if simple and (factor > 0 or (not product and exponent.denominator == 2)):
                exponents = {name: power * exponent for name, power in product}
                sign = {"#i": Fraction(exponent.numerator)} if factor < 0 else {}
                primes = _prime_powers(abs(factor), exponent)
                return Ratio(dict([poly.reduced({**exponents, **primes, **sign}, Fraction(1))]), _ONE)
        return self._atom("root", f"{self._key(base)},{exponent}")

    def _symbolic_power(self, base: Ratio, exponent: Ratio) -> Ratio:
        """Return b^(c m + d n + k) as (b^m)^c (b^n)^d b^k, for a b that is a positive number or a variable."""
        if exponent.below != _ONE or base.below != _ONE or len(base.above) != 1:
            raise Unsettled
        ((product, factor),) = base.above.items()
        if product and (factor != 1 or len(product) > 1 or product[0][0][0] in "#@" or product[0][1] != 1):
            raise Unsettled
        if factor < 0:
            raise Unsettled
        primes = _prime_powers(factor, Fraction(1)) if not product else {product[0][0]: Fraction(1)}
        result = _ONE
        for name, count in primes.items():
            for term, coefficient in exponent.above.items():
                if not term:
                    piece = poly.reduced({name: coefficient * count}, Fraction(1))
                    result = self._times(result, dict([piece]))
                else:
                    generator = self._named(f"@{name}^({poly.key({term: Fraction(1)})})")
                    result = self._times(result, poly.single(generator, coefficient * count))
        return Ratio(result, _ONE)

    def _exponential(self, exponent: Ratio) -> Ratio:
        """Return e^(c m + d n + k) as (e^m)^c (e^n)^d e^k."""
        result = _ONE
        for product, coefficient in exponent.above.items():
            names = tuple(name for name, _ in product)
            if not product and exponent.below == _ONE:
                power = poly.single("#e", coefficient)
            elif names == ("#i", "#pi") and product[1][1] == 1 and exponent.below == _ONE:
                power = self._on_circle(coefficient)
            else:
                kind = "exp" if any(name[0] not in "#@" for name in names) else "number"
                term = f"{poly.key({product: Fraction(1)})}/{poly.key(exponent.below)}"
                power = poly.single(self._named(f"@{kind}({term})"), coefficient)
            result = self._times(result, power)
        return Ratio(result, _ONE)

    def _on_circle(self, turn: Fraction) -> Poly:
        """Return e^(i pi turn)."""
        sine, cosine = _sine(turn), _sine(turn + _HALF)
        if sine is None or cosine is None:
            return poly.single("@number(circle)", turn % 2)
        return poly.add(cosine, self._times(sine, poly.single("#i")))

    # Functions

    def _log(self, base: Tree, tree: Tree) -> Ratio:
        return self._quotient(self._call("ln", (tree,)), self._call("ln", (base,)))

    def _call(self, name: str, arguments: tuple[Tree, ...]) -> Ratio:
        forms = [self.form(argument) for argument in arguments]
        values = [poly.rational(form.above) if form.below == _ONE else None for form in forms]
        numbers = [value for value in values if value is not None]
        if len(numbers) == len(forms) and (found := _of_numbers(name, numbers)) is not None:
            return Ratio(found, _ONE)
        if name == "exp":
            return self._exponential(forms[0])
        if name in _QUOTIENTS:
            above, below = _QUOTIENTS[name]
            return self._quotient(self._wave(above, forms[0]), self._wave(below, forms[0]))
        if name in _WAVES:
            return self._wave(name, forms[0])
        if name == "ln" and len(forms[0].above) == 1 and forms[0].below == _ONE:
            ((product, factor),) = forms[0].above.items()
            if factor == 1 and len(product) == 1 and product[0][0] == "#e":
                return Ratio(poly.constant(product[0][1]), _ONE)
        return self._atom(name, ";".join(map(self._key, forms)))

    def _wave(self, name: str, form: Ratio) -> Ratio:
        """Return a sine or cosine, circular or hyperbolic, by Euler's formula."""
        if not name:
            return _ratio(1)
        factor = Fraction(1, 2)
        unit = poly.single("#i") if name in ("sin", "cos") else _ONE
        plus, minus = (
            self._exponential(
                Ratio(self._times(form.above, {p: sign * c for p, c in unit.items()}), form.below)
            ).above
            for sign in (1, -1)
        )
        result = poly.add(plus, minus, 1 if name.startswith("cos") else -1)
        scale = poly.single("#i", 1, -factor) if name == "sin" else poly.constant(factor)
        return Ratio(self._times(result, scale), _ONE)

    def _atom(self, name: str, argument: str) -> Ratio:
        generator = self._named(f"@{name}({argument})")
        if name not in _ENTIRE:
            self.risky.add(generator)
        return Ratio(poly.single(generator), _ONE)

    def _named(self, generator: str) -> str:
        self.work.spend(len(generator) // 100)
        if len(generator) > 2000:
            raise Unsettled
        return generator

    def _key(self, form: Ratio) -> str:
        self.work.spend(len(form.above) + len(form.below))
        return f"{poly.key(form.above)}/{poly.key(form.below)}"


def _ratio(value: int) -> Ratio:
    return Ratio(poly.constant(value), _ONE)


def _may_vanish(name: str) -> bool:
    return name[0] == "@" and not name.startswith(("@exp(", "@ln[", "@#"))


def _square_root(below: Poly) -> str:
    """Return the name of a square root in a sum, i among them."""
    for product in below:
        for name, exponent in product:
            root = name == "#i" or (name[0] == "#" and name[1:].isdigit() and exponent == _HALF)
            if root and all(power in (_HALF, 1) for other in below for n, power in other if n == name):
                return name
    return ""


def _prime_powers(value: Fraction, exponent: Fraction) -> dict[str, Fraction]:
    powers = {f"#{prime}": count * exponent for prime, count in poly.factored(value.numerator).items()}
    return powers | {
        f"#{prime}": -count * exponent for prime, count in poly.factored(value.denominator).items()
    }


def _sine(turn: Fraction) -> Poly | None:
    """Return sin(turn * pi) where it is one of the well-known values."""
    turn %= 2
    sign = -1 if turn > 1 else 1
    turn %= 1
    turn = min(turn, 1 - turn)
    if turn == Fraction(1, 4):
        return poly.single("#2", _HALF, sign * _HALF)
    if turn == Fraction(1, 3):
        return poly.single("#3", _HALF, sign * _HALF)
    known = {Fraction(0): Fraction(0), Fraction(1, 6): _HALF, _HALF: Fraction(1)}
    return poly.constant(sign * known[turn]) if turn in known else None


def _of_numbers(name: str, values: list[Fraction]) -> Poly | None:
    """Return the value of a function of rational numbers where that is quickly found."""
    first = values[0]
    if name == "abs":
        return poly.constant(abs(first))
    if name in ("floor", "ceil"):
        return poly.constant(math.floor(first) if name == "floor" else math.ceil(first))
    if name in ("min", "max"):
        return poly.constant(min(values) if name == "min" else max(values))
    if name == "ln":
        return _logarithm(first)
    if name in ("re", "im"):
        return poly.constant(first if name == "re" else 0)
    if any(value.denominator != 1 for value in values):
        return None
    whole = [int(value) for value in values]
    if name in ("gcd", "lcm") and all(whole):
        return poly.constant(math.gcd(*whole) if name == "gcd" else math.lcm(*whole))
    if name in ("factorial", "binomial"):
        if not all(value >= 0 for value in whole):
            raise Refused(f"a {name} of a negative number")
        if max(whole) > 5 * _MAX_ARGUMENT:
            raise Refused(f"a {name} of more than {5 * _MAX_ARGUMENT}")
        if max(whole) > _MAX_ARGUMENT:
            raise Unsettled
        return poly.constant(math.factorial(whole[0]) if name == "factorial" else math.comb(*whole))
    return None


def _logarithm(value: Fraction) -> Poly | None:
    """Return ln of a positive rational number, by the primes in it."""
    if value == 0:
        raise Refused("a logarithm of zero")
    if value < 0:
        return None
    result: Poly = {}
    for name, exponent in _prime_powers(value, Fraction(1)).items():
        result = poly.add(result, poly.single(f"@ln[{name[1:]}]", 1, exponent))
    return result
