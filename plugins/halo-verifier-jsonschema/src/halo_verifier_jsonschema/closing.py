"""Closing schemas: an object that lists its properties takes no others.

JSON Schema leaves objects open unless they say otherwise, and authors seldom say it, so a key that no API knows
would pass. Closing adds `additionalProperties: false` where that cannot change what else is meant:

- an object that says itself what more it takes is left as it is;
- a schema that shares its object with others (under `allOf`, `if`, beside a `$ref`, ...) stays open, since what
  one of them does not list another may, unless it lists all that the others name; what is inside it stays open;
- branches of an `anyOf` or `oneOf` that stands alone are closed each by itself;
- a definition is closed when every reference to it stands alone.
"""

from __future__ import annotations

from halo_verifier_jsonschema.walk import IN_PLACE, Schema, rebuilt, subschemas

_REFERENCES = frozenset({"$ref", "$dynamicRef", "$recursiveRef"})
_MEMBERS = frozenset({"properties", "patternProperties", "additionalProperties", "propertyNames"})
_SAYS_MORE = frozenset({"patternProperties", "additionalProperties", "unevaluatedProperties"})
_SHARES_ITEMS = frozenset({"patternProperties", "contains"})
_BAGS = ("$defs", "definitions")


def close(schema: Schema) -> Schema:
    """Return `schema` closed; unchanged when it refers to anything but itself as a whole and its definitions."""
    shared: frozenset[str] = frozenset()
    while True:
        closing = _Closing(shared)
        made = closing.root(schema)
        if not all(map(_is_plain, closing.references)):
            return schema
        if closing.shared <= shared:
            return made
        shared |= closing.shared


class _Closing:
    """One attempt, under the assumption that all definitions but `assumed` belong to their objects alone."""

    def __init__(self, assumed: frozenset[str]) -> None:
        self._assumed = assumed
        self.references: set[str] = set()
        self.shared: set[str] = set()
        """References met that stand beside others."""

    def root(self, schema: Schema) -> Schema:
        made = self._visit(schema, "#" not in self._assumed)
        if isinstance(schema, dict) and isinstance(made, dict):
            for bag in _BAGS:
                if isinstance(schema.get(bag), dict):
                    made[bag] = {
                        name: self._visit(sub, f"#/{bag}/{name}" not in self._assumed)
                        for name, sub in schema[bag].items()
                    }
        return made

    def _visit(self, schema: Schema, alone: bool) -> Schema:
        if not isinstance(schema, dict):
            return schema
        views = {keyword for keyword, _, sub in subschemas(schema) if _views(keyword) and not _silent(sub)}
        views |= schema.keys() & _REFERENCES
        listing = bool(schema.keys() & _MEMBERS)
        listed = frozenset(schema.get("properties", ()))
        strangers = any(_views(k) and not _silent(sub, listed) for k, _, sub in subschemas(schema))
        for keyword in schema.keys() & _REFERENCES:
            self.references.add(str(schema[keyword]))
            if not alone or listing or views != {keyword}:
                self.shared.add(str(schema[keyword]))

        def change(keyword: str, sub: Schema) -> Schema:
            if keyword in _BAGS:
                return sub
            if keyword in {"anyOf", "oneOf"}:
                return self._visit(sub, alone and not listing and views == {keyword})
            if _views(keyword):
                return self._visit(sub, False)
            return self._visit(sub, alone and not views and not schema.keys() & _SHARES_ITEMS)

        made = rebuilt(schema, change)
        assert isinstance(made, dict)
        strangers = strangers or bool(schema.keys() & _REFERENCES)
        if alone and not strangers and "properties" in made and not made.keys() & _SAYS_MORE:
            made["additionalProperties"] = False
        return made


def _views(keyword: str) -> bool:
    return keyword in IN_PLACE or keyword == "dependencies"


def _silent(schema: Schema, listed: frozenset[str] = frozenset()) -> bool:
    """Whether a schema names no property but those `listed` (`required` alone does not name any)."""
    if isinstance(schema, bool):
        return True
    return (
        not schema.keys() & (_REFERENCES | _MEMBERS - {"properties"} | {"unevaluatedProperties"})
        and listed.issuperset(schema.get("properties", ()))
        and all(_silent(sub, listed) for keyword, _, sub in subschemas(schema) if _views(keyword))
    )


def _is_plain(reference: str) -> bool:
    bag, _, name = reference.removeprefix("#/").partition("/")
    return reference == "#" or (
        reference.startswith("#/") and bag in _BAGS and bool(name) and not set(name) & set("/~%")
    )
