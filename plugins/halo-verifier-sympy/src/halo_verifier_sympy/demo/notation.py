"""How the demo's authors write numbers and polynomials: in many ways, all of them right."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction


def signed(value: int) -> str:
    """Return `value` as what follows a term: + 3, - 3."""
    return f"{'-' if value < 0 else '+'} {abs(value)}"


def number(value: int, pen: random.Random) -> str:
    """Return an integer in one of several notations."""
    return pen.choice((str(value), str(value), f"{value}.0"))


def fraction(value: Fraction, pen: random.Random) -> str:
    """Return a rational number: as a fraction, not always in lowest terms, a decimal, a mixed number."""
    if value.denominator == 1:
        return number(int(value), pen)
    sign, above, below = "-" if value < 0 else "", abs(value.numerator), value.denominator
    forms = [f"{sign}{above}/{below}", rf"{sign}\frac{{{above}}}{{{below}}}"] * 2
    forms.append(f"{sign}{2 * above}/{2 * below}")
    if above > below:
        forms.append(rf"{sign}{above // below}\frac{{{above % below}}}{{{below}}}")
    if 100 % below == 0:
        forms.append(f"{float(value):g}")
    return pen.choice(forms)


def polynomial(factors: Mapping[int, int], pen: random.Random | None = None) -> str:
    """Return a polynomial in x, given by its coefficients; with a pen, in any order and spacing."""
    terms = [(degree, factor) for degree, factor in sorted(factors.items(), reverse=True) if factor]
    if pen and pen.random() < 0.3:
        terms.reverse()
    tight = pen is not None and pen.random() < 0.3
    text = "".join(f" {signed(factor)}|{degree}" for degree, factor in terms)
    for degree, power in ((0, ""), (1, "x"), (2, "x^2"), (3, "x^3"), (4, "x^4")):
        text = text.replace(f" 1|{degree}", f" {power or 1}").replace(f"|{degree}", power)
    text = text.removeprefix(" + ") if text.startswith(" + ") else text.replace(" - ", "-", 1)
    return (text.replace(" ", "") if tight else text) or "0"


def joined(values: tuple[int, int], pen: random.Random) -> str:
    """Return two solutions, in any order."""
    one, two = values if pen.random() < 0.6 else values[::-1]
    return pen.choice(
        (f"{one}, {two}", f"x = {one}, x = {two}", rf"{one} \text{{ or }} {two}", f"{one}, {two}")
    )
