"""The notations for sums, products and quotients in the demo's answers."""

from __future__ import annotations

import random


def combined(left: str, sign: str, right: str) -> str:
    """Return a sum or difference."""
    return f"{left} {sign} {right}"


def product(factor: str, text: str) -> str:
    """Return the product of a factor and `text`, with brackets around `text` if it is a sum."""
    return f"{factor}({text})" if " " in text else factor + text


def negated(text: str) -> str:
    """Return the negative of a letter, a product, or a sum or difference of two letters."""
    left, _, rest = text.partition(" ")
    if not rest:
        return text[1:] if text.startswith("-") else f"-{text}"
    sign, right = rest.split(" ")
    return f"{right} - {left}" if sign == "-" else f"-{left} - {right}"


def fraction(numerator: str, denominator: str, rng: random.Random) -> str:
    """Return a quotient in one of several notations."""
    plain = f"({numerator})/{denominator}" if " " in numerator else f"{numerator}/{denominator}"
    latex = rf"\frac{{{numerator}}}{{{denominator}}}"
    return rng.choice((plain, plain, latex, latex))
