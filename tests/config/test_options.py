from __future__ import annotations

from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError, field_validator, model_validator

from halo_core.config.options import build, options_of, parse_assignments
from halo_core.drivers import Driver, driver
from halo_core.errors import ConfigError


@driver
class AllTypes(Driver):
    """One option of each type."""

    rate: float = 1e-3
    """Peak rate."""
    count: Annotated[int, Field(ge=1)] = 4
    """Number of things,
    over two lines."""
    flag: bool = False
    limit: Annotated[int, Field(ge=1)] | None = 7
    kind: Literal["prompt", "run"] = "prompt"
    number: Literal[1, 2] = 1
    name: str = "x"
    maybe: str | None = None
    words: tuple[str, ...] = ()
    rates: list[float] = Field(default_factory=lambda: [0.5])
    table: Mapping[str, float] = Field(default_factory=dict)
    some: set[int] | None = None
    either: str | tuple[str, ...] = ""
    place: Path = Path()


@driver
class RequiresTool(Driver):
    """Has an option without a default."""

    tool: str
    """The tool to call."""


@driver
class Validated(Driver):
    """Validates its options."""

    low: int = 0
    high: int = 9

    @field_validator("low")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("Low must be even")
        return value

    @model_validator(mode="after")
    def _ordered(self) -> Validated:
        if self.low > self.high:
            raise ValueError("low is above high")
        return self


@dataclass(frozen=True)
class Plain:
    """A dataclass of the standard library."""

    factor: float = 0.5
    words: tuple[str, ...] = ()


class NoDataclass:
    """A class that is not a dataclass."""


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("rate", "5e-5", 5e-5),
        ("rate", "5E-5", 5e-5),
        ("rate", "1", 1.0),
        ("count", "8", 8),
        ("flag", "true", True),
        ("flag", "yes", True),
        ("flag", "on", True),
        ("flag", "1", True),
        ("flag", "no", False),
        ("flag", "False", False),
        ("limit", "none", None),
        ("limit", "None", None),
        ("limit", "null", None),
        ("limit", "3", 3),
        ("kind", "run", "run"),
        ("number", "2", 2),
        ("name", "none", "none"),
        ("name", "5e-5", "5e-5"),
        ("name", "[a]", "[a]"),
        ("maybe", "none", None),
        ("maybe", "no", "no"),
        ("words", "q_proj", ("q_proj",)),
        ("words", '["a", "b"]', ("a", "b")),
        ("words", ["a", "b"], ("a", "b")),
        ("words", "-O2 -g", ("-O2 -g",)),
        ("words", "-Wl,-z,now", ("-Wl,-z,now",)),
        ("rates", "5e-5", [5e-5]),
        ("rates", ["5e-5", "4e-5"], [5e-5, 4e-5]),
        ("rates", "[5e-5, 4e-5]", [5e-5, 4e-5]),
        ("table", '{"a": 1}', {"a": 1.0}),
        ("table", {"a": "5e-5"}, {"a": 5e-5}),
        ("some", "none", None),
        ("some", "[1, 2, 2]", {1, 2}),
        ("either", "abc", "abc"),
        ("either", '["a", "b"]', ("a", "b")),
        ("place", "a/b", Path("a/b")),
    ],
)
def test_the_annotation_determines_the_parsed_value(name: str, text: Any, value: Any) -> None:
    built = getattr(build(AllTypes, {name: text}, where="it"), name)
    assert built == value
    assert type(built) is type(value)


@pytest.mark.parametrize(
    ("name", "value", "parts"),
    [
        ("rate", "fast", ["it: rate: ", "number", "'fast'"]),
        ("rate", "nan", ["it: rate: ", "finite"]),
        ("rates", ["1", "inf"], ["it: rates.1: ", "finite"]),
        ("count", "0", ["it: count: ", "greater than or equal to 1", "'0'"]),
        ("count", "2.5", ["it: count: ", "whole number"]),
        ("flag", "perhaps", ["it: flag: ", "true or false"]),
        ("limit", "0", ["it: limit: ", "greater"]),
        ("kind", "cycle", ["it: kind: ", "'prompt' or 'run'", "'cycle'"]),
        ("number", "3", ["it: number: ", "1 or 2", "'3'"]),
        ("name", False, ["it: name: ", "quote it"]),
        ("words", "[a", ["it: words: ", "'[a'"]),
        ("words", {"a": 1}, ["it: words: "]),
        ("rates", ["1", "x"], ["it: rates.1: ", "'x'"]),
        ("table", "a", ["it: table: "]),
    ],
)
def test_an_invalid_value_is_reported_in_one_line(name: str, value: Any, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        build(AllTypes, {name: value}, where="it")
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


def test_an_unknown_option_is_rejected_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="it has no option 'coutn'") as caught:
        build(AllTypes, {"coutn": 1}, where="it")
    assert caught.value.hint == "did you mean 'count'?"


def test_an_option_for_a_driver_without_options_is_rejected() -> None:
    with pytest.raises(ConfigError) as caught:
        build(NoDataclass, {"x": 1}, where="it")
    assert caught.value.hint == "it takes no options"
    assert isinstance(build(NoDataclass, {}, where="it"), NoDataclass)


def test_a_missing_required_option_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^it: tool: ") as caught:
        build(RequiresTool, {}, where="it")
    assert "got" not in str(caught.value)


def test_errors_of_a_drivers_own_validators_keep_their_message() -> None:
    with pytest.raises(ConfigError, match=r"^it: low: low must be even \(got 3\)$"):
        build(Validated, {"low": 3}, where="it")
    with pytest.raises(ConfigError, match=r"^it: low is above high") as caught:
        build(Validated, {"low": 10}, where="it")
    assert "\n" not in str(caught.value)


def test_a_plain_dataclass_is_validated_too() -> None:
    assert build(Plain, {"factor": "0.25", "words": "a"}, where="it") == Plain(0.25, ("a",))
    with pytest.raises(ConfigError, match="it: factor: "):
        build(Plain, {"factor": "x"}, where="it")


def test_options_are_listed_with_type_default_and_help() -> None:
    options = {option.name: option for option in options_of(AllTypes)}
    assert list(options)[:3] == ["rate", "count", "flag"], "in source order"
    assert (options["rate"].type, options["rate"].default, options["rate"].help) == (
        "float",
        1e-3,
        "Peak rate.",
    )
    assert options["count"].help == "Number of things, over two lines."
    assert options["kind"].type == "Literal['prompt', 'run']"
    assert options["limit"].type == "int | none"
    assert options["words"].type == "tuple[str, ...]"
    assert options["table"].type == "Mapping[str, float]"
    assert options["rates"].default == [0.5]
    assert options_of(RequiresTool)[0].default is ...


def test_options_of_classes_that_are_not_drivers() -> None:
    assert options_of(NoDataclass) == []
    assert [(o.name, o.type, o.default) for o in options_of(Plain)] == [
        ("factor", "float", 0.5),
        ("words", "tuple[str, ...]", ()),
    ]


def test_a_driver_is_frozen_and_keyword_only() -> None:
    built = build(AllTypes, {}, where="it")
    with pytest.raises(FrozenInstanceError):
        built.count = 2  # type: ignore[misc]
    with pytest.raises((TypeError, ValidationError)):
        AllTypes(0.1)  # type: ignore[call-arg]


def test_assignments_become_a_mapping_and_repeated_keys_a_list() -> None:
    texts = ["a=1", "b=x=y", "c=1", "c=2", "c=3", " d =5", "e="]
    assert parse_assignments(texts, flag="-V") == {
        "a": "1",
        "b": "x=y",
        "c": ["1", "2", "3"],
        "d": "5",
        "e": "",
    }


@pytest.mark.parametrize("text", ["a", "=1", "", " =1"])
def test_an_invalid_assignment_is_rejected_with_its_flag(text: str) -> None:
    with pytest.raises(ConfigError, match=r"-V .* is not of the form key=value"):
        parse_assignments([text], flag="-V")
