from __future__ import annotations

import pytest

from halo_core import errors
from halo_core.errors import ConfigError, HaloError, did_you_mean, first_line

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HaloError)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_error_is_a_line_a_hint_and_an_exit_code(kind: type[HaloError]) -> None:
    error = kind("it broke", hint="mend it")
    assert str(error) == "it broke"
    assert error.hint == "mend it"
    assert kind("it broke").hint == ""
    assert 0 < kind.exit_code < 256


def test_what_the_user_typed_wrong_exits_like_a_usage_error() -> None:
    assert ConfigError.exit_code == errors.DataError.exit_code == 2
    assert errors.Interrupted.exit_code == 130


@pytest.mark.parametrize(
    ("word", "known", "said"),
    [
        ("exponental", ["exponential", "manual"], "did you mean 'exponential'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("zzz", [], ""),
    ],
)
def test_did_you_mean(word: str, known: list[str], said: str) -> None:
    assert did_you_mean(word, known) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "OSError"),
        (" \n", "OSError"),
        ("one\ntwo", "one"),
        ("these are missing:\n  a.bin\nand more", "these are missing: a.bin"),
        ("alone:", "alone:"),
    ],
)
def test_what_a_library_says_first_is_one_line_and_never_nothing(text: str, said: str) -> None:
    assert first_line(OSError(text)) == said
