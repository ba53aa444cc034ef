from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.shares import share_of


@given(st.integers(0, 100), st.integers(0, 100_000))
def test_a_share_in_hundredths_is_exact(hundredths: int, count: int) -> None:
    exact = Fraction(hundredths, 100) * count
    assert share_of(count, hundredths / 100) == math.floor(exact)
    assert share_of(count, hundredths / 100, up=True) == math.ceil(exact)


@pytest.mark.parametrize("share", [1e-13, 1e-9, 0.3])
def test_a_positive_share_rounds_up_to_at_least_one(share: float) -> None:
    assert share_of(1, share, up=True) == 1
    assert share_of(0, share, up=True) == share_of(0, share) == 0
