"""Closing of schemas: an object that lists its properties accepts no others.

JSON Schema leaves objects open by default, and authors seldom close them, so a key that the API does not know
would pass. Closing adds `additionalProperties: false` where that changes nothing else in the schema's meaning:

- an object that specifies its additional properties stays unchanged;
- a schema that applies to the same object as others (under `allOf`, `if`, beside a `$ref`, ...) stays open,
  because one of them may list properties that another does not, unless it lists all properties that the others
  name; the schemas inside it stay open;
- the branches of an `anyOf` or `oneOf` that nothing else accompanies are closed one by one;
- a definition is closed if nothing else accompanies any reference to it.

Under `oneOf`, a closed branch no longer matches a value that the open branch matches, so the closed schema can accept
a value that the schema as given rejects. A value must therefore be valid under both, see `only_narrows`.
"""

from __future__ import annotations

from halo_verifier_jsonschema.walk import IN_PLACE, Schema, map_subschemas, subschemas

_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_MEMBERS = frozenset({"properties", "patternProperties", "additionalProperties", "propertyNames"})
_NAMES_MORE = frozenset({"patternProperties", "additionalProperties", "unevaluatedProperties"})
_SHARES_ITEMS = frozenset({"patternProperties", "contains"})
_DEFINITIONS = ("$defs", "definitions")
_CAN_WIDEN = frozenset(
    {
        "contains",
        "if",
        "not",
        "oneOf",
        "unevaluatedItems",
        "unevaluatedProperties",
        "$dynamicRef",
        "$recursiveRef",
    }
)
"""Keywords that can accept more when one of their subschemas accepts less."""


def close(schema: Schema) -> Schema:
    """Return `schema` closed; unchanged if it refers to anything but its root and its definitions."""
    shared: frozenset[str] = frozenset()
    while True:
        closing = _Closing(shared)
        closed = closing.root(schema)
        if not all(map(_is_plain, closing.references)):
            return schema
        if closing.shared <= shared:
            return closed
        shared |= closing.shared


def only_narrows(schema: Schema) -> bool:
    """Return whether the closed `schema` is certain to accept no value that `schema` as given rejects.

    Every other keyword accepts less, or the same, when its subschemas accept less.
    """
    if isinstance(schema, bool):
        return True
    return not schema.keys() & _CAN_WIDEN and all(only_narrows(sub) for _, _, sub in subschemas(schema))


class _Closing:
    """One attempt, which assumes that only the definitions `assumed` share their objects with other schemas."""

    def __init__(self, assumed: frozenset[str]) -> None:
        self._assumed = assumed
        self.references: set[str] = set()
        self.shared: set[str] = set()
        """References that other schemas accompany."""

    def root(self, schema: Schema) -> Schema:
        closed = self._visit(schema, "#" not in self._assumed)
        if isinstance(schema, dict) and isinstance(closed, dict):
            for bag in _DEFINITIONS:
                if isinstance(schema.get(bag), dict):
                    closed[bag] = {
                        name: self._visit(sub, f"#/{bag}/{name}" not in self._assumed)
                        for name, sub in schema[bag].items()
                    }
        return closed

    def _visit(self, schema: Schema, alone: bool) -> Schema:
        """Return `schema` closed; `alone`: no other schema applies to the same value."""
        if not isinstance(schema, dict):
            return schema
        others = {k for k, _, sub in subschemas(schema) if _is_in_place(k) and not _names_only(sub)}
        others |= schema.keys() & _REFERENCES
        listing = bool(schema.keys() & _MEMBERS)
        listed = frozenset(schema.get("properties", ()))
        unlisted = any(_is_in_place(k) and not _names_only(sub, listed) for k, _, sub in subschemas(schema))
        for keyword in schema.keys() & _REFERENCES:
            self.references.add(str(schema[keyword]))
            if not alone or listing or others != {keyword}:
                self.shared.add(str(schema[keyword]))

        def change(keyword: str, sub: Schema) -> Schema:
            if keyword in _DEFINITIONS:
                return sub
            if keyword in {"anyOf", "oneOf"}:
                return self._visit(sub, alone and not listing and others == {keyword})
            if _is_in_place(keyword):
                return self._visit(sub, False)
            return self._visit(sub, alone and not others and not schema.keys() & _SHARES_ITEMS)

        closed = map_subschemas(schema, change)
        assert isinstance(closed, dict)
        unlisted = unlisted or bool(schema.keys() & _REFERENCES)
        if alone and not unlisted and "properties" in closed and not closed.keys() & _NAMES_MORE:
            closed["additionalProperties"] = False
        return closed


def _is_in_place(keyword: str) -> bool:
    return keyword in IN_PLACE or keyword == "dependencies"


def _names_only(schema: Schema, listed: frozenset[str] = frozenset()) -> bool:
    """Check that a schema names no property but those `listed` (`required` alone does not name any)."""
    if isinstance(schema, bool):
        return True
    return (
        not schema.keys() & (_REFERENCES | _MEMBERS - {"properties"} | {"unevaluatedProperties"})
        and listed.issuperset(schema.get("properties", ()))
        and all(_names_only(sub, listed) for keyword, _, sub in subschemas(schema) if _is_in_place(keyword))
    )


def _is_plain(reference: str) -> bool:
    bag, _, name = reference.removeprefix("#/").partition("/")
    return reference == "#" or (
        reference.startswith("#/") and bag in _DEFINITIONS and bool(name) and not set(name) & set("/~%")
    )
