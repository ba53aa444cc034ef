"""The schema of a request or response body, out of an OpenAPI 3.0 or 3.1 description.

What comes out is one JSON Schema (2020-12) that stands on its own: references within the description are
gathered as definitions, and 3.0's own dialect (`nullable`, exclusive bounds as flags, `readOnly` and
`required`, formats of numbers) is rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from halo_verifier_jsonschema.walk import Schema, rebuilt, resolve

Body = Literal["request", "response"]

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_BASE64 = "^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_FORMATS: Mapping[str, dict[str, Any]] = {
    "int32": {"minimum": -(2**31), "maximum": 2**31 - 1},
    "int64": {"minimum": -(2**63), "maximum": 2**63 - 1},
    "byte": {"pattern": _BASE64},
}
"""OpenAPI's own formats as schemas."""
_KNOWN_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri",
     "iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference",
     "uri-template", "uuid"}
)  # fmt: skip


class NoBodyError(Exception):
    """The description has no such operation, body, status or media type, or is not one. Says which."""


def body_schema(
    document: Mapping[str, Any],
    operation: str,
    *,
    body: Body = "request",
    status: str = "",
    media_type: str = "",
) -> Schema:
    """Return the schema of one body.

    `operation` is an `operationId`, or a method and a path (`post /orders`). `status` picks a response by its
    code, by its range (`2XX`) or as `default`, in this order; it may be left out when there is only one.
    `media_type` likewise; `application/*` and `*/*` are used when it is not named. Raises `NoBodyError`.
    """
    version = str(document.get("openapi", ""))
    if not version.startswith(("3.0.", "3.1.")):
        raise NoBodyError(f"an OpenAPI description of version 3.0 or 3.1 is needed, not {version!r}")
    dialect = document.get("jsonSchemaDialect", _DIALECT)
    if dialect not in (_DIALECT, "https://spec.openapis.org/oas/3.1/dialect/base"):
        raise NoBodyError(f"schemas in the dialect {dialect!r} are not known")
    found = _deref(document, _operation(document, operation))
    if body == "request":
        holder = _deref(document, found.get("requestBody"))
        if not holder:
            raise NoBodyError(f"{operation!r} takes no request body")
    else:
        holder = _deref(document, _response(found.get("responses"), status))
    schema = _media(holder.get("content"), media_type).get("schema", True)
    return _Bundle(document, body, old=version.startswith("3.0.")).root(schema)


def _operation(document: Mapping[str, Any], wanted: str) -> Any:
    method, _, path = wanted.partition(" ")
    known = []
    for place, item in _mapping(document.get("paths")).items():
        for verb, operation in _deref(document, item).items():
            if verb in METHODS and isinstance(operation, Mapping):
                name = operation.get("operationId", f"{verb} {place}")
                if wanted == name or (method.lower(), path) == (verb, place):
                    return operation
                known.append(name)
    raise NoBodyError(f"no operation {wanted!r}; there are: {', '.join(map(str, known[:20]))}")


def _response(responses: Any, status: str) -> Any:
    found = _mapping(responses)
    for key in (status, f"{status[:1]}XX", f"{status[:1]}xx", "default"):
        if status and key in found:
            return found[key]
    if not status and len(found) == 1:
        return next(iter(found.values()))
    raise NoBodyError(f"no response for status {status!r}; there are: {', '.join(map(str, found))}")


def _media(content: Any, wanted: str) -> Mapping[str, Any]:
    found = {str(name).partition(";")[0].strip().lower(): value for name, value in _mapping(content).items()}
    kind = wanted.lower()
    for key in (kind, f"{kind.partition('/')[0]}/*", "*/*"):
        if wanted and key in found:
            return _mapping(found[key])
    json_like = [name for name in found if name.endswith(("/json", "+json", "*"))]
    if not wanted and len(json_like) == 1:
        return _mapping(found[json_like[0]])
    raise NoBodyError(f"no body of media type {wanted!r}; there are: {', '.join(found)}")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _deref(document: Mapping[str, Any], value: Any) -> Mapping[str, Any]:
    """Follow `$ref` from a thing that is not a schema (a path item, a response, a request body)."""
    for _ in range(20):
        if not isinstance(value, Mapping) or not isinstance(value.get("$ref"), str):
            break
        try:
            value = resolve(document, value["$ref"])
        except LookupError as error:
            raise NoBodyError(str(error)) from None
    return _mapping(value)


class _Bundle:
    """Rewrites schemas of one description, and gathers those that they refer to."""

    def __init__(self, document: Mapping[str, Any], body: Body, *, old: bool) -> None:
        self._document = document
        self._hidden = "readOnly" if body == "request" else "writeOnly"
        self._old = old
        self._names: dict[str, str] = {}
        self._definitions: dict[str, Schema] = {}

    def root(self, schema: Any) -> Schema:
        """Return `schema` with all that it needs."""
        made = self._schema(schema)
        if not self._definitions:
            return made
        assert isinstance(made, dict)
        return {**made, "$defs": self._definitions}

    def _schema(self, schema: Any) -> Schema:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise NoBodyError(f"{type(schema).__name__} where a schema belongs")
        if "$ref" in schema and self._old:
            schema = {"$ref": schema["$ref"]}
        made = rebuilt(schema, lambda _, sub: self._schema(sub))
        assert isinstance(made, dict)
        if "$ref" in made:
            made["$ref"] = self._reference(str(made["$ref"]))
        self._directions(schema, made)
        self._format(made)
        if self._old:
            _modernise(made)
        return made

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

    def _directions(self, schema: dict[str, Any], made: dict[str, Any]) -> None:
        """Take properties that do not travel in this direction out of the object."""
        properties = _mapping(schema.get("properties"))
        hidden = {name for name, sub in properties.items() if _deref(self._document, sub).get(self._hidden)}
        if hidden:
            made["properties"] = {
                name: False if name in hidden else sub for name, sub in made["properties"].items()
            }
            made["required"] = [name for name in schema.get("required", ()) if name not in hidden]

    def _format(self, made: dict[str, Any]) -> None:
        """Enforce OpenAPI's formats, keep those of JSON Schema, and drop hints such as `password`."""
        name = made.get("format")
        if isinstance(name, str) and name not in _KNOWN_FORMATS:
            del made["format"]
            if name in _FORMATS:
                made["allOf"] = [*made.get("allOf", ()), _FORMATS[name]]


def _modernise(made: dict[str, Any]) -> None:
    """Rewrite what OpenAPI 3.0 says otherwise than JSON Schema 2020-12, in place."""
    if made.pop("nullable", False) is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(flag), bool) and made.pop(flag) and bound in made:
            made[flag] = made.pop(bound)
