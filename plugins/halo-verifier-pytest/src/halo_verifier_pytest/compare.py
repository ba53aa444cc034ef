"""Comparison of a returned value with the expected value: by exact type, then by value."""

from __future__ import annotations

import math
from collections.abc import Hashable
from typing import Any


def same(actual: object, expected: object, *, rtol: float = 0.0, atol: float = 0.0) -> bool:
    """Return True if two values are the same plain data.

    Types must be identical at every level: True is not 1, 1 is not 1.0, (1, 2) is not [1, 2]. The order of
    dictionaries and sets is ignored. NaN equals nothing. With a tolerance, two finite floats a (actual) and
    e (expected) are also equal if |a - e| <= atol + rtol * |e|, except as dictionary keys and in sets.
    """
    if type(actual) is not type(expected):
        return False
    a: Any = actual
    e: Any = expected
    if type(e) is float:
        return a == e or _close(a, e, rtol, atol)
    if type(e) in (list, tuple):
        return len(a) == len(e) and all(same(x, y, rtol=rtol, atol=atol) for x, y in zip(a, e, strict=True))
    if type(e) is dict:
        actual_items = {_typed(key): value for key, value in a.items()}
        expected_items = {_typed(key): value for key, value in e.items()}
        return actual_items.keys() == expected_items.keys() and all(
            same(actual_items[key], value, rtol=rtol, atol=atol) for key, value in expected_items.items()
        )
    if type(e) in (set, frozenset):
        return {_typed(item) for item in a} == {_typed(item) for item in e}
    return bool(a == e)


def _close(actual: float, expected: float, rtol: float, atol: float) -> bool:
    if not (math.isfinite(actual) and math.isfinite(expected)):
        return False
    return abs(actual - expected) <= atol + rtol * abs(expected)


def _typed(value: Any) -> Hashable:
    """Return a key for a hashable value; keys are equal only if values and types are equal at every level."""
    kind = type(value)
    if kind is tuple:
        return kind, tuple(map(_typed, value))
    if kind is frozenset:
        return kind, frozenset(map(_typed, value))
    return kind, value
