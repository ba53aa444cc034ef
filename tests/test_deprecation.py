from __future__ import annotations

import warnings

import pytest

from halo_core import deprecated


@deprecated(use="new_sum", until="0.4")
def old_sum(*numbers: int) -> int:
    """Add."""
    return sum(numbers)


@deprecated(use="halo_core.Prompt", until="0.4")
class OldPrompt:
    """A prompt."""

    def __init__(self, text: str) -> None:
        self.text = text


def test_the_first_call_warns_and_names_replacement_version_and_caller() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [old_sum(1, 2), old_sum(3)] == [3, 3]
        assert [OldPrompt("a").text, OldPrompt(text="b").text] == ["a", "b"]
    messages = [str(each.message) for each in caught]
    assert messages == [
        f"{__name__}.old_sum is deprecated and will be removed in halo-core 0.4: use new_sum",
        f"{__name__}.OldPrompt is deprecated and will be removed in halo-core 0.4: use halo_core.Prompt",
    ]
    assert {each.filename for each in caught} == {__file__}
    assert {each.category for each in caught} == {DeprecationWarning}


def test_a_deprecated_name_keeps_its_documentation() -> None:
    assert old_sum.__doc__ == "Add."
    assert isinstance(OldPrompt, type)
    assert "use new_sum" in old_sum.__deprecated__  # type: ignore[attr-defined]


def test_importing_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")

        @deprecated(use="something", until="1.0")
        def unused() -> None: ...

    with pytest.warns(DeprecationWarning, match="use something"):
        unused()
