"""`closed=true` accepts no document that the schema as given rejects, wherever the schema stands."""

import json
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_jsonschema.closing import close, only_narrows
from halo_verifier_jsonschema.schemas import compile_schema


def named(name: str, *others: str) -> dict[str, Any]:
    """Return a schema of objects that require `name` and also list `others`."""
    properties = {key: {"type": "string"} for key in (name, *others)}
    return {"type": "object", "properties": properties, "required": [name]}


MAIL, PHONE = named("email"), named("phone", "email")
CONTACT = {"oneOf": [MAIL, PHONE]}
BOTH = {"email": "a@b.c", "phone": "1"}
TREE = {"type": "object", "properties": {"kids": {"items": {"$ref": "#"}}, "to": CONTACT}}

SCHEMAS: dict[str, tuple[Any, Any, Any]] = {
    # name: (schema, a document that matches two branches as given, a right document)
    "at the root": (CONTACT, BOTH, {"email": "a@b.c"}),
    "with a common type": ({"type": "object", **CONTACT}, BOTH, {"phone": "1"}),
    "in a property": ({"properties": {"to": CONTACT}}, {"to": BOTH}, {"to": {"email": "x"}}),
    "in items": ({"items": CONTACT}, [{"email": "x"}, BOTH], [{"email": "x"}, {"phone": "1"}]),
    "in prefixItems": ({"prefixItems": [CONTACT]}, [BOTH], [{"email": "x"}]),
    "in additionalProperties": ({"additionalProperties": CONTACT}, {"x": BOTH}, {"x": {"email": "x"}}),
    "in patternProperties": ({"patternProperties": {"^x": CONTACT}}, {"x": BOTH}, {"x": {"phone": "x"}}),
    "behind a reference": (
        {"$defs": {"c": CONTACT}, "items": {"$ref": "#/$defs/c"}},
        [BOTH],
        [{"phone": "1"}],
    ),
    "with branches behind references": (
        {"$defs": {"m": MAIL, "p": PHONE}, "oneOf": [{"$ref": "#/$defs/m"}, {"$ref": "#/$defs/p"}]},
        BOTH,
        {"email": "x"},
    ),
    "with branches in definitions": (
        {"definitions": {"m": MAIL}, "items": {"oneOf": [{"$ref": "#/definitions/m"}, PHONE]}},
        [BOTH],
        [{"phone": "x"}],
    ),
    "in a oneOf": ({"oneOf": [CONTACT, {"type": "null"}]}, BOTH, None),
    "in an anyOf": ({"anyOf": [{"type": "null"}, CONTACT]}, BOTH, {"email": "x"}),
    "with an anyOf in a branch": (
        {"oneOf": [{"anyOf": [MAIL, {"type": "null"}]}, PHONE]},
        BOTH,
        {"email": "x"},
    ),
    "with nested objects": (
        {"oneOf": [{"properties": {"to": MAIL}}, {"properties": {"to": PHONE}}]},
        {"to": BOTH},
        {"to": {"email": "x"}},
    ),
    "with arrays in the branches": ({"oneOf": [{"items": MAIL}, {"items": PHONE}]}, [BOTH], [{"phone": "x"}]),
    "with three branches": ({"oneOf": [MAIL, PHONE, named("fax")]}, {"email": "x", "fax": "1"}, {"fax": "1"}),
    "in a recursive schema": (TREE, {"kids": [{"to": BOTH}]}, {"kids": [{"to": {"email": "x"}}]}),
    "in a branch of if": (
        {"items": {"properties": {"to": CONTACT}}, "if": {"minItems": 2}, "then": {"maxItems": 3}},
        [{"to": BOTH}],
        [{"to": {"email": "x"}}],
    ),
    "beside unevaluatedItems": (
        {"prefixItems": [CONTACT], "unevaluatedItems": False},
        [BOTH],
        [{"email": "x"}],
    ),
    "in the value of a dependent schema": (
        {"properties": {"a": CONTACT}, "dependentSchemas": {"a": {"required": ["a"]}}},
        {"a": BOTH},
        {"a": {"email": "x"}},
    ),
    "under not, in a resource of its own": (
        {"properties": {"x": {"$id": "https://example.com/x", "properties": {"a": True, "x": {"not": {"$ref": "#"}}}}}},
        {"x": {"x": {"b": 1}}},
        {"x": {"x": {"x": {}}}},
    ),
    "under contains": (
        {"contains": {"oneOf": [MAIL, PHONE]}, "items": {"properties": {"email": True, "phone": True}}},
        [BOTH],
        [{"email": "x"}],
    ),
}  # fmt: skip


def verdict(reference: dict[str, Any], answer: Any, **options: Any) -> tuple[Status, Stage]:
    verifier, prompt = JSONSchema(**options), Prompt("p", "t", reference=reference)
    verifier.check_prompt(prompt)
    found = verifier.check(prompt, Completion("p", 0, json.dumps(answer)))
    return found.status, found.stage


@pytest.mark.parametrize(("schema", "twice", "right"), SCHEMAS.values(), ids=SCHEMAS)
def test_a_document_that_two_branches_match_as_given_fails(schema: Any, twice: Any, right: Any) -> None:
    for closed in (True, False):
        assert verdict({"schema": schema}, twice, closed=closed) == (Status.FAIL, Stage.FLAWED)
    assert verdict({"schema": schema, "answers": [right]}, right) == (Status.PASS, Stage.CORRECT)


@pytest.mark.parametrize(
    "name", [name for name, (schema, *_) in SCHEMAS.items() if "$ref" not in json.dumps(schema)]
)
def test_arguments_of_tools(name: str) -> None:
    schema, twice, right = SCHEMAS[name]
    tools = [{"name": "f", "parameters": {"type": "object", "properties": {"value": schema}}}]
    for value, expected in ((twice, Status.FAIL), (right, Status.PASS)):
        arguments = {"value": value}
        plain = {"name": "f", "arguments": arguments}
        openai = {"type": "function", "function": {"name": "f", "arguments": json.dumps(arguments)}}
        assert [verdict({"tools": tools}, call)[0] for call in (plain, [openai])] == [expected] * 2


@pytest.mark.parametrize("body", ["request", "response"])
@pytest.mark.parametrize("version", ["3.0.3", "3.1.0"])
def test_bodies_of_openapi_descriptions(body: str, version: str) -> None:
    branches = [{"$ref": "#/components/schemas/Mail"}, {"$ref": "#/components/schemas/Phone"}]
    content = {
        "content": {
            "application/json": {"schema": {"type": "object", "properties": {"to": {"oneOf": branches}}}}
        }
    }
    api = {
        "openapi": version,
        "paths": {"/": {"post": {"operationId": "send", "requestBody": content, "responses": {"200": content}}}},
        "components": {"schemas": {"Mail": MAIL, "Phone": PHONE}},
    }  # fmt: skip
    reference = {"openapi": api, "operation": "send", "body": body}
    assert verdict(reference, {"to": BOTH})[0] is Status.FAIL
    assert verdict(reference, {"to": {"phone": "1"}})[0] is Status.PASS
    assert verdict(reference, {"to": {"phone": "1", "fax": "2"}})[0] is Status.FAIL


def test_closing_still_rejects_unlisted_properties() -> None:
    assert verdict({"schema": CONTACT}, {"phone": "1", "fax": "2"})[0] is Status.FAIL
    assert verdict({"schema": CONTACT}, {"phone": "1", "fax": "2"}, closed=False)[0] is Status.PASS


def test_an_answer_that_matches_twice_is_refused_when_the_prompts_are_read() -> None:
    with pytest.raises(Exception, match="more than one of the schemas"):
        verdict({"schema": CONTACT, "answer": BOTH}, BOTH)


def test_only_schemas_that_could_accept_more_are_checked_twice() -> None:
    assert len(compile_schema({"items": MAIL}, "2020-12", closed=True).texts) == 1
    assert len(compile_schema({"oneOf": [{"type": "null"}]}, "2020-12", closed=True).texts) == 1
    assert len(compile_schema(CONTACT, "2020-12", closed=False).texts) == 1
    assert len(compile_schema(CONTACT, "2020-12", closed=True).texts) == 2
    assert only_narrows({"anyOf": [MAIL], "allOf": [{"items": MAIL}], "dependentSchemas": {"a": MAIL}})
    for keyword in ("not", "if", "contains", "unevaluatedItems", "unevaluatedProperties"):
        assert not only_narrows({"$defs": {"a": {"items": {keyword: MAIL}}}})


def test_recursive_schemas_are_checked_twice_in_the_sandbox() -> None:
    ready = compile_schema(TREE, "2020-12", closed=True)
    assert ready.sandbox_reason
    assert [json.loads(text) for text in ready.texts] == [close(TREE), TREE]
