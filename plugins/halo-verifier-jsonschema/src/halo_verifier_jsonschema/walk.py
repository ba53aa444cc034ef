"""Traversal of JSON Schemas: subschemas, their replacement, and local references."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

Schema = dict[str, Any] | bool
"""A JSON Schema: `True` accepts every value, `False` rejects every value."""

IN_PLACE = frozenset({"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"})
"""Keywords whose subschemas apply to the same value as the schema that contains them."""
_SINGLE = frozenset(
    {"additionalItems", "additionalProperties", "contains", "contentSchema", "else", "if", "items", "not",
     "propertyNames", "then", "unevaluatedItems", "unevaluatedProperties"}
)  # fmt: skip
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_MAP = frozenset(
    {"$defs", "definitions", "dependencies", "dependentSchemas", "patternProperties", "properties"}
)


def subschemas(schema: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Yield (keyword, name or index under it, subschema) for each direct subschema of `schema`."""
    if isinstance(schema, bool):
        return
    for keyword, value in schema.items():
        if keyword in _SINGLE and isinstance(value, dict | bool):
            yield keyword, "", value
        elif keyword in _LIST and isinstance(value, list):
            yield from ((keyword, str(i), sub) for i, sub in enumerate(value) if isinstance(sub, dict | bool))
        elif keyword in _MAP and isinstance(value, dict):
            yield from ((keyword, name, sub) for name, sub in value.items() if isinstance(sub, dict | bool))


def map_subschemas(schema: Schema, change: Callable[[str, Schema], Schema]) -> Schema:
    """Return a copy of `schema` with each direct subschema replaced by `change(keyword, subschema)`."""
    if isinstance(schema, bool):
        return schema
    result: dict[str, Any] = dict(schema)
    for keyword, value in schema.items():
        if keyword in _SINGLE and isinstance(value, dict | bool):
            result[keyword] = change(keyword, value)
        elif keyword in _LIST and isinstance(value, list):
            result[keyword] = [change(keyword, s) if isinstance(s, dict | bool) else s for s in value]
        elif keyword in _MAP and isinstance(value, dict):
            result[keyword] = {
                k: change(keyword, s) if isinstance(s, dict | bool) else s for k, s in value.items()
            }
    return result


def resolve(root: Any, pointer: str) -> Any:
    """Return the target of the local reference `pointer` (`#`, `#/a/b`) in `root`.

    Raises `LookupError` if the reference is not local or has no target.
    """
    if pointer != "#" and not pointer.startswith("#/"):
        raise LookupError(f"{pointer!r} is not a reference within the document")
    found = root
    for part in pointer.split("/")[1:]:
        key = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
            found = found[int(key)]
        elif isinstance(found, dict) and key in found:
            found = found[key]
        else:
            raise LookupError(f"{pointer!r} has no target")
    return found
