"""Comparison of a returned value with the expected value: by exact type, then by value."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import partial
from typing import Any


def same(
    actual: object, expected: object, *, rtol: float = 0.0, atol: float = 0.0, signed_zero: bool = False
) -> bool:
    """Return True if two values are the same plain data.

    Types must be identical at every level: True is not 1, 1 is not 1.0, (1, 2) is not [1, 2]. The order of
    dictionaries and sets is ignored. NaN equals nothing. -0.0 equals 0.0 unless `signed_zero`. With a tolerance, two
    finite floats a (actual) and e (expected) are also equal if |a - e| <= atol + rtol * |e|, except as dictionary keys
    and in sets.
    """
    if type(actual) is not type(expected):
        return False
    a: Any = actual
    e: Any = expected
    alike = partial(same, rtol=rtol, atol=atol, signed_zero=signed_zero)
    typed = partial(_typed, signed_zero=signed_zero)
    if type(e) is float:
        if signed_zero and a == e == 0.0:
            return math.copysign(1.0, a) == math.copysign(1.0, e)
        return a == e or _close(a, e, rtol, atol)
    if type(e) is complex and signed_zero:
        return same(a.real, e.real, signed_zero=True) and same(a.imag, e.imag, signed_zero=True)
    if type(e) in (list, tuple):
        return len(a) == len(e) and all(map(alike, a, e))
    if type(e) is dict:
        actual_items = {typed(key): value for key, value in a.items()}
        expected_items = {typed(key): value for key, value in e.items()}
        return actual_items.keys() == expected_items.keys() and all(
            alike(actual_items[key], value) for key, value in expected_items.items()
        )
    if type(e) in (set, frozenset):
        return {typed(item) for item in a} == {typed(item) for item in e}
    return bool(a == e)


def _close(actual: float, expected: float, rtol: float, atol: float) -> bool:
    if not (math.isfinite(actual) and math.isfinite(expected)):
        return False
    return abs(actual - expected) <= atol + rtol * abs(expected)


def _typed(value: Any, *, signed_zero: bool = False) -> Hashable:
    """Return a key for a hashable value; keys are equal only if values and types are equal at every level."""
    kind = type(value)
    if kind is tuple:
        return kind, tuple(_typed(item, signed_zero=signed_zero) for item in value)
    if kind is frozenset:
        return kind, frozenset(_typed(item, signed_zero=signed_zero) for item in value)
    if signed_zero and kind in (float, complex) and value == 0:
        return kind, repr(value)
    return kind, value
