"""Domains of columns: the values that a copy of a database may hold in a column.

A domain keeps what is plausible: dates stay dates in their format, flags stay flags, numbers stay whole and keep
their sign, and new text is made of the characters of the given text.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from halo_verifier_sql.constants import Constants
from halo_verifier_sql.moments import Moments, default_format, find_format

_TRIES = 20
"""Attempts to find a new value."""
_LARGEST = 2**63 - 1
_MIN_DISTINCT = 4
"""Distinct numbers from which on a column is a quantity, for which nearby numbers are plausible too."""
_PAIRS = tuple(
    map(
        frozenset,
        ("yn", "tf", "mf", "01", ("yes", "no"), ("true", "false"), ("male", "female"), ("on", "off")),
    )
)
"""Pairs of texts that are all values of a flag."""
_DAYS = Moments("%Y-%m-%d")
_LABEL = re.compile(r"'((?:[^']|'')*)'")


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain that is closed: it has no values but the known ones."""

    values: tuple[Any, ...]
    """Known values without NULL: those of the given rows, and of a closed domain all others too."""
    hints: tuple[Any, ...] = ()
    """More values, with which the reference query or a CHECK constraint compares the column."""
    compared: tuple[Any, ...] = ()
    """All values, known or not, with which they compare the column, and the neighbours of these."""
    exact: tuple[Any, ...] = ()
    """Those of `compared` that are not neighbours; all of them if that is not known."""

    def near(self, value: Any, rng: random.Random) -> Any:
        """Return a value near `value`."""
        return rng.choice(self.values) if self.values else value

    def fresh(self, rng: random.Random, taken: Collection[Any]) -> Any:
        """Return a value that is not in `taken`; None if none was found."""
        free = [value for value in (*self.values, *self.hints) if value not in taken]
        return rng.choice(free) if free else None

    @property
    def is_quantity(self) -> bool:
        """True if nearby values are plausible, too."""
        return False

    @property
    def is_number(self) -> bool:
        """True if all values are numbers without a fixed form."""
        return False


@dataclass(frozen=True, slots=True)
class MomentDomain(Domain):
    """Dates or times in one format."""

    moments: Moments = _DAYS

    @property
    def is_quantity(self) -> bool:
        """True: each date has dates nearby."""
        return True

    def near(self, value: Any, rng: random.Random) -> Any:
        """Return a moment before or after `value`."""
        return self.moments.near(value, rng)

    def fresh(self, rng: random.Random, taken: Collection[Any]) -> Any:
        """Return another moment."""
        value = rng.choice(self.values)
        for _ in range(_TRIES):
            value = self.moments.near(value, rng)
            if value not in taken:
                return value
        return None


@dataclass(frozen=True, slots=True)
class NumberDomain(Domain):
    """Numbers; new ones have no more decimals than the known ones, and no sign that these lack."""

    @property
    def is_quantity(self) -> bool:
        """True if there are enough different numbers."""
        return len(self.values) >= _MIN_DISTINCT

    @property
    def is_number(self) -> bool:
        """True."""
        return True

    def near(self, value: Any, rng: random.Random) -> Any:
        """Return a number near `value`, of the same type and with the same number of decimals (at most 6)."""
        if type(value) not in (int, float) or not math.isfinite(value):
            return value
        step = rng.choice([-3, -2, -1, 1, 2, 3]) * rng.choice([1, 1, abs(value) / 10])
        return self._like(value, abs(value + step) if self._low() >= 0 else value + step)

    def fresh(self, rng: random.Random, taken: Collection[Any]) -> Any:
        """Return another number, not far from the known ones."""
        numbers = [value for value in self.values if math.isfinite(value)] or [0]
        high = max(numbers)
        reach = 3 + max(abs(high) / 8, high - min(numbers))
        for attempt in range(_TRIES):
            value = self._like(rng.choice(numbers), high + rng.random() * reach * 2**attempt)
            if value not in taken:
                return value
        return None

    def _low(self) -> float:
        return min((value for value in self.values if math.isfinite(value)), default=0)

    def _like(self, value: Any, number: float) -> Any:
        """Return `number` in the form of `value`."""
        if type(value) is int:
            return max(-_LARGEST, min(_LARGEST, round(number)))
        if not math.isfinite(number):
            return value
        return round(number, min(len(f"{value!r}".partition(".")[2]), 6)) if abs(number) < 1e15 else number


@dataclass(frozen=True, slots=True)
class TextDomain(Domain):
    """Text; new ones are known ones with some letters and digits changed."""

    def fresh(self, rng: random.Random, taken: Collection[Any]) -> Any:
        """Return another text."""
        text = rng.choice(self.values)
        for attempt in range(_TRIES):
            places = [place for place, character in enumerate(text) if character.isalnum()]
            if not places or attempt > _TRIES // 2:
                text += rng.choice("aeinorst")
            else:
                place = rng.choice(places)
                text = text[:place] + _another(text[place], rng) + text[place + 1 :]
            if text not in taken:
                return text
        return None


def domain_of(
    declared: str, column: Sequence[Any], name: str, constants: Constants, checks: Iterable[Constants]
) -> Domain:
    """Return the domain of a column from its declared type, its values, the query and the CHECK constraints."""
    domain = _domain(declared, column, name, constants, checks)
    literals = set(map(_typed, constants.exact.get(name.lower(), [])))
    exact = tuple(value for value in domain.compared if _typed(value) in literals)
    return replace(domain, exact=exact or domain.compared)


def _domain(
    declared: str, column: Sequence[Any], name: str, constants: Constants, checks: Iterable[Constants]
) -> Domain:
    key = name.lower()
    values = list(dict.fromkeys(value for value in column if value is not None))
    constrained = [check.values.get(key, []) for check in checks if key in check.columns]
    hints = list(dict.fromkeys(chain(*constrained, constants.values.get(key, []))))
    kind = declared.strip().upper()
    if kind.startswith("ENUM("):
        return _closed([label.replace("''", "'") for label in _LABEL.findall(declared)], hints)
    if (flags := _flags(kind, values, key in constants.measured)) is not None:
        return _closed(flags, hints)
    if ("DATE" in kind or "TIME" in kind) and not values:
        moments, example = default_format(kind)
        return _with_moments(moments, [example], hints)
    if (found := find_format(values)) is not None:
        return _with_moments(found, values, hints)
    values = values or _examples(kind)
    types = set(map(type, values))
    fitting = [hint for hint in hints if type(hint) in types]
    if types <= {int, float} and types:
        signed = any(value < 0 for value in values)
        fitting = [hint for hint in fitting if signed or hint >= 0]
        return NumberDomain(tuple(values), _unknown(fitting, values), tuple(fitting))
    if types == {str} and (listed := [hint for hint in chain(*constrained) if type(hint) is str]):
        fitting = listed
    is_open = types == {str} and _is_open(kind, values)
    if is_open and not constrained:
        return TextDomain(tuple(values), _unknown(fitting, values), tuple(fitting))
    if is_open or bytes in types:
        return Domain(tuple(values), _unknown(fitting, values), tuple(fitting))
    return _closed(values, hints)


def _closed(values: list[Any], hints: Sequence[Any]) -> Domain:
    known = set(map(_typed, values))
    return Domain(tuple(values), compared=tuple(hint for hint in hints if _typed(hint) in known))


def _unknown(hints: Sequence[Any], values: Sequence[Any]) -> tuple[Any, ...]:
    known = set(map(_typed, values))
    return tuple(hint for hint in hints if _typed(hint) not in known)


def _typed(value: Any) -> tuple[type, Any]:
    return type(value), value


def _flags(kind: str, values: list[Any], measured: bool) -> list[Any] | None:
    """Return the values of a flag; None if the column is none."""
    if kind.startswith(("BOOL", "LOGICAL", "BIT(1)", "TINYINT(1)")) or kind == "BIT":
        if all(type(value) is bool for value in values):
            return [True, False]
        return [0, 1] if all(type(value) is int and value in (0, 1) for value in values) else values
    if values and all(type(value) is bool for value in values):
        return [True, False]
    if not measured and len(values) == 2 and all(type(value) is int and value in (0, 1) for value in values):
        return [0, 1]
    if len(values) == 2 and all(type(value) is str for value in values):
        return values if frozenset(value.lower() for value in values) in _PAIRS else None
    return None


def _with_moments(moments: Moments, values: list[Any], hints: Sequence[Any]) -> MomentDomain:
    found = tuple(dict.fromkeys(moment for hint in hints for moment in moments.matching(hint, values)))
    return MomentDomain(tuple(values), _unknown(found, values), found, moments=moments)


def _is_open(kind: str, values: list[Any]) -> bool:
    """Return True if other texts can be added to `values`: the type is one of text, and they are not JSON."""
    if kind and not any(word in kind for word in ("CHAR", "TEXT", "CLOB", "STRING", "NAME")):
        return False
    return not all(value[:1] in ("{", "[") and _is_json(value) for value in values)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _examples(kind: str) -> list[Any]:
    """Return values of a declared type for a column that has none."""
    if "INT" in kind or kind in ("", "SERIAL"):
        return [1, 2, 3, 5, 8, 13]
    if any(word in kind for word in ("CHAR", "TEXT", "CLOB", "STRING")):
        return ["ant", "bee", "cat", "dog"]
    if any(word in kind for word in ("REAL", "FLOA", "DOUB", "NUM", "DEC")):
        return [0.5, 1.0, 2.5, 4.0]
    return []


def _another(character: str, rng: random.Random) -> str:
    if character.isdigit():
        return rng.choice("0123456789")
    return rng.choice("ABCDEGIKLMNORST" if character.isupper() else "abcdegiklmnorst")
