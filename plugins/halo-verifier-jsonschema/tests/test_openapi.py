"""Bodies of requests and responses under an OpenAPI description."""

import json
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Stage
from halo_verifier_jsonschema.openapi import NoBodyError, body_schema
from halo_verifier_jsonschema.schemas import compile_schema

NODE = {
    "type": "object",
    "properties": {"next": {"$ref": "#/components/schemas/Node"}, "v": {"type": "integer"}},
}
PET = {
    "type": "object",
    "required": ["id", "name", "secret"],
    "properties": {
        "id": {"type": "integer", "format": "int32", "readOnly": True},
        "name": {"type": "string", "nullable": True},
        "secret": {"$ref": "#/components/schemas/Secret"},
        "weight": {"type": "number", "format": "float", "minimum": 0, "exclusiveMinimum": True},
        "photo": {"type": "string", "format": "byte"},
        "born": {"type": "string", "format": "date"},
        "tag": {"$ref": "#/components/schemas/Tag", "nullable": True, "minLength": 9},
    },
}


def json_body(schema: Any, kind: str = "application/json") -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}}


def document(version: str = "3.0.3") -> dict[str, Any]:
    pet = {"$ref": "#/components/schemas/Pet"}
    return {
        "openapi": version,
        "paths": {
            "/pets/{id}": {
                "parameters": [],
                "put": {
                    "operationId": "putPet",
                    "requestBody": {"$ref": "#/components/requestBodies/Pet"},
                    "responses": {
                        "200": json_body(pet),
                        "4XX": {"$ref": "#/components/responses/Problem"},
                        "default": json_body({"type": "string"}, "application/problem+json; charset=utf-8"),
                        "204": {"description": "nothing"},
                    },
                },
                "get": {"responses": {"200": json_body({"type": "array", "items": pet})}},
            },
            "/nodes": {"post": {"requestBody": json_body({"$ref": "#/components/schemas/Node"})}},
            "/shared": {"$ref": "#/paths/~1nodes"},
        },
        "components": {
            "schemas": {
                "Pet": PET,
                "Secret": {"type": "string", "writeOnly": True, "format": "password"},
                "Tag": {"type": "string"},
                "Node": NODE,
            },
            "requestBodies": {"Pet": json_body(pet)},
            "responses": {"Problem": json_body({"type": "object", "properties": {"why": {"type": "string"}}})},
        },
    }  # fmt: skip


def problem(value: Any, operation: str = "putPet", version: str = "3.0.3", **where: Any) -> str:
    schema = body_schema(document(version), operation, **where)
    return compile_schema(schema, "2020-12", closed=True).problem(value, draft="2020-12", cpu_seconds=1.0)


REQUEST = {"name": "Rex", "secret": "s"}
RESPONSE = {"id": 1, "name": "Rex"}


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"name": None}, True),
        ({"name": 1}, False),
        ({"id": 1}, False),
        ({"secret": None}, False),
        ({"weight": 0.5}, True),
        ({"weight": 0}, False),
        ({"photo": "aGk="}, True),
        ({"photo": "aGk"}, False),
        ({"born": "2024-13-01"}, False),
        ({"tag": "x"}, True),
        ({"tag": None}, False),
        ({"other": 1}, False),
    ],
)
def test_request_body_of_version_3_0(change: dict[str, Any], good: bool) -> None:
    assert (problem({**REQUEST, **change}) == "") is good


def test_required_properties_depend_on_request_or_response() -> None:
    assert problem({"name": "Rex"}) != ""
    assert problem(RESPONSE, body="response", status="200") == ""
    assert problem({"name": "Rex"}, body="response", status="200") != ""
    assert problem({**RESPONSE, "secret": "s"}, body="response", status="200") != ""
    assert problem({**RESPONSE, "id": 2**31}, body="response", status="200") != ""


def test_a_response_is_selected_by_status_and_media_type() -> None:
    assert problem({"why": "x"}, body="response", status="404") == ""
    assert problem("oops", body="response", status="500") == ""
    assert problem("oops", body="response", status="500", media_type="application/problem+json") == ""
    assert problem([RESPONSE], "get /pets/{id}", body="response") == ""
    assert problem([RESPONSE], "GET /pets/{id}", body="response", status="200") == ""


def test_recursive_schemas() -> None:
    assert problem({"next": {"next": {"v": 1}}}, "post /nodes") == ""
    assert problem({"next": {"next": {"v": "1"}}}, "post /nodes") != ""
    assert problem({"next": {"next": {"w": 1}}}, "post /nodes") != ""
    assert problem({"v": 1}, "post /shared") == ""


def test_version_3_1_uses_json_schema() -> None:
    changed = document("3.1.0")
    changed["components"]["schemas"]["Tag"] = {"type": ["string", "null"], "const": None}
    pet = changed["components"]["schemas"]["Pet"]
    pet = {**pet, "properties": {**pet["properties"], "weight": {"exclusiveMinimum": 0}}}
    changed["components"]["schemas"]["Pet"] = pet
    schema = body_schema(changed, "putPet")
    ready = compile_schema(schema, "2020-12", closed=True)
    assert ready.problem({**REQUEST, "tag": None}, draft="2020-12", cpu_seconds=1.0) == ""
    assert ready.problem({**REQUEST, "name": None}, draft="2020-12", cpu_seconds=1.0) != ""


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        ({"openapi": "2.0"}, {}, "version"),
        ({}, {"operation": "postPet"}, "no operation 'postPet'; it has: putPet"),
        ({}, {"operation": "get /pets/{id}"}, "has no request body"),
        ({}, {"body": "response"}, "no response for status ''"),
        ({}, {"body": "response", "status": "204"}, "no media type"),
        ({}, {"media_type": "text/plain"}, "no media type 'text/plain'"),
        ({"components": {}}, {}, "has no target"),
        ({"jsonSchemaDialect": "https://example.com"}, {}, "dialect"),
    ],
)
def test_undescribed_bodies_raise_with_a_reason(
    change: dict[str, Any], where: dict[str, Any], reason: str
) -> None:
    with pytest.raises(NoBodyError) as caught:
        body_schema({**document(), **change}, **{"operation": "putPet", **where})
    assert reason in str(caught.value)


def test_verdicts(check: Any) -> None:
    reference = {"openapi": document(), "operation": "putPet", "answer": REQUEST}
    assert check(json.dumps(REQUEST), reference).stage is Stage.CORRECT
    assert check(json.dumps({**REQUEST, "name": "Max"}), reference).stage is Stage.WRONG
    assert check(json.dumps({"name": "Rex"}), reference).stage is Stage.FLAWED
    with pytest.raises(DataError, match="no operation"):
        check("{}", {**reference, "operation": "x"})
    with pytest.raises(DataError, match="not valid under its own schema"):
        check("{}", {**reference, "answer": {"name": 1}})
    with pytest.raises(DataError, match="request or response"):
        check("{}", {**reference, "body": "header"})
