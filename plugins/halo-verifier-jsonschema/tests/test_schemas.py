"""Schemas: their meaning, their closing, and which of them need the sandbox."""

import json
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from growth import grows_linearly

from halo_core.errors import DataError
from halo_verifier_jsonschema import linear
from halo_verifier_jsonschema.closing import close
from halo_verifier_jsonschema.schemas import Draft, compile_schema

OPEN = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED = {**OPEN, "additionalProperties": False}


def problem(schema: Any, value: Any, draft: Draft = "2020-12", *, closed: bool = False) -> str:
    return compile_schema(schema, draft, closed=closed).problem(value, draft=draft, cpu_seconds=1.0)


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
def test_schemas_follow_the_standard(schema: Any, good: Any, bad: Any) -> None:
    assert problem(schema, good) == ""
    assert bad is ... or problem(schema, bad) != ""


@pytest.mark.parametrize("draft", ["4", "6", "7", "2019-09", "2020-12"])
def test_each_draft_has_its_own_keywords(draft: Draft) -> None:
    bag = "$defs" if draft.startswith("20") else "definitions"
    schema = {bag: {"n": {"type": "integer", "minimum": 1}}, "items": {"$ref": f"#/{bag}/n"}}
    assert problem(schema, [1, 2], draft) == ""
    assert "minimum" in problem(schema, [1, 0], draft)
    exclusive = {"minimum": 1, "exclusiveMinimum": True} if draft == "4" else {"exclusiveMinimum": 1}
    assert problem(exclusive, 1, draft) != ""
    assert problem({"format": "date"}, "yesterday", draft) != ""
    assert (problem({"type": "integer"}, 1.0, draft) == "") is (draft != "4")


def test_a_schema_can_name_its_draft() -> None:
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
def test_unusable_schemas_raise(schema: Any) -> None:
    with pytest.raises(DataError) as caught:
        compile_schema(schema, "2020-12", closed=True)
    assert "\n" not in str(caught.value)


def test_references_to_files_raise(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text('{"type": "integer"}')
    with pytest.raises(DataError):
        compile_schema({"$ref": other.as_uri()}, "2020-12", closed=True)


def test_equal_schemas_are_compiled_once() -> None:
    one = compile_schema({"minimum": 1, "type": "integer"}, "7", closed=True)
    assert compile_schema({"type": "integer", "minimum": 1}, "7", closed=True) is one
    assert compile_schema({"type": "integer", "minimum": 1}, "7", closed=False) is not one


# Closing


@pytest.mark.parametrize(
    ("schema", "expected"),
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
def test_closing(schema: Any, expected: Any) -> None:
    before = json.dumps(schema)
    assert close(schema) == expected
    assert json.dumps(schema) == before


def test_a_definition_shared_once_stays_open_everywhere() -> None:
    deep = {
        "$defs": {"o": OPEN, "p": {"allOf": [{"$ref": "#/$defs/q"}]}, "q": {"items": {"$ref": "#/$defs/o"}}}
    }
    schema = {**deep, "properties": {"x": {"$ref": "#/$defs/o"}, "p": {"$ref": "#/$defs/p"}}}
    assert close(schema)["$defs"]["o"] == OPEN  # type: ignore[index]


def test_closing_can_be_switched_off() -> None:
    assert problem(OPEN, {"a": 1, "b": 2}, closed=True) != ""
    assert problem(OPEN, {"a": 1, "b": 2}, closed=False) == ""


# The sandbox


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
def test_schemas_with_a_linear_bound_need_no_sandbox(schema: Any) -> None:
    assert linear.unbounded_reason(schema) == ""


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
        ({"anyOf": [{"type": "string"}] * 100}, "101 of its parts"),
        ({"items": {"allOf": [{"anyOf": [True] * 10}] * 10}}, "111 of its parts"),
        ({"allOf": [{"items": {"allOf": [True] * 9}}] * 9}, "90 of its parts"),
        ({"patternProperties": {f"^{c}": True for c in "abcdefgh"}}, "65 of its parts"),
        ({"enum": list(range(2000))}, "126 of its parts"),
    ],
)  # fmt: skip
def test_schemas_without_a_linear_bound_need_the_sandbox(schema: Any, reason: str) -> None:
    assert reason in linear.unbounded_reason(schema)


def test_exponentially_many_paths_are_weighed_once() -> None:
    """One path after the other would take longer than the test's timeout."""
    steps = {f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(60)}
    schema = {"$defs": {**steps, "a60": True}, "$ref": "#/$defs/a0"}
    assert linear.unbounded_reason(schema)


def test_the_sandbox_gives_the_same_result() -> None:
    local = compile_schema(OPEN, "2020-12", closed=True)
    sandboxed = compile_schema({**OPEN, "allOf": [{"pattern": "(?=.)"}]}, "2020-12", closed=True)
    assert not local.sandbox_reason
    assert sandboxed.sandbox_reason
    for value in ({"a": 1}, {"a": 10**30}, {}, {"a": "1"}, {"a": 1.5}, [], None, {"a": 1, "b": 2}):
        problems = [s.problem(value, draft="2020-12", cpu_seconds=1.0) for s in (local, sandboxed)]
        assert problems[0] == problems[1]


def test_decimals_reach_the_sandbox_as_numbers() -> None:
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
def test_worst_case_texts_take_linear_time_without_the_sandbox(schema: Any, value: Any) -> None:
    ready = compile_schema(schema, "2020-12", closed=True)
    assert not ready.sandbox_reason
    assert grows_linearly(lambda size: ready.check(value[:size]), len(value))
