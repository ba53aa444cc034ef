"""Checking a value by a schema: the function that runs here, and the process in which the risky ones run."""

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
_MEMORY = 1 << 30
_SHOWN = 160
_EXPLAINED = 4096
"""Characters of the largest value of which is said what is wrong: it takes far longer than to find that it is."""


def checker(text: str, draft: str) -> Callable[[Any], str]:
    """Return a function that says what is first wrong with a value under the schema `text`, or "".

    Patterns run on an engine without backtracking when it can take all of them. Raises
    `jsonschema_rs.ValidationError`, `ReferencingError` or `ValueError` when `text` is not a usable schema.
    """
    try:
        validator = _validator(text, draft, jsonschema_rs.RegexOptions())
    except jsonschema_rs.ValidationError:
        validator = _validator(text, draft, jsonschema_rs.FancyRegexOptions())

    def check(value: Any) -> str:
        if validator.is_valid(value):
            return ""
        if len(json.dumps(value, default=str)) > _EXPLAINED:
            return "not valid under the schema"
        try:
            validator.validate(value)
        except jsonschema_rs.ValidationError as error:
            return describe(error)
        return ""

    return check


def describe(error: jsonschema_rs.ValidationError) -> str:
    """Return where and what an error is, in one short line."""
    where = "/".join(map(str, error.instance_path))
    return f"{'at ' + where + ': ' if where else ''}{error.message}"[:_SHOWN]


def _validator(text: str, draft: str, patterns: Any) -> Any:
    schema = json.loads(text)
    named = isinstance(schema, dict) and "$schema" in schema
    make = jsonschema_rs.validator_for if named else _CLASSES[draft]
    return make(
        schema, validate_formats=True, ignore_unknown_formats=False, offline=True, pattern_options=patterns
    )


def pack(value: Any) -> tuple[str, str]:
    """Return `value` as JSON, and the key under which its decimals stand there: one that nobody can guess."""
    key = secrets.token_hex(16)
    return json.dumps(value, default=lambda decimal: {key: str(decimal)}), key


def problem(text: str, draft: str, packed: str, key: str) -> str:
    """Do what `checker` does, with a value that was packed. Runs in the service's process."""

    def restored(found: dict[str, Any]) -> Any:
        return Decimal(found[key]) if key in found else found

    return _cached(text, draft)(json.loads(packed, object_hook=restored))


_cached = functools.lru_cache(maxsize=64)(checker)


@functools.lru_cache(maxsize=8)
def service(cpu_seconds: float) -> sandbox.Service:
    """Return the processes that check what could take long; each call may use `cpu_seconds` of CPU time."""
    limits = sandbox.Limits(cpu_seconds=cpu_seconds, memory_bytes=_MEMORY)
    return sandbox.Service(f"{__name__}:problem", limits=limits)
