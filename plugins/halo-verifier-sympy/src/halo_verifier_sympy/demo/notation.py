"""How the demo's authors write sums, products and quotients."""

from __future__ import annotations

import random


def added(sign: str, one: str, two: str) -> str:
    """Return a sum or difference."""
    return f"{one} {sign} {two}"


def times(factor: str, text: str) -> str:
    """Return a product with what may be a sum."""
    return f"{factor}({text})" if " " in text else factor + text


def negated(text: str) -> str:
    """Return the negative of a letter, of c - b, c + b or of a product."""
    one, _, rest = text.partition(" ")
    if not rest:
        return text[1:] if text.startswith("-") else f"-{text}"
    sign, two = rest.split(" ")
    return f"{two} - {one}" if sign == "-" else f"-{one} - {two}"


def fraction(above: str, below: str, pen: random.Random) -> str:
    """Return a quotient in one of several notations."""
    plain = f"({above})/{below}" if " " in above else f"{above}/{below}"
    return pen.choice((plain, plain, rf"\frac{{{above}}}{{{below}}}", rf"\frac{{{above}}}{{{below}}}"))
