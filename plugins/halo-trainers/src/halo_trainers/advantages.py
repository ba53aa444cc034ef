"""Advantages and returns of single tokens, from rewards and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

Row = Sequence[float]
_EPSILON = 1e-8


def generalized_advantages(
    rewards: Row, values: Row, *, gamma: float, gae_lambda: float
) -> tuple[list[float], list[float]]:
    """Return the advantages A_t and the returns A_t + V_t of the tokens of one completion.

    With d_t = r_t + gamma V_(t+1) - V_t and V = 0 after the last token, A_t = d_t + gamma lambda A_(t+1)
    (Schulman et al. 2016, arXiv 1506.02438, eq. 16).
    """
    advantages: list[float] = []
    advantage = following = 0.0
    for reward, value in zip(reversed(rewards), reversed(values), strict=True):
        advantage = reward + gamma * following - value + gamma * gae_lambda * advantage
        following = value
        advantages.append(advantage)
    advantages.reverse()
    return advantages, [a + v for a, v in zip(advantages, values, strict=True)]


def normalized(rows: Sequence[Row]) -> list[list[float]]:
    """Return `rows` with mean 0 and standard deviation 1 over all their numbers; with mean 0 if all are equal."""
    flat = [value for row in rows for value in row]
    if not flat:
        return [list(row) for row in rows]
    mean, deviation = fmean(flat), math.sqrt(_variance(flat))
    return [[(value - mean) / (deviation + _EPSILON) for value in row] for row in rows]


def explained_variance(returns: Sequence[Row], values: Sequence[Row]) -> float:
    """Return 1 - Var(returns - values) / Var(returns): 1 if values predict returns, 0 or less if they do not help."""
    targets = [value for row in returns for value in row]
    errors = [
        r - v for one, other in zip(returns, values, strict=True) for r, v in zip(one, other, strict=True)
    ]
    variance = _variance(targets) if targets else 0.0
    return 1 - _variance(errors) / variance if variance > 0 else 0.0


def _variance(numbers: Row) -> float:
    """Return the variance; NaN for NaN, which the standard library's functions raise on."""
    mean = fmean(numbers)
    return fmean((number - mean) ** 2 for number in numbers)
