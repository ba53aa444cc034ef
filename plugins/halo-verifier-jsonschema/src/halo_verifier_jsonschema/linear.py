"""Which schemas are sure to be checked in little time, whatever the model wrote.

The texts that a schema judges are the model's, so a schema is asked: how many of its parts can come to judge
one and the same value? If that is a small number, known from the schema alone, and no part does more than read
its value once, validation takes time linear in the text and may happen in this process. Where it cannot be told
(recursion, what is left unevaluated, patterns beyond a finite automaton of a modest size) the schema is checked
in a process that can be killed.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from halo_verifier_jsonschema.walk import IN_PLACE, Schema, resolve, subschemas

PATTERN_BYTES = 64 << 10
"""Largest compiled pattern. At this size 64 KiB of the worst text take about 0.3 seconds."""
LIMIT = 64
"""Parts of the schema that may judge one value, weighed."""
_PATTERN_WEIGHT = 8
_ENUM_SHARE = 16
"""Values of an `enum` that weigh as much as another part."""
_UNBOUNDED = frozenset(
    {"$dynamicRef", "$recursiveRef", "contentEncoding", "contentMediaType", "contentSchema", "unevaluatedItems",
     "unevaluatedProperties"}
)  # fmt: skip
_QUICK_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer",
     "relative-json-pointer", "time", "uri", "uri-reference", "uuid"}
)  # fmt: skip
_ASIDE = IN_PLACE | {"$defs", "definitions", "dependencies"}
"""Keywords that judge no value inside of a schema's own."""
_ENGINE = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES)


class _UnboundedError(Exception):
    pass


def obstacle(schema: Schema) -> str:
    """Return why `schema` is not known to be checked in linear time; empty when it is."""
    try:
        weight = _Weighing(schema).heaviest(schema)
    except _UnboundedError as error:
        return str(error)
    return "" if weight <= LIMIT else f"up to {weight} parts of it judge one value"


class _Weighing:
    """The most parts of one schema that meet at any one value."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._known: dict[int, int] = {}

    def heaviest(self, schema: Schema, above: tuple[int, ...] = ()) -> int:
        """Weigh what judges a value that `schema` judges, and each value inside of it; return the most.

        `above` are the schemas on the way here, by identity: to meet one again is recursion.
        """
        if id(schema) not in self._known:
            here = self._in_place(schema, above)
            path = (*above, *(id(part) for part, _ in here))
            inside = sum(self._inside(part, path) for part, _ in here)
            self._known[id(schema)] = max(sum(weight for _, weight in here), inside)
        return self._known[id(schema)]

    def _inside(self, schema: Schema, path: tuple[int, ...]) -> int:
        """Weigh the most that `schema` alone lays on any one value inside of its own."""
        one_of, every = 0, 0
        for keyword, _, sub in subschemas(schema):
            if keyword in _ASIDE:
                continue
            weight = self.heaviest(sub, path)
            if keyword in {"properties", "prefixItems"}:  # each member has one name, each element one place
                one_of = max(one_of, weight)
            else:
                every += weight
        return one_of + every

    def _in_place(self, schema: Schema, above: tuple[int, ...]) -> list[tuple[Schema, int]]:
        """Return `schema` with all that judges the same value, each with its weight."""
        if isinstance(schema, bool):
            return [(schema, 1)]
        if id(schema) in above:
            raise _UnboundedError("it refers to itself")
        found: list[tuple[Schema, int]] = [(schema, _weight(schema, root=schema is self._root))]
        above = (*above, id(schema))
        for keyword, _, sub in subschemas(schema):
            if keyword in IN_PLACE or keyword == "dependencies":
                found += self._in_place(sub, above)
        if "$ref" in schema:
            found += self._in_place(self._target(schema["$ref"]), above)
        if len(found) > 50 * LIMIT:
            raise _UnboundedError("too many parts of it judge one value")
        return found

    def _target(self, reference: str) -> Schema:
        try:
            target = resolve(self._root, reference)
        except LookupError as error:
            raise _UnboundedError(str(error)) from None
        if not isinstance(target, dict | bool):
            raise _UnboundedError(f"{reference!r} is not a schema")
        return target


def _weight(schema: dict[str, Any], *, root: bool) -> int:
    """Return what one part costs at one value, and refuse what has no bound."""
    for keyword in schema.keys() & _UNBOUNDED:
        raise _UnboundedError(f"it uses {keyword}")
    if not root and schema.keys() & {"$id", "id"} and isinstance(schema.get("$id", schema.get("id")), str):
        raise _UnboundedError("it holds a schema with an address of its own")
    if schema.get("format", "date") not in _QUICK_FORMATS:
        raise _UnboundedError(f"it uses format {schema['format']!r}")
    patterns = [schema["pattern"]] if "pattern" in schema else []
    patterns += schema.get("patternProperties", ())
    for pattern in patterns:
        _check_pattern(pattern)
    return 1 + _PATTERN_WEIGHT * len(patterns) + len(schema.get("enum", ())) // _ENUM_SHARE


def _check_pattern(pattern: str) -> None:
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=_ENGINE, offline=True)
    except (jsonschema_rs.ValidationError, ValueError):
        raise _UnboundedError(f"its pattern {pattern[:60]!r} needs backtracking, or is large") from None
