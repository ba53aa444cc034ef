"""Validation of a value against a schema, in this process or in a sandboxed one."""

from __future__ import annotations

import functools
import json
import secrets
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import jsonschema_rs

from halo_core import sandbox

_CLASSES: dict[str, Any] = {
    "4": jsonschema_rs.Draft4Validator,
    "6": jsonschema_rs.Draft6Validator,
    "7": jsonschema_rs.Draft7Validator,
    "2019-09": jsonschema_rs.Draft201909Validator,
    "2020-12": jsonschema_rs.Draft202012Validator,
}
_MEMORY_BYTES = 1 << 30
_WALL_FACTOR, _WALL_EXTRA = 20, 10
"""Wall seconds per CPU second, and in addition. A validation never waits, so a busy machine should not end it."""
_MAX_DETAIL = 160
"""Characters of the longest error description."""
_MAX_EXPLAINED = 4096
"""Characters of the largest value whose error is described: describing an error takes far longer than finding it."""


def checker(texts: tuple[str, ...], draft: str) -> Callable[[Any], str]:
    """Return a function that describes a value's first error under the schemas `texts`; "" for a valid value.

    A value must be valid under each schema. Patterns run on an engine without backtracking if it supports all of
    them. Raises `jsonschema_rs.ValidationError`, `ReferencingError` or `ValueError` if a text is not a usable schema.
    """
    checks = [_checker(text, draft) for text in texts]
    if len(checks) == 1:
        return checks[0]
    return lambda value: next(filter(None, (check(value) for check in checks)), "")


def _checker(text: str, draft: str) -> Callable[[Any], str]:
    try:
        validator = _validator(text, draft, jsonschema_rs.RegexOptions())
    except jsonschema_rs.ValidationError:
        validator = _validator(text, draft, jsonschema_rs.FancyRegexOptions())

    def check(value: Any) -> str:
        if validator.is_valid(value):
            return ""
        if len(json.dumps(value, default=str)) > _MAX_EXPLAINED:
            return "not valid under the schema"
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return describe(error)
        return ""

    return check


def describe(error: jsonschema_rs.ValidationError) -> str:
    """Return the location and the message of an error in one short line."""
    where = "/".join(map(str, error.instance_path))
    return f"{'at ' + where + ': ' if where else ''}{error.message}"[:_MAX_DETAIL]


def _validator(text: str, draft: str, patterns: Any) -> Any:
    schema = json.loads(text)
    names_draft = isinstance(schema, dict) and "$schema" in schema
    make = jsonschema_rs.validator_for if names_draft else _CLASSES[draft]
    return make(
        schema, validate_formats=True, ignore_unknown_formats=False, offline=True, pattern_options=patterns
    )


def pack(value: Any) -> tuple[str, str]:
    """Return `value` as JSON, and the unguessable key that marks its decimals in that JSON."""
    key = secrets.token_hex(16)
    return json.dumps(value, default=lambda decimal: {key: str(decimal)}), key


def problem(texts: tuple[str, ...], draft: str, packed: str, key: str) -> str:
    """Check a packed value as `checker` does. Runs in the service's process."""

    def restore(found: dict[str, Any]) -> Any:
        return Decimal(found[key]) if key in found else found

    return _cached_checker(tuple(texts), draft)(json.loads(packed, object_hook=restore))


_cached_checker = functools.lru_cache(maxsize=64)(checker)


@functools.lru_cache(maxsize=8)
def service(cpu_seconds: float) -> sandbox.Service:
    """Return the processes for validations that may be slow; each call may use `cpu_seconds` of CPU time."""
    wall = _WALL_FACTOR * cpu_seconds + _WALL_EXTRA
    limits = sandbox.Limits(cpu_seconds=cpu_seconds, wall_seconds=wall, memory_bytes=_MEMORY_BYTES)
    return sandbox.Service(f"{__name__}:problem", limits=limits)
