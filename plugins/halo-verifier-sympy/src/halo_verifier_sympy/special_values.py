"""Exact values of functions at rational numbers, as sums of products."""

from __future__ import annotations

import math
from fractions import Fraction

from halo_verifier_sympy import poly
from halo_verifier_sympy.poly import Poly, Undecided
from halo_verifier_sympy.tree import Refused

_MAX_ARGUMENT = 200
"""Largest argument of factorials and binomial coefficients evaluated here; above five times that they are refused."""
_HALF = Fraction(1, 2)


def function_value(name: str, values: list[Fraction]) -> Poly | None:
    """Return the value of a function of rational numbers, or None if it is not easily found.

    Raises `Refused` where the function is undefined or its argument too large.
    """
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
    integers = [int(value) for value in values]
    if name in ("gcd", "lcm") and all(integers):
        return poly.constant(math.gcd(*integers) if name == "gcd" else math.lcm(*integers))
    if name in ("factorial", "binomial"):
        return poly.constant(_combinatorial(name, integers))
    return None


def _combinatorial(name: str, values: list[int]) -> int:
    if not all(value >= 0 for value in values):
        raise Refused(f"a {name} of a negative number")
    if max(values) > 5 * _MAX_ARGUMENT:
        raise Refused(f"a {name} of more than {5 * _MAX_ARGUMENT}")
    if max(values) > _MAX_ARGUMENT:
        raise Undecided
    return math.factorial(values[0]) if name == "factorial" else math.comb(*values)


def sine(turn: Fraction) -> Poly | None:
    """Return sin(turn * pi) for multiples of pi/6 and pi/4, otherwise None."""
    turn %= 2
    sign = -1 if turn > 1 else 1
    turn %= 1
    turn = min(turn, 1 - turn)
    if turn == Fraction(1, 4):
        return poly.term("#2", _HALF, sign * _HALF)
    if turn == Fraction(1, 3):
        return poly.term("#3", _HALF, sign * _HALF)
    known = {Fraction(0): Fraction(0), Fraction(1, 6): _HALF, _HALF: Fraction(1)}
    return poly.constant(sign * known[turn]) if turn in known else None


def prime_powers(value: Fraction, exponent: Fraction) -> dict[str, Fraction]:
    """Return `value ** exponent` for a positive `value`, as exponents of its primes' generators."""
    powers = {f"#{prime}": count * exponent for prime, count in poly.prime_factors(value.numerator).items()}
    return powers | {
        f"#{prime}": -count * exponent for prime, count in poly.prime_factors(value.denominator).items()
    }


def _logarithm(value: Fraction) -> Poly | None:
    """Return ln of a positive rational number as a sum over its primes; None for a negative number."""
    if value == 0:
        raise Refused("a logarithm of zero")
    if value < 0:
        return None
    result: Poly = {}
    for name, exponent in prime_powers(value, Fraction(1)).items():
        result = poly.add(result, poly.term(f"@ln[{name[1:]}]", 1, exponent))
    return result
