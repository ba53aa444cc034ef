"""Extraction of the schema of a request or response body from an OpenAPI 3.0 or 3.1 description.

The result is one self-contained JSON Schema (2020-12): the targets of references within the description become
definitions, and the dialect of 3.0 (`nullable`, exclusive bounds as flags, `readOnly` and `required`, formats
of numbers) is rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from halo_verifier_jsonschema.walk import Schema, map_subschemas, resolve

Body = Literal["request", "response"]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_FORMATS: Mapping[str, dict[str, Any]] = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
    "byte": {"pattern": _BASE64},
}
"""Formats that only OpenAPI defines, as schemas."""
_KNOWN_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri",
     "iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference",
     "uri-template", "uuid"}
)  # fmt: skip


class NoBodyError(Exception):
    """The description is unusable or lacks the operation, body, status or media type, as the message states."""


def body_schema(
    document: Mapping[str, Any],
    operation: str,
    *,
    body: Body = "request",
    status: str = "",
    media_type: str = "",
) -> Schema:
    """Return the schema of one body; raise `NoBodyError` if the description does not have it.

    `operation` is an `operationId`, or a method and a path (`post /orders`). `status` selects a response by its
    code, its range (`2XX`) or as `default`, in this order; it is optional if there is only one response.
    `media_type` is optional if there is only one for JSON; a named type also matches `application/*` and `*/*`.
    """
    version = str(document.get("openapi", ""))
    if not version.startswith(("3.0.", "3.1.")):
        raise NoBodyError(f"an OpenAPI description must have version 3.0 or 3.1, not {version!r}")
    dialect = document.get("jsonSchemaDialect", _DIALECT)
    if dialect not in (_DIALECT, "https://spec.openapis.org/oas/3.1/dialect/base"):
        raise NoBodyError(f"schema dialect {dialect!r} is not supported")
    found = _deref(document, _operation(document, operation))
    if body == "request":
        container = _deref(document, found.get("requestBody"))
        if not container:
            raise NoBodyError(f"{operation!r} has no request body")
    else:
        container = _deref(document, _response(found.get("responses"), status))
    schema = _media(container.get("content"), media_type).get("schema", True)
    return _Bundle(document, body, v3_0=version.startswith("3.0.")).root(schema)


def _operation(document: Mapping[str, Any], wanted: str) -> Any:
    method, _, path = wanted.partition(" ")
    names = []
    for route, item in _mapping(document.get("paths")).items():
        for verb, operation in _deref(document, item).items():
            if verb in METHODS and isinstance(operation, Mapping):
                name = operation.get("operationId", f"{verb} {route}")
                if wanted == name or (method.lower(), path) == (verb, route):
                    return operation
                names.append(name)
    raise NoBodyError(
        f"the description has no operation {wanted!r}; it has: {', '.join(map(str, names[:20]))}"
    )


def _response(responses: Any, status: str) -> Any:
    found = _mapping(responses)
    for key in (status, f"{status[:1]}XX", f"{status[:1]}xx", "default"):
        if status and key in found:
            return found[key]
    if not status and len(found) == 1:
        return next(iter(found.values()))
    raise NoBodyError(
        f"the operation has no response for status {status!r}; it has: {', '.join(map(str, found))}"
    )


def _media(content: Any, wanted: str) -> Mapping[str, Any]:
    found = {str(name).partition(";")[0].strip().lower(): value for name, value in _mapping(content).items()}
    kind = wanted.lower()
    for key in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if wanted and key in found:
            return _mapping(found[key])
    json_like = [name for name in found if name.endswith(("/json", "+json", "*"))]
    if not wanted and len(json_like) == 1:
        return _mapping(found[json_like[0]])
    raise NoBodyError(f"the content has no media type {wanted!r}; it has: {', '.join(found)}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _deref(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Follow the `$ref` of a path item, a response, a request body or a schema."""
    for _ in range(20):
        if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
            break
        try:
            value = resolve(document, value["$ref"])
        except LookupError as error:
            raise NoBodyError(str(error)) from None
    return _mapping(value)


class _Bundle:
    """Rewriter of one description's schemas; collects the definitions that they refer to."""

    def __init__(self, document: Mapping[str, Any], body: Body, *, v3_0: bool) -> None:
        self._document = document
        self._hidden = "readOnly" if body == "request" else "writeOnly"
        self._v3_0 = v3_0
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Schema] = {}

    def root(self, schema: Any) -> Schema:
        """Return `schema` with all definitions that it needs."""
        result = self._schema(schema)
        if not self._definitions:
            return result
        assert isinstance(result, dict)
        return {**result, "$defs": self._definitions}

    def _schema(self, schema: Any) -> Schema:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise NoBodyError(f"{type(schema).__name__} instead of a schema")
        if "$ref" in schema and self._v3_0:
            schema = {"$ref": schema["$ref"]}
        result = map_subschemas(schema, lambda _, sub: self._schema(sub))
        assert isinstance(result, dict)
        if "$ref" in result:
            result["$ref"] = self._reference(str(result["$ref"]))
        self._hide_properties(schema, result)
        self._apply_format(result)
        if self._v3_0:
            _modernise(result)
        return result

    def _reference(self, reference: str) -> str:
        if reference not in self._names:
            name = f"{len(self._names)}-{reference.rpartition('/')[2]}"
            self._names[reference] = name = "".join(c if c.isalnum() else "-" for c in name)
            self._definitions[name] = True
            try:
                self._definitions[name] = self._schema(resolve(self._document, reference))
            except LookupError as error:
                raise NoBodyError(str(error)) from None
        return f"#/$defs/{self._names[reference]}"

    def _hide_properties(self, schema: dict[str, Any], result: dict[str, Any]) -> None:
        """Forbid the properties that are not part of this body (request or response)."""
        properties = _mapping(schema.get("properties"))
        hidden = {name for name, sub in properties.items() if _deref(self._document, sub).get(self._hidden)}
        if hidden:
            result["properties"] = {
                name: False if name in hidden else sub for name, sub in result["properties"].items()
            }
            result["required"] = [name for name in schema.get("required", ()) if name not in hidden]

    def _apply_format(self, result: dict[str, Any]) -> None:
        """Enforce OpenAPI's formats, keep JSON Schema's, and drop hints such as `password`."""
        name = result.get("format")
        if isinstance(name, str) and name not in _KNOWN_FORMATS:
            del result["format"]
            if name in _FORMATS:
                result["allOf"] = [*result.get("allOf", ()), _FORMATS[name]]


def _modernise(result: dict[str, Any]) -> None:
    """Rewrite the keywords that OpenAPI 3.0 defines differently from JSON Schema 2020-12, in place."""
    if result.pop("nullable", False) is True and isinstance(result.get("type"), str):
        result["type"] = [result["type"], "null"]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(result.get(flag), bool) and result.pop(flag) and bound in result:
            result[flag] = result.pop(bound)
