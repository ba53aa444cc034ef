"""Proof that validation under a schema takes linear time, whatever the model wrote.

The validated texts come from the model, so the bound must follow from the schema alone: how many of its parts
can apply to the same value? If that number is small and each part reads its value only once, validation takes
time linear in the text and may run in this process. Without such a bound (recursion, unevaluated items or
properties, patterns beyond a finite automaton of modest size) validation runs in a process that can be killed.
"""

from __future__ import annotations

from typing import Any

import jsonschema_rs

from halo_verifier_jsonschema.walk import IN_PLACE, Schema, resolve, subschemas

PATTERN_BYTES = 64 << 10
"""Size limit of a compiled pattern. At this size, 64 KiB of the worst text take about 0.3 seconds."""
LIMIT = 64
"""Maximum total weight of the parts of a schema that apply to one value."""
_PATTERN_WEIGHT = 8
_ENUM_SHARE = 16
"""Number of `enum` values that weigh as much as one part."""
_UNBOUNDED = frozenset(
    {"$dynamicRef", "$recursiveRef", "contentEncoding", "contentMediaType", "contentSchema", "unevaluatedItems",
     "unevaluatedProperties"}
)  # fmt: skip
_QUICK_FORMATS = frozenset(
    {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "json-pointer",
     "relative-json-pointer", "time", "uri", "uri-reference", "uuid"}
)  # fmt: skip
_NOT_INSIDE = IN_PLACE | {"$defs", "definitions", "dependencies"}
"""Keywords whose subschemas do not apply to values inside the schema's own value."""
_ENGINE = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES)


class _UnboundedError(Exception):
    pass


def unbounded_reason(schema: Schema) -> str:
    """Return the reason why `schema` may not validate in linear time; empty if it is known to."""
    try:
        weight = _Weigher(schema).heaviest(schema)
    except _UnboundedError as error:
        return str(error)
    return "" if weight <= LIMIT else f"up to {weight} of its parts apply to one value"


class _Weigher:
    """Total weight of the parts of one schema that apply to any one value."""

    def __init__(self, root: Schema) -> None:
        self._root = root
        self._weights: dict[int, int] = {}

    def heaviest(self, schema: Schema, above: tuple[int, ...] = ()) -> int:
        """Return the largest weight at a value that `schema` applies to, or at any value inside it.

        `above` holds the ids of the schemas on the path to this one: meeting one again is recursion.
        """
        if id(schema) not in self._weights:
            here = self._in_place(schema, above)
            path = (*above, *(id(part) for part, _ in here))
            inside = sum(self._inside(part, path) for part, _ in here)
            self._weights[id(schema)] = max(sum(weight for _, weight in here), inside)
        return self._weights[id(schema)]

    def _inside(self, schema: Schema, path: tuple[int, ...]) -> int:
        """Return the largest weight that `schema` alone adds at any one value inside its own."""
        one_of, every = 0, 0
        for keyword, _, sub in subschemas(schema):
            if keyword in _NOT_INSIDE:
                continue
            weight = self.heaviest(sub, path)
            if keyword in {"properties", "prefixItems"}:  # a member has one name, an element one index
                one_of = max(one_of, weight)
            else:
                every += weight
        return one_of + every

    def _in_place(self, schema: Schema, above: tuple[int, ...]) -> list[tuple[Schema, int]]:
        """Return `schema` and all parts that apply to the same value, each with its weight."""
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
            raise _UnboundedError("too many of its parts apply to one value")
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
    """Return the cost of one part at one value; raise `_UnboundedError` if it has no bound."""
    for keyword in schema.keys() & _UNBOUNDED:
        raise _UnboundedError(f"it uses {keyword}")
    if not root and schema.keys() & {"$id", "id"} and isinstance(schema.get("$id", schema.get("id")), str):
        raise _UnboundedError("it contains a schema with its own address")
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
