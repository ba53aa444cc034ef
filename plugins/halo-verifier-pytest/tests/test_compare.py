import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.sandbox import values
from halo_verifier_pytest.compare import same

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
keys = leaves | st.tuples(leaves, leaves) | st.frozensets(leaves, max_size=3)
plain = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=4)
    | st.sets(keys, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(plain)
def test_encoded_and_decoded_value_is_the_same(value: object) -> None:
    assert same(values.decode(values.encode(value)), value)
    assert same(value, value, rtol=0.5, atol=0.5)


@pytest.mark.parametrize(
    ("actual", "expected"),
    [
        (True, 1),
        (1, 1.0),
        (0, False),
        ("1", b"1"),
        ((1, 2), [1, 2]),
        ([1], [True]),
        ([1, 2], [1, 2, 3]),
        ({1}, {True}),
        ({1}, frozenset({1})),
        ({1: 2}, {True: 2}),
        ({(1,): 2}, {(True,): 2}),
        ({1: 2}, {1: 2.0}),
        ({1: 2}, {1: 2, 2: 2}),
        (frozenset({(1, 2)}), frozenset({(1.0, 2)})),
        (None, 0),
        (math.nan, math.nan),
        ([math.nan], [math.nan]),
    ],
)
def test_different_values_and_types_differ(actual: object, expected: object) -> None:
    assert not same(actual, expected)
    assert not same(expected, actual)
    assert not same(actual, expected, rtol=1e9, atol=1e9)


def test_order_matters_only_in_sequences() -> None:
    assert same({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert same({3, 1, 2}, {1, 2, 3})
    assert not same([1, 2], [2, 1])


def test_tolerance_applies_to_floats_at_every_level() -> None:
    assert not same(1.0 + 1e-9, 1.0)
    assert same({"a": [(1.0 + 1e-9,)]}, {"a": [(1.0,)]}, rtol=1e-6)
    assert same(1e-9, 0.0, atol=1e-6)
    assert not same(1e-9, 0.0, rtol=1e-6)
    assert not same(1.1, 1.0, rtol=1e-6, atol=1e-6)
    assert not same(7, 8, rtol=1.0, atol=9.0)
    assert same(math.inf, math.inf, rtol=0.1)
    assert not same(1e308, math.inf, rtol=0.1)
