"""Units of measure with exact conversion factors.

An unknown word is a base unit: 5 apples equal only 5 apples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from halo_verifier_sympy.tree import Refused, Unreadable


class Unit(NamedTuple):
    """`numerator / denominator` times a product of powers of base units."""

    numerator: int
    denominator: int
    powers: tuple[tuple[str, int], ...]


_TABLE = {
    "m": "mm=1/1000 cm=1/100 dm=1/10 m=1 meter=1 metre=1 km=1000 kilometer=1000 kilometre=1000 "
    "centimeter=1/100 centimetre=1/100 millimeter=1/1000 millimetre=1/1000 in=127/5000 inch=127/5000 "
    "inches=127/5000 ft=381/1250 foot=381/1250 feet=381/1250 yd=1143/1250 yard=1143/1250 mi=201168/125 "
    "mile=201168/125",
    "g": "mg=1/1000 g=1 gram=1 kg=1000 kilogram=1000 t=1000000 lb=45359237/100000 pound=45359237/100000",
    "s": "ms=1/1000 s=1 sec=1 second=1 min=60 minute=60 h=3600 hr=3600 hour=3600 d=86400 day=86400 wk=604800 "
    "week=604800",
    "L": "mL=1/1000 ml=1/1000 milliliter=1/1000 L=1 l=1 liter=1 litre=1",
    "$": "$=1 dollar=1 USD=1 cent=1/100 cents=1/100",
    "€": "euro=1 EUR=1",
    "£": "sterling=1 GBP=1",
    "°C": "°C=1",
    "N": "N=1 newton=1",
    "J": "J=1 joule=1 kJ=1000",
    "W": "W=1 watt=1 kW=1000",
    "unit": "unit=1",
    "percent": "percent=1 pct=1",
    "degree": "degree=1 deg=1",
}
_KNOWN = {
    name: (Fraction(factor), base)
    for base, row in _TABLE.items()
    for name, factor in re.findall(r"(\S+)=(\S+)", row)
}
_ABBREVIATIONS = {
    "yr": "year", "mo": "month", "gal": "gallon", "oz": "ounce", "qt": "quart", "pt": "pint", "V": "volt",
    "A": "ampere", "amp": "ampere", "Hz": "hertz", "mol": "mole", "Pa": "pascal", "C": "coulomb", "K": "kelvin",
    "cal": "calorie",
    "rad": "radian", "rev": "revolution",
}  # fmt: skip
"""Abbreviations of units without a conversion factor, in text."""
_SPEEDS = {"mph": "mi / h", "kph": "km / h", "kmh": "km / h"}
_WORD = re.compile(r"[A-Za-z$°]+|/|\d")
_PLURALS = {f"{name}s" for name in _KNOWN if len(name) > 2 and name != "inches"}
_SCALES = frozenset({"dozen", "gross", "hundred", "thousand", "million", "billion", "trillion", "lakh", "crore"}) | {
    "half", "third", "tenth", "hundredth", "thousandth", "percent", "percentage", "permille",
}  # fmt: skip
"""Words that multiply a number."""
BARE_UNITS = frozenset(name for name in _KNOWN if len(name) > 1) | _PLURALS | _SPEEDS.keys()
"""Units that need no markup after a number; single letters are variables there."""
LETTER_UNITS = frozenset(name for name in _KNOWN if len(name) == 1 and name.isalpha())
"""Units of one letter."""


def is_scaled(unit: Sequence[Any]) -> bool:
    """Return whether a word among those of a unit is a number, as in 7 dozen or 7 percent."""
    return not _SCALES.isdisjoint(name for name, _ in unit[2])


def is_counted(word: str, spaced: bool) -> bool:
    """Return whether a word after a number is a noun, as in 7 apples, and not a product of variables."""
    return len(word) > 4 or (
        spaced and len(word) == 4 and word[-1] == "s" and re.search("[aeiou]", word) is not None
    )


def read_unit(text: str, last_power: int = 1) -> Unit:
    """Return the unit named by `text`, such as cm, square feet, m/s, km per hour or apples.

    `last_power` is the exponent of the last word. Raises `Unreadable` for other text and `Refused` for a digit.
    """
    if power_inside := re.search(r"[A-Za-z]\^([23])$", text):
        text, last_power = text[:-2], last_power * int(power_inside[1])
    text = re.sub(r"(?<=[A-Za-z])\.", " ", text)  # sq. ft.
    text = _SPEEDS.get(text.strip(), text)
    if re.search(r"[^A-Za-z$°/ \d]", text) or len(text) > 60:
        raise Unreadable(f"not a unit: {text[:40]!r}")
    factor, powers = Fraction(1), dict[str, int]()
    sign, power = 1, 1
    words = _WORD.findall(re.sub(r"\bper ?cent\b", "percent", text).replace(" per ", " / "))
    for place, word in enumerate(words, 1):
        if word == "/":
            sign = -1
        elif word in ("square", "sq", "cubic"):
            power = 3 if word == "cubic" else 2
        elif word.isdigit():
            raise Refused(f"a unit with a numeral: {text[:40]!r}")
        else:
            size, base = _lookup(word)
            power *= last_power if place == len(words) else 1
            factor *= size ** (sign * power)
            powers[base] = powers.get(base, 0) + sign * power
            power = 1
    if not powers:
        raise Unreadable(f"not a unit: {text[:40]!r}")
    return Unit(factor.numerator, factor.denominator, tuple(sorted(powers.items())))


def _lookup(word: str) -> tuple[Fraction, str]:
    small = word.lower() if len(word) > 3 else word  # Mg is not mg, but Meters are meters
    for name in (word, word.removesuffix("s"), small, small.removesuffix("s")):
        if name in _KNOWN and (len(name) > 1 or name == word):
            return _KNOWN[name]
    name = word.removesuffix("s")
    return Fraction(1), _ABBREVIATIONS.get(name) or small.removesuffix("s")
