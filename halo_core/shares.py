"""Rounding a share of a count."""

from __future__ import annotations

import math

_LAST_DIGITS = 1e-12
"""Tolerated relative error; far above that of a product of floats."""


def share_of(count: int, share: float, *, up: bool = False) -> int:
    """Return `share` * `count` as an integer, rounded down, or with `up` rounded up.

    Rounding errors of the product are ignored: 0.29 of 100 is 29 although 0.29 * 100 is 28.999..., and 0.07 of 100,
    rounded up, is 7 although 0.07 * 100 is 7.000...1. With `up`, any share above 0 gives at least 1.
    """
    product = share * count
    return math.ceil(product * (1 - _LAST_DIGITS)) if up else math.floor(product * (1 + _LAST_DIGITS))
