"""Schemas: what they mean, how they are closed, and which of them are checked where."""

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_verifier_jsonschema import linear
from halo_verifier_jsonschema.closing import close
from halo_verifier_jsonschema.schemas import Draft, compiled

OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED = {**OPEN, "additionalProperties": False}


def problem(schema: Any, value: Any, draft: Draft = "2020-12", *, closed: bool = False) -> str:
    return compiled(schema, draft, closed=closed).problem(value, draft=draft, cpu_seconds=1.0)


# Meaning


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "integer"}, 1, True),
        ({"type": "integer"}, 10**40, 1.5),
        ({"type": "integer", "maximum": 2**53}, 2**53, 2**53 + 1),
        ({"const": 1}, 1, True),
        ({"const": [1, {"a": None}]}, [1, {"a": None}], [1, {"a": 0}]),
        ({"enum": ["a", 1]}, "a", "A"),
        ({"multipleOf": 0.01}, 19.99, 19.999),
        ({"pattern": "^a+$"}, "aa", "aa\n"),
        ({"pattern": r"^\d$"}, "1", "١"),
        ({"pattern": r"^(?!.*\.\.)[\w.]+$"}, "a.b", "a..b"),
        ({"minLength": 2}, "😀😀", "😀"),
        ({"uniqueItems": True}, [1, "1", True], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
        ({"format": "date"}, "2024-02-29", "2023-02-29"),
        ({"format": "date-time"}, "2024-01-01T10:00:00Z", "2024-01-01 10:00"),
        ({"format": "time"}, "10:00:00Z", "25:00:00Z"),
        ({"format": "email"}, "ann@example.com", "ann"),
        ({"format": "ipv4"}, "192.0.2.1", "192.0.2.256"),
        ({"format": "uuid"}, "2eb8aa08-aa98-11ea-b4aa-73b441d16380", "2eb8aa08"),
        ({"format": "uri"}, "https://example.com/a", "example"),
        ({"format": "regex"}, "a+", "a("),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 2}, {"a": 1}),
        ({"prefixItems": [{"type": "string"}], "items": False}, ["a"], ["a", 1]),
        ({"contains": {"const": 1}, "maxContains": 1}, [1, 2], [1, 1]),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}),
        ({"propertyNames": {"maxLength": 2}}, {"ab": 1}, {"abc": 1}),
        (True, None, ...),
    ],
)
def test_schemas_mean_what_the_standard_says(schema: Any, good: Any, bad: Any) -> None:
    assert problem(schema, good) == ""
    assert bad is ... or problem(schema, bad) != ""


@pytest.mark.parametrize("draft", ["4", "6", "7", "2019-09", "2020-12"])
def test_every_draft_has_its_own_keywords(draft: Draft) -> None:
    named = "$defs" if draft.startswith("20") else "definitions"
    schema = {named: {"n": {"type": "integer", "minimum": 1}}, "items": {"$ref": f"#/{named}/n"}}
    assert problem(schema, [1, 2], draft) == ""
    assert "minimum" in problem(schema, [1, 0], draft)
    exclusive = {"minimum": 1, "exclusiveMinimum": True} if draft == "4" else {"exclusiveMinimum": 1}
    assert problem(exclusive, 1, draft) != ""
    assert problem({"format": "date"}, "yesterday", draft) != ""
    assert (problem({"type": "integer"}, 1.0, draft) == "") is (draft != "4")


def test_a_schema_may_name_its_draft() -> None:
    schema = {"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": True}
    assert problem(schema, 1) != ""
    assert problem(schema, 2) == ""


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "text"},
        {"format": "no-such-format"},
        {"pattern": "("},
        {"$ref": "https://example.com/schema.json"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "#/$defs/nowhere"},
        {"$schema": "https://example.com/dialect"},
        {"minimum": "1"},
        {"enum": [float("nan")]},
        {"const": {1, 2}},
        {"properties": {"a": {"$ref": "other.json#/a"}}},
    ],
)
def test_what_is_no_usable_schema_is_refused(schema: Any) -> None:
    with pytest.raises(DataError) as caught:
        compiled(schema, "2020-12", closed=True)
    assert "\n" not in str(caught.value)


def test_nothing_is_read_from_elsewhere(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "integer"}')
    with pytest.raises(DataError):
        compiled({"$ref": other.as_uri()}, "2020-12", closed=True)


def test_equal_schemas_are_compiled_once() -> None:
    one = compiled({"minimum": 1, "type": "integer"}, "7", closed=True)
    assert compiled({"type": "integer", "minimum": 1}, "7", closed=True) is one
    assert compiled({"type": "integer", "minimum": 1}, "7", closed=False) is not one


# Closing


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        (OPEN, CLOSED),
        (True, True),
        ({"type": "object"}, {"type": "object"}),
        ({**OPEN, "additionalProperties": True}, {**OPEN, "additionalProperties": True}),
        ({**OPEN, "patternProperties": {"^x": True}}, {**OPEN, "patternProperties": {"^x": True}}),
        ({"items": OPEN}, {"items": CLOSED}),
        ({"properties": {"o": OPEN}}, {"properties": {"o": CLOSED}, "additionalProperties": False}),
        ({"additionalProperties": OPEN}, {"additionalProperties": CLOSED}),
        ({"anyOf": [OPEN, {"type": "null"}]}, {"anyOf": [CLOSED, {"type": "null"}]}),
        ({**OPEN, "anyOf": [{"required": ["a"]}]}, {**CLOSED, "anyOf": [{"required": ["a"]}]}),
        ({**OPEN, "allOf": [OPEN]}, {**CLOSED, "allOf": [OPEN]}),
        ({"items": OPEN, "anyOf": [{"minItems": 1}]}, {"items": CLOSED, "anyOf": [{"minItems": 1}]}),
        ({**OPEN, "if": {"properties": {"a": {"const": 1}}}, "then": {"not": {"properties": {"b": True}}}},)
        * 2,
        (
            {**OPEN, "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["a"]}},
            {**CLOSED, "if": {"properties": {"a": {"const": 1}}}, "then": {"required": ["a"]}},
        ),
        ({**OPEN, "allOf": [{"additionalProperties": True}]},) * 2,
        (
            {"properties": {"a": OPEN}, "allOf": [{"properties": {"a": OPEN}}]},
            {
                "properties": {"a": OPEN},
                "allOf": [{"properties": {"a": OPEN}}],
                "additionalProperties": False,
            },
        ),
        ({"allOf": [OPEN, {"properties": {"b": OPEN}}]}, {"allOf": [OPEN, {"properties": {"b": OPEN}}]}),
        ({**OPEN, "oneOf": [{"properties": {"b": True}}]}, {**OPEN, "oneOf": [{"properties": {"b": True}}]}),
        ({"not": OPEN}, {"not": OPEN}),
        ({"contains": OPEN, "items": OPEN}, {"contains": OPEN, "items": OPEN}),
        (
            {"$defs": {"o": OPEN}, "items": {"$ref": "#/$defs/o"}},
            {"$defs": {"o": CLOSED}, "items": {"$ref": "#/$defs/o"}},
        ),
        (
            {"$defs": {"o": OPEN}, "allOf": [{"$ref": "#/$defs/o"}, OPEN]},
            {"$defs": {"o": OPEN}, "allOf": [{"$ref": "#/$defs/o"}, OPEN]},
        ),
        (
            {"$defs": {"o": OPEN}, "$ref": "#/$defs/o", "properties": {"b": True}},
            {"$defs": {"o": OPEN}, "$ref": "#/$defs/o", "properties": {"b": True}},
        ),
        (
            {"$defs": {"o": {"$anchor": "o", **OPEN}}, "items": {"$ref": "#o"}},
            {"$defs": {"o": {"$anchor": "o", **OPEN}}, "items": {"$ref": "#o"}},
        ),
    ],
)
def test_closing(schema: Any, made: Any) -> None:
    before = json.dumps(schema)
    assert close(schema) == made
    assert json.dumps(schema) == before


def test_a_definition_that_is_shared_once_is_left_open_everywhere() -> None:
    deep = {
        "$defs": {"o": OPEN, "p": {"allOf": [{"$ref": "#/$defs/q"}]}, "q": {"items": {"$ref": "#/$defs/o"}}}
    }
    schema = {**deep, "properties": {"x": {"$ref": "#/$defs/o"}, "p": {"$ref": "#/$defs/p"}}}
    assert close(schema)["$defs"]["o"] == OPEN  # type: ignore[index]


def test_closing_can_be_switched_off() -> None:
    assert problem(OPEN, {"a": 1, "b": 2}, closed=True) != ""
    assert problem(OPEN, {"a": 1, "b": 2}, closed=False) == ""


# Where they are checked


@pytest.mark.parametrize(
    "schema",
    [
        True,
        OPEN,
        {"pattern": "^(a+)+$"},
        {"pattern": "^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$"},
        {"format": "date-time"},
        {"uniqueItems": True},
        {"enum": list(range(500))},
        {"$defs": {"a": OPEN}, "properties": {str(i): {"$ref": "#/$defs/a"} for i in range(300)}},
        {"anyOf": [{"type": "string"}] * 20, "items": {"oneOf": [OPEN] * 20}},
        {"properties": {"properties": {"type": "string"}, "$ref": {"type": "string"}, "format": True}},
    ],
)
def test_what_is_sure_to_be_quick_is_checked_here(schema: Any) -> None:
    assert linear.obstacle(schema) == ""


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ({"items": {"$ref": "#"}}, "refers to itself"),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/$defs/a"}}},
          "$ref": "#/$defs/a"}, "refers to itself"),
        ({"$ref": "#"}, "refers to itself"),
        ({"pattern": "^(?=a)"}, "backtracking"),
        ({"pattern": r"(a)\1"}, "backtracking"),
        ({"pattern": "^.{1,5000}$"}, "large"),
        ({"patternProperties": {"^(?!x)": True}}, "backtracking"),
        ({"properties": {"a": {"unevaluatedProperties": False}}}, "unevaluatedProperties"),
        ({"items": {"format": "regex"}}, "format 'regex'"),
        ({"contentEncoding": "base64"}, "contentEncoding"),
        ({"$dynamicRef": "#a"}, "$dynamicRef"),
        ({"$ref": "#a", "$defs": {"a": {"$anchor": "a"}}}, "'#a'"),
        ({"$defs": {"a": {"$id": "https://example.com/a"}}, "items": {"$ref": "#/$defs/a"}}, "address"),
        ({"anyOf": [{"type": "string"}] * 100}, "101 parts"),
        ({"items": {"allOf": [{"anyOf": [True] * 10}] * 10}}, "111 parts"),
        ({"allOf": [{"items": {"allOf": [True] * 9}}] * 9}, "90 parts"),
        ({"patternProperties": {f"^{c}": True for c in "abcdefgh"}}, "65 parts"),
        ({"enum": list(range(2000))}, "126 parts"),
    ],
)  # fmt: skip
def test_what_may_take_long_is_checked_in_a_process_that_can_be_killed(schema: Any, reason: str) -> None:
    assert reason in linear.obstacle(schema)


def test_definitions_that_double_at_each_step_are_weighed_quickly() -> None:
    steps = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)}
    schema = {"$defs": {**steps, "a60": True}, "$ref": "#/$defs/a0"}
    begun = time.process_time()
    assert linear.obstacle(schema)
    assert time.process_time() - begun < 1.0


def test_the_verdict_does_not_depend_on_where_it_is_found() -> None:
    here = compiled(OPEN, "2020-12", closed=True)
    there = compiled({**OPEN, "allOf": [{"pattern": "(?=.)"}]}, "2020-12", closed=True)
    assert not here.obstacle
    assert there.obstacle
    for value in ({"a": 1}, {"a": 10**30}, {}, {"a": "1"}, {"a": 1.5}, [], None, {"a": 1, "b": 2}):
        said = [each.problem(value, draft="2020-12", cpu_seconds=1.0) for each in (here, there)]
        assert said[0] == said[1]


def test_decimals_reach_the_other_process_as_numbers() -> None:
    from decimal import Decimal

    schema = {"allOf": [{"type": "number", "maximum": 3}], "pattern": "(?=.)"}
    assert problem(schema, Decimal("2.99999999999999999999")) == ""
    assert problem(schema, Decimal("3.00000000000000000001")) != ""
    assert problem({**schema, "allOf": [{"type": "object"}]}, {"decimal": "1"}) == ""


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"pattern": "^(a|a)*b$"}, "a" * 60_000),
        ({"pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}, "a" * 60_000),
        ({"pattern": "(a|b)*a(a|b){150}c"}, "".join(random.Random(0).choices("ab", k=60_000))),
        ({"items": {"type": "object"}, "uniqueItems": True}, [{"k": [i]} for i in range(6_000)]),
        ({"items": {"anyOf": [{"type": "string"}, {"items": {"type": "string"}}]}}, [[1]] * 15_000),
        ({"anyOf": [{"items": {"enum": list(range(300))}}, {"items": {"type": "null"}}]}, ["x"] * 15_000),
        ({"contains": {"const": 1}}, [2] * 30_000),
        ({"format": "email"}, "a." * 30_000),
        ({"format": "uri"}, "a://" + "%41" * 20_000),
    ],
)
def test_the_worst_texts_are_judged_here_in_little_time(schema: Any, value: Any) -> None:
    ready = compiled(schema, "2020-12", closed=True)
    assert not ready.obstacle
    begun = time.process_time()
    ready.check(value)
    assert time.process_time() - begun < 1.0
