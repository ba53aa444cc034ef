from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.sandbox.values import NotPlainError, decode, encode

hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
plain = st.recursive(
    hashable | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(hashable, inner, max_size=3)
        | st.sets(hashable, max_size=3)
    ),
    max_leaves=8,
)


def same(a: object, b: object) -> bool:
    """Return whether `a` and `b` are equal in value and in all nested types, including the sign of zero."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, float) and isinstance(b, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b)
    return a == b


@given(plain)
def test_plain_data_survives_a_round_trip(value: object) -> None:
    assert same(decode(encode(value)), value)


@given(st.binary() | st.text().map(str.encode) | plain.map(lambda v: repr(v).encode()))
def test_any_bytes_decode_or_raise(data: bytes) -> None:
    with suppress(NotPlainError):
        encode(decode(data))


class Liar(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize("value", [Liar(1), object(), len, [Liar(1)], {1: Liar(2)}, range(3), math])
def test_values_that_are_not_plain_data_raise(value: object) -> None:
    with pytest.raises(NotPlainError):
        encode(value)


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"int":"' + b"f" * 10 + b'z"}',
        b"9" * 100_000,
        b'{"set":[[]]}',
        b'{"eval":"1"}',
        b'{"int":"1","float":"1"}',
        b'{"set":[' + b",".join(b'{"int":"%x"}' % (k * (2**61 - 1)) for k in range(1, 999)) + b"]}",
    ],
)
def test_attacks_on_the_decoder_raise(data: bytes) -> None:
    with pytest.raises(NotPlainError):
        decode(data)


def test_encoding_a_deeply_nested_value_raises() -> None:
    value: list[object] = []
    for _ in range(10_000):
        value = [value]
    with pytest.raises(NotPlainError):
        encode(value)
