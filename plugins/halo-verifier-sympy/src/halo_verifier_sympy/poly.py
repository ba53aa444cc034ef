"""Sums of products with exact rational coefficients, computed within a budget.

A monomial maps generators to rational exponents. Generators that begin with # or @ are constants or functions:

    #2, #3, #5 ...  primes with exponents from 0 to below 1: the radicals
    #i              the imaginary unit with exponent 1
    #pi  #e         no relation to each other or to other generators is known
    @...            another number or function, about which nothing is known
    x, y_1          variables

Distinct products of roots of primes are linearly independent over the rationals (Besicovitch 1940), i is not real,
pi and e are transcendental (Lindemann 1882). So without @ and with at most one of pi and e, two sums are equal
only if they are identical.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias

Monomial: TypeAlias = tuple[tuple[str, Fraction], ...]
Poly: TypeAlias = dict[Monomial, Fraction]

MAX_TERMS = 300
MAX_BITS = 2048
"""Size of a coefficient's numerator or denominator."""
MAX_MULTIPLICATIONS = 10_000
"""Multiplications of terms for one answer; they take at most a tenth of a second."""


class Undecided(Exception):
    """The normal forms do not decide the question, or would be too large."""


class Budget:
    """The multiplications that are left for one answer."""

    def __init__(self) -> None:
        self.remaining = MAX_MULTIPLICATIONS

    def spend(self, amount: int) -> None:
        """Subtract `amount`; raise `Undecided` when the budget is exhausted."""
        self.remaining -= amount
        if self.remaining < 0:
            raise Undecided


def constant(value: Fraction | int) -> Poly:
    """Return a number as a sum of products."""
    return {(): Fraction(value)} if value else {}


def term(name: str, exponent: Fraction | int = 1, factor: Fraction | int = 1) -> Poly:
    """Return `factor` times a power of one generator."""
    return {((name, Fraction(exponent)),): Fraction(factor)}


def as_rational(poly: Poly) -> Fraction | None:
    """Return the value of `poly` if it is a rational number, otherwise None."""
    if not poly:
        return Fraction(0)
    return poly.get(()) if len(poly) == 1 else None


def add(left: Poly, right: Poly, factor: int = 1) -> Poly:
    """Return left + factor * right."""
    result = dict(left)
    for monomial, coefficient in right.items():
        value = result.get(monomial, 0) + factor * coefficient
        if value:
            result[monomial] = value
        else:
            result.pop(monomial, None)
    if len(result) > MAX_TERMS:
        raise Undecided
    return result


def multiply(left: Poly, right: Poly, budget: Budget) -> Poly:
    """Return left * right."""
    budget.spend(len(left) * len(right))
    result: Poly = {}
    for left_monomial, a in left.items():
        for right_monomial, b in right.items():
            monomial, coefficient = multiplied_monomials(left_monomial, right_monomial, a * b)
            value = result.get(monomial, 0) + coefficient
            if value:
                result[monomial] = value
            else:
                result.pop(monomial, None)
    if len(result) > MAX_TERMS:
        raise Undecided
    return result


def multiplied_monomials(left: Monomial, right: Monomial, factor: Fraction) -> tuple[Monomial, Fraction]:
    """Return the product of two monomials, and `factor` times the rational number split off from it."""
    if not left or not right:
        return left or right, _checked(factor)
    exponents = dict(left)
    for name, exponent in right:
        exponents[name] = exponents.get(name, Fraction(0)) + exponent
    return reduced_monomial(exponents, factor)


def reduced_monomial(exponents: Mapping[str, Fraction], factor: Fraction) -> tuple[Monomial, Fraction]:
    """Return a monomial with its generators' rules applied, and `factor` times the number split off from it."""
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
    """Return base ** exponent; raise `Undecided`, before computing it, if it is too large."""
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(exponent) * (bits - 1) > MAX_BITS and bits > 1:
        raise Undecided
    return base**exponent


def prime_factors(value: int) -> dict[int, int]:
    """Return the prime factors of a positive integer; raise `Undecided` if trial division by small primes fails."""
    found: dict[int, int] = {}
    divisor = 2
    while divisor * divisor <= value and divisor < 1000:
        while value % divisor == 0:
            found[divisor] = found.get(divisor, 0) + 1
            value //= divisor
        divisor += 1 if divisor == 2 else 2
    if value > 1:
        if divisor * divisor <= value:
            raise Undecided
        found[value] = found.get(value, 0) + 1
    return found


def is_canonical(poly: Poly) -> bool:
    """Return whether another canonical sum equals `poly` only if it is identical to it."""
    names = {name for monomial in poly for name, _ in monomial}
    return not any(name[0] == "@" for name in names) and not {"#pi", "#e"} <= names


def key(poly: Poly) -> str:
    """Return a text that is identical for identical sums."""
    return "+".join(
        f"{coefficient}" + "".join(f"[{name}]{exponent}" for name, exponent in monomial)
        for monomial, coefficient in sorted(poly.items())
    )


def _checked(factor: Fraction) -> Fraction:
    if max(factor.numerator.bit_length(), factor.denominator.bit_length()) > MAX_BITS:
        raise Undecided
    return factor
