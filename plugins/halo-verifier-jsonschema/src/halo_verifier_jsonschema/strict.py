"""JSON read strictly, numbers included, and written in one canonical form.

What RFC 8259 leaves to the reader is refused here where readers differ: two equal keys, NaN and infinities,
half a surrogate pair, numbers beyond a double's range, text after the value. So no answer means one thing to
the verifier and another to the program that would have received it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

Numbers = Literal["exact", "value"]
_BLANKS = " \t\n\r"
_DIGITS = 1000
"""Characters of the longest number. Reading one takes time that grows with the square of its length."""
_SAFE_LENGTH = 16
"""A decimal of so few characters, point or exponent included, names one double and that double names it."""
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Strings, whole or cut off, and brackets. It never takes a step back, so the scan is linear."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotStrictError(Exception):
    """A text is not strict JSON, or is more than the limits allow. Says why in one line."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much JSON is read."""

    max_bytes: int = 65536
    """UTF-8 bytes of one JSON text."""
    max_depth: int = 64
    """Objects and arrays inside one another."""


def parse(text: str, limits: Limits = Limits(), *, numbers: Numbers = "exact", trailing: bool = False) -> Any:
    """Return the one value that `text` holds; raise `NotStrictError` unless there is exactly one.

    Integers are exact at any size. `exact` keeps the others apart from them: 1.0 and 1e0 are floats, -0 is
    -0.0, and a decimal that a double does not hold is a `Decimal`. `value` reads numbers for what they are
    worth as doubles: 1.0 and 1e0 are 1, -0 is 0. With `trailing`, text after the value is left unread.

    Takes time linear in the text.
    """
    _measure(text, limits)
    decoder = _DECODERS[numbers]
    start = len(text) - len(text.lstrip(_BLANKS))
    try:
        value, end = decoder.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise NotStrictError(f"not JSON: {error}") from None
    except RecursionError:
        raise NotStrictError("nested too deeply") from None
    if not trailing and text[end:].strip(_BLANKS):
        raise NotStrictError(f"text after the JSON, from character {end}")
    if _SURROGATE.search(text, start, end):
        _refuse_lone_surrogates(value)
    return value


def canonical(value: Any) -> str:
    """Return a text that two values share exactly when they are the same JSON, types of numbers included.

    The order of keys does not count. A `Decimal` is like nothing that `json.loads` returns.
    """
    return _ENCODER.encode(value)


def _measure(text: str, limits: Limits) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise NotStrictError("holds half of a surrogate pair") from None
    if size > limits.max_bytes:
        raise NotStrictError(f"{size} bytes of JSON, more than {limits.max_bytes}")
    if text.count("{") + text.count("[") > limits.max_depth and _depth(text) > limits.max_depth:
        raise NotStrictError(f"nested more than {limits.max_depth} deep")


def _depth(text: str) -> int:
    depth = deepest = 0
    for match in _TOKENS.finditer(text):
        token = match[0]
        if token in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "}]":
            depth -= 1
    return deepest


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise NotStrictError("holds half of a surrogate pair") from None


def _unlike_any(value: Any) -> list[str]:
    return ["\0decimal", str(value)]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotStrictError(f"key {twice[:80]!r} twice in one object")
    return made


def _constant(name: str) -> Any:
    raise NotStrictError(f"{name} is not JSON")


def _exact_integer(literal: str) -> int | float:
    _limit(literal)
    return -0.0 if literal == "-0" else int(literal)


def _exact_real(literal: str) -> float | Decimal:
    value = _double(literal)
    if value == 0.0 or (len(literal) <= _SAFE_LENGTH and abs(value) > 1e-290):
        return value  # a zero may have any exponent, even one that `Decimal` refuses
    exact = Decimal(literal)
    return value if exact == Decimal(repr(value)) else exact


def _integer_by_value(literal: str) -> int:
    _limit(literal)
    return int(literal)


def _real_by_value(literal: str) -> int | float:
    value = _double(literal)
    return int(value) if value.is_integer() else value


def _double(literal: str) -> float:
    _limit(literal)
    value = float(literal)
    vanished = value == 0.0 and re.search(r"[1-9]", literal.lower().partition("e")[0])
    if math.isinf(value) or vanished:
        raise NotStrictError(f"the number {literal[:40]} is out of range")
    return value


def _limit(literal: str) -> None:
    if len(literal) > _DIGITS:
        raise NotStrictError(f"a number of more than {_DIGITS} characters")


def _decoder(integer: Callable[[str], Any], real: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_int=integer, parse_float=real, parse_constant=_constant
    )


_DECODERS = {
    "exact": _decoder(_exact_integer, _exact_real),
    "value": _decoder(_integer_by_value, _real_by_value),
}
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_unlike_any)
