r"""Nouns that name what a number counts: 6\text{ sides} for 6, when the reference has no unit.

A unit, a multiplier or a negation changes the number and is never such a noun.
"""

from __future__ import annotations

import re

from halo_verifier_sympy.units import BARE_UNITS

_COUNTED = re.compile(
    r"(?P<value>.*?\S)(?:\s|~|\\[,;:! ])*\\(?:text|mathrm|textbf|textit|textrm|mbox|textnormal)\s*"
    r"\{(?P<text>[^{}]*)\}\s*"
    r"|(?P<number>.*?[\d)}])[\s~]+(?P<bare>[A-Za-z][A-Za-z -]*)",
    re.DOTALL,
)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SHORTEST = 3
_SHORTEST_UNKNOWN = 4
_MAX_WORDS = 4
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")
_IRREGULAR = frozenset(
    {"people", "children", "men", "women", "mice", "geese", "teeth", "vertices", "dice", "matrices"}
)
_ADJECTIVES = _words(
    """
    red blue green yellow white black brown orange purple pink different distinct possible total such real positive
    negative integer whole prime new old small large big long short equal valid unique ordered unordered
    """
)
_MULTIPLIERS = _words(
    """
    dozen couple pair trio brace score gross half third quarter fifth sixth seventh eighth ninth tenth twelfth
    hundredth thousandth millionth billionth one two three four five six seven eight nine ten eleven twelve hundred
    thousand million billion trillion lakh crore zero percent percentage pct fraction multiple power square cube
    root factor factorial decade century millennium part double triple quadruple time fold base order ratio digit
    exponent reciprocal inverse set group
    """
)
_UNITS = _words(
    """
    unit volt ampere amp ohm hertz pascal calorie joule watt newton kelvin tesla coulomb farad henry lux lumen
    becquerel sievert acre hectare ounce gallon quart pint cup ton tonne stone knot furlong fathom league radian
    degree steradian arcminute arcsecond bit byte kilobyte megabyte gigabyte terabyte decibel mole month year
    fortnight point pixel penny cent nickel dime dollar euro yen rupee franc peso shilling ruble rouble krona mark
    micron angstrom parsec lightyear bar atmosphere torr electronvolt horsepower megahertz kilohertz gigahertz
    kilovolt milliamp kilowatt megawatt kilojoule megajoule microsecond nanosecond millisecond micrometer nanometer
    micrometre nanometre decimeter decimetre tablespoon teaspoon mph kph
    """
)
_OTHER = _words(
    """
    is was has does equals plus minus times less divides fails unless perhaps sometimes always afterwards besides
    towards upwards downwards nevertheless regardless versus others guess gets makes gives exceeds differs mistakes
    errors answers results values totals halves pence feet thus likewise ones
    """
)
_LITTLE_WORDS = _words(
    """
    and or not no nor never but if of in on at by to per as a an the than then more fewer less over under about
    around nearly almost maybe approximately roughly exactly only least most minus plus squared cubed wrong
    incorrect false mod
    """
)
_COUNTS = frozenset({"roots", "digits", "factors", "sets", "groups", "squares", "cubes"})
"""Plurals that count, although their singulars may change a number."""
_FORBIDDEN = (
    _MULTIPLIERS
    | _UNITS
    | _OTHER
    | _LITTLE_WORDS
    | BARE_UNITS
    | {f"{word}s" for word in _MULTIPLIERS | _UNITS}
    | {"centuries", "millennia", "pennies", "indices", "inches"}
) - _COUNTS


def without_counted_noun(text: str, prompt: str) -> str:
    """Return an answer without the noun that names what it counts; empty if there is none.

    The noun must be in the prompt or be a plain plural, and adjectives before it must be in the prompt or harmless.
    """
    match = _COUNTED.fullmatch(text.strip().removesuffix("."))
    if match is None:
        return ""
    *adjectives, noun = (match["text"] or match["bare"] or "").lower().split() or [""]
    if len(adjectives) >= _MAX_WORDS or not _is_harmless(noun):
        return ""
    asked = set(_WORD.findall(prompt.lower()))
    if len(noun) < _SHORTEST or not (_forms(noun) & asked or _is_plural(noun)):
        return ""
    if any(word not in _ADJECTIVES and not (word in asked and _is_harmless(word)) for word in adjectives):
        return ""
    return match["value"] or match["number"]


def _is_harmless(word: str) -> bool:
    return bool(_WORD.fullmatch(word)) and word not in _FORBIDDEN


def _is_plural(word: str) -> bool:
    if word in _IRREGULAR:
        return True
    return (
        len(word) >= _SHORTEST_UNKNOWN
        and word.endswith("s")
        and not word.endswith(("ss", "us", "is", "as", "ths", "wards"))
        and re.search("[aeiouy]", word) is not None
    )


def _forms(word: str) -> set[str]:
    """Return a noun with its singular and plural forms."""
    forms = {word, f"{word}s", f"{word}es", word.removesuffix("s"), word.removesuffix("es")}
    if word.endswith("ies"):
        forms.add(f"{word.removesuffix('ies')}y")
    return forms
