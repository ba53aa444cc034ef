import pytest

from halo_core.programs import same_tokens


@pytest.mark.parametrize("actual", [b"1 2\n", b"1\n2", b"  1\t2  \r\n"])
def test_white_space_is_ignored(actual: bytes) -> None:
    assert same_tokens(actual, b"1 2")


@pytest.mark.parametrize("actual", [b"", b"1", b"1 2 3", b"12", b"2 1", b"1 2.0", b"01 2", b"1 2\0"])
def test_any_other_difference_counts(actual: bytes) -> None:
    assert not same_tokens(actual, b"1 2")


def test_tolerances() -> None:
    assert same_tokens(b"0.3333", b"0.33333", rtol=1e-3)
    assert not same_tokens(b"0.3333", b"0.33333", rtol=1e-6)
    assert same_tokens(b"x 1e-9", b"x 0", atol=1e-6)
    assert not same_tokens(b"y 1e-9", b"x 0", atol=1e-6)
    assert same_tokens(b"100.9", b"100", rtol=0.01)
    assert not same_tokens(b"101.1", b"100", rtol=0.01)


@pytest.mark.parametrize("token", [b"nan", b"inf", b"1e999", b"0x1", b"1_0", b""])
def test_tolerance_applies_only_to_finite_decimal_numbers(token: bytes) -> None:
    assert not same_tokens(token, b"1", atol=1e300)
    assert not same_tokens(b"nan", b"nan2", rtol=1.0)
