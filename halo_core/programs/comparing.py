"""Comparison of a program's output with the expected output."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def same_tokens(actual: bytes, expected: bytes, *, rtol: float = 0.0, atol: float = 0.0) -> bool:
    """Return True if both outputs are the same sequence of tokens, split at ASCII white space.

    Tokens must be equal byte for byte. With a tolerance, two decimal numbers a (actual) and e (expected)
    are also equal if |a - e| <= atol + rtol * |e|. The tolerance never applies to words, hexadecimal numbers,
    infinities and NaN.
    """
    ours, theirs = actual.split(), expected.split()
    if len(ours) != len(theirs):
        return False
    if rtol == 0.0 and atol == 0.0:
        return ours == theirs
    return all(a == e or _close(a, e, rtol, atol) for a, e in zip(ours, theirs, strict=True))


def _close(actual: bytes, expected: bytes, rtol: float, atol: float) -> bool:
    if not (_NUMBER.fullmatch(actual) and _NUMBER.fullmatch(expected)):
        return False
    a, e = float(actual), float(expected)
    return math.isfinite(a) and math.isfinite(e) and abs(a - e) <= atol + rtol * abs(e)
