"""A share of a number of things, as a number of things."""

from __future__ import annotations

import math

_LAST_DIGITS = 1e-12
"""Relative error of a product of floats, and then some."""


def share_of(count: int, share: float, *, up: bool = False) -> int:
    """Return how many of `count` things a `share` of them is, rounded down, or with `up` rounded up.

    Not for the last binary digits of the product: 0.29 of 100 is 29 though 0.29 * 100 is 28.999..., and 0.07 of 100,
    rounded up, is 7 though 0.07 * 100 is 7.000...1. Any share above 0 rounds up to 1 at least.
    """
    product = share * count
    return math.ceil(product * (1 - _LAST_DIGITS)) if up else math.floor(product * (1 + _LAST_DIGITS))
