"""Sums of products with rational coefficients, exactly, within a budget of work.

A product maps generators to rational exponents. What begins with # obeys its own rule or none:

    #2, #3, #5 ...  primes, under exponents from 0 to below 1: the radicals
    #i              the imaginary unit, under exponent 1
    #pi  #e         free of each other's and all other powers, as far as is known
    @...            another number or function, about which nothing is known but that it is itself
    x, y_1          variables

Different products of primes' roots are linearly independent over the rationals (Besicovitch 1940), i is not real,
pi and e are transcendental (Lindemann 1882). So without @ and with at most one of pi and e, two sums are equal
only when they are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias

Product: TypeAlias = tuple[tuple[str, Fraction], ...]
Poly: TypeAlias = dict[Product, Fraction]

MAX_TERMS = 300
MAX_BITS = 2048
"""Of a coefficient's numerator or denominator."""
MAX_WORK = 10_000
"""Multiplications of terms for one answer, a tenth of a second at the most."""


class Unsettled(Exception):
    """The normal form does not tell, or would be too large."""


class Work:
    """What is left of the budget."""

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self, amount: int) -> None:
        """Raise `Unsettled` when the budget is used up."""
        self.left -= amount
        if self.left < 0:
            raise Unsettled


def constant(value: Fraction | int) -> Poly:
    """Return a number as a sum of products."""
    return {(): Fraction(value)} if value else {}


def single(name: str, exponent: Fraction | int = 1, factor: Fraction | int = 1) -> Poly:
    """Return `factor` times one generator to a power."""
    return {((name, Fraction(exponent)),): Fraction(factor)}


def rational(poly: Poly) -> Fraction | None:
    """Return the value of `poly` when it is a rational number."""
    if not poly:
        return Fraction(0)
    return poly.get(()) if len(poly) == 1 else None


def add(left: Poly, right: Poly, factor: int = 1) -> Poly:
    """Return left + factor * right."""
    result = dict(left)
    for product, coefficient in right.items():
        value = result.get(product, 0) + factor * coefficient
        if value:
            result[product] = value
        else:
            result.pop(product, None)
    if len(result) > MAX_TERMS:
        raise Unsettled
    return result


def multiply(left: Poly, right: Poly, work: Work) -> Poly:
    """Return left * right."""
    work.spend(len(left) * len(right))
    result: Poly = {}
    for one, a in left.items():
        for two, b in right.items():
            product, c = joined(one, two, a * b)
            value = result.get(product, 0) + c
            if value:
                result[product] = value
            else:
                result.pop(product, None)
    if len(result) > MAX_TERMS:
        raise Unsettled
    return result


def joined(one: Product, two: Product, factor: Fraction) -> tuple[Product, Fraction]:
    """Return the product of two products, and `factor` with what came out of them."""
    if not one or not two:
        return one or two, _checked(factor)
    exponents = dict(one)
    for name, exponent in two:
        exponents[name] = exponents.get(name, Fraction(0)) + exponent
    return reduced(exponents, factor)


def reduced(exponents: Mapping[str, Fraction], factor: Fraction) -> tuple[Product, Fraction]:
    """Return a product with the rules of its generators applied, and `factor` with what came out."""
    kept: list[tuple[str, Fraction]] = []
    for name, given in sorted(exponents.items()):
        exponent = given
        if name == "#i":
            factor *= -1 if exponent % 4 in (2, 3) else 1
            exponent %= 2
        elif name[0] == "#" and name[1:].isdigit():
            whole = exponent.__floor__()
            factor *= power(Fraction(int(name[1:])), whole)
            exponent -= whole
        if exponent:
            kept.append((name, exponent))
    return tuple(kept), _checked(factor)


def power(base: Fraction, exponent: int) -> Fraction:
    """Return base ** exponent; raise `Unsettled` when that is too large, before it is computed."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * (bits - 1) > MAX_BITS and bits > 1:
        raise Unsettled
    return base**exponent


def factored(value: int) -> dict[int, int]:
    """Return the prime factors of a positive integer; raise `Unsettled` when they are not found quickly."""
    found: dict[int, int] = {}
    divisor = 2
    while divisor * divisor <= value and divisor < 1000:
        while value % divisor == 0:
            found[divisor] = found.get(divisor, 0) + 1
            value //= divisor
        divisor += 1 if divisor == 2 else 2
    if value > 1:
        if divisor * divisor <= value:
            raise Unsettled
        found[value] = found.get(value, 0) + 1
    return found


def settled(poly: Poly) -> bool:
    """Whether being different from another such sum is being unequal to it."""
    names = {name for product in poly for name, _ in product}
    return not any(name[0] == "@" for name in names) and not {"#pi", "#e"} <= names


def key(poly: Poly) -> str:
    """Return a text that is equal for equal sums."""
    return "+".join(
        f"{coefficient}" + "".join(f"[{name}]{exponent}" for name, exponent in product)
        for product, coefficient in sorted(poly.items())
    )


def _checked(factor: Fraction) -> Fraction:
    if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > MAX_BITS:
        raise Unsettled
    return factor
