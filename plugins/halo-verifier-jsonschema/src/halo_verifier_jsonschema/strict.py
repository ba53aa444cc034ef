"""Strict JSON parsing, numbers included, and a canonical form for comparison.

RFC 8259 leaves some texts to the parser, and parsers differ on them: duplicate keys, NaN and infinities, lone
surrogates, numbers beyond a double's range, text after the value. All of these are rejected, so that no answer
means one thing to the verifier and another to the program that would receive it.
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
_WHITESPACE = " \t\n\r"
_MAX_NUMBER = 1000
"""Characters of the longest number. Parsing time grows with the square of the length."""
_SAFE_LENGTH = 16
"""Decimals of up to this many characters (point and exponent included) map one to one to doubles."""
_TOKENS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""Strings, complete or cut off, and brackets. The pattern never backtracks, so the scan is linear."""
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class NotStrictError(Exception):
    """A text is not strict JSON or exceeds a limit. The message is a one-line reason."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits on one JSON text."""

    max_bytes: int = 65536
    """Maximum size in UTF-8 bytes."""
    max_depth: int = 64
    """Maximum nesting of objects and arrays."""


def parse(text: str, limits: Limits = Limits(), *, numbers: Numbers = "exact", trailing: bool = False) -> Any:
    """Return the only JSON value of `text`; raise `NotStrictError` unless there is exactly one.

    Integers are exact at any size. `exact` distinguishes them from other numbers: 1.0 and 1e0 are floats, -0 is
    -0.0, and a decimal that no double represents is a `Decimal`. `value` reads numbers by their value as
    doubles: 1.0 and 1e0 are 1, -0 is 0. With `trailing`, text after the value is ignored.

    Runs in time linear in the text.
    """
    value, end = parse_start(text, limits, numbers=numbers)
    if not trailing and text[end:].strip(_WHITESPACE):
        raise NotStrictError(f"text after the JSON, from character {end}")
    return value


def parse_start(text: str, limits: Limits = Limits(), *, numbers: Numbers = "exact") -> tuple[Any, int]:
    """Return the JSON value that `text` starts with, as `parse` does, and its end."""
    _check_limits(text, limits)
    start = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        value, end = _DECODERS[numbers].raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise NotStrictError(f"not JSON: {error}") from None
    except RecursionError:
        raise NotStrictError("nested too deeply") from None
    if _SURROGATE.search(text, start, end):
        _reject_lone_surrogates(value)
    return value, end


def decoder(numbers: Numbers) -> json.JSONDecoder:
    """Return the decoder that `parse` uses; its hooks raise `NotStrictError`."""
    return _DECODERS[numbers]


def canonical(value: Any) -> str:
    """Return a text that is equal for two values exactly if they are the same JSON, number types included.

    The order of keys does not count. A `Decimal` differs from every value that `json.loads` returns.
    """
    return _ENCODER.encode(value)


def _check_limits(text: str, limits: Limits) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise NotStrictError("contains a lone surrogate") from None
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


def _reject_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise NotStrictError("contains a lone surrogate") from None


def _encode_decimal(value: Any) -> list[str]:
    return ["\0decimal", str(value)]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotStrictError(f"key {twice[:80]!r} twice in one object")
    return result


def _reject_constant(name: str) -> Any:
    raise NotStrictError(f"{name} is not JSON")


def _exact_integer(literal: str) -> int | float:
    _check_length(literal)
    return -0.0 if literal == "-0" else int(literal)


def _exact_real(literal: str) -> float | Decimal:
    value = _double(literal)
    if value == 0.0 or (len(literal) <= _SAFE_LENGTH and abs(value) > 1e-290):
        return value  # a zero may have any exponent, even one that `Decimal` rejects
    exact = Decimal(literal)
    return value if exact == Decimal(repr(value)) else exact


def _integer_by_value(literal: str) -> int:
    _check_length(literal)
    return int(literal)


def _real_by_value(literal: str) -> int | float:
    value = _double(literal)
    return int(value) if value.is_integer() else value


def _double(literal: str) -> float:
    _check_length(literal)
    value = float(literal)
    underflow = value == 0.0 and re.search(r"[1-9]", literal.lower().partition("e")[0])
    if math.isinf(value) or underflow:
        raise NotStrictError(f"the number {literal[:40]} is out of range")
    return value


def _check_length(literal: str) -> None:
    if len(literal) > _MAX_NUMBER:
        raise NotStrictError(f"a number of more than {_MAX_NUMBER} characters")


def _decoder(integer: Callable[[str], Any], real: Callable[[str], Any]) -> json.JSONDecoder:
    return json.JSONDecoder(
        object_pairs_hook=_object, parse_int=integer, parse_float=real, parse_constant=_reject_constant
    )


_DECODERS = {
    "exact": _decoder(_exact_integer, _exact_real),
    "value": _decoder(_integer_by_value, _real_by_value),
}
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_encode_decimal)
