"""`growth.grows_linearly`."""

from __future__ import annotations

from growth import grows_linearly


def quadratic(size: int) -> int:
    return sum(max(range(size)) for _ in range(size))


def linear(size: int) -> int:
    return max(range(size * 100))


def test_linear_and_quadratic_time_are_told_apart() -> None:
    assert grows_linearly(linear, 2_000)
    assert not grows_linearly(quadratic, 4_000)
