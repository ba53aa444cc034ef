"""The learning rate of a run that names none: by the trainer's method and the size of the model."""

from __future__ import annotations

import math

SIZE = 7e9
"""Parameters of the model for which the base learning rates hold."""


def size_factor(parameters: float, *, full: bool) -> float:
    """Return the factor on a base learning rate for a model of `parameters`.

    (7B / parameters)^0.5 if all weights are trained, ^0.25 for an adapter, between 1/4 and 4. The formula is ours, of
    low confidence; docs/learning-rates.md names the published rates that it fits.
    """
    return min(4.0, max(0.25, math.pow(SIZE / parameters, 0.5 if full else 0.25)))


def default_rate(base: tuple[float, float], parameters: int, *, full: bool) -> float:
    """Return the peak learning rate for a model of `parameters` (0: unknown, taken as 7B), rounded to two digits.

    `base` has the learning rates at 7B: for all weights, and for an adapter.
    """
    rate = base[0] if full else base[1]
    return float(f"{rate * (size_factor(parameters, full=full) if parameters else 1.0):.1e}")
