r"""Compiled schemas, validated in this process or, if validation may be slow, in one that can be killed.

The engine is `jsonschema-rs`: drafts 4 to 2020-12, formats, exact integers and decimals, and patterns with the
semantics of ECMA 262 (`$` matches only at the end of the text, `\d` is ASCII). References to anything outside
the schema are never followed.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jsonschema_rs

from halo_core.errors import DataError, SandboxError
from halo_core.sandbox.serving import DIED
from halo_verifier_jsonschema import linear, worker
from halo_verifier_jsonschema.closing import close, only_narrows
from halo_verifier_jsonschema.walk import Schema

Draft = Literal["4", "6", "7", "2019-09", "2020-12"]


class WallTimeError(Exception):
    """A validation exceeded its wall-clock limit, which proves nothing about the value."""


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A schema that is ready to validate values."""

    texts: tuple[str, ...]
    """The enforced schemas, as JSON. A value must be valid under each."""
    sandbox_reason: str
    """Reason for validating in the sandboxed process; empty if validated in this one."""
    check: Callable[[Any], str]
    """Returns the first error of a value, computed in this process; empty for a valid value."""

    def problem(self, value: Any, *, draft: Draft, cpu_seconds: float) -> str:
        """Return the reason why `value` is not valid; empty for a valid value.

        Exceeding `cpu_seconds` makes the value invalid. Raises `WallTimeError`, and `SandboxError` if the
        sandboxed process is not available.
        """
        if not self.sandbox_reason:
            return self.check(value)
        reply = worker.service(cpu_seconds).call(self.texts, draft, *worker.pack(value))
        if reply.inconclusive:
            raise WallTimeError
        if reply.limit:
            return f"validation exceeded its {reply.limit} limit"
        if reply.error == DIED:
            return f"the validation process died: {reply.message}"
        if reply.error is not None:
            raise SandboxError(f"validation failed: {reply.error}: {reply.message}")
        return str(reply.value)


def compile_schema(schema: Schema, draft: Draft, *, closed: bool) -> CompiledSchema:
    """Return `schema` compiled; equal schemas are compiled once.

    With `closed`, a value must be valid under `schema` as given and under the closed one, whose objects accept only
    the properties that they list, see `closing`. `draft` applies to a schema without `$schema`. Raises `DataError`
    if `schema` is not a schema or refers to anything outside itself.
    """
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the schema is not JSON: {error}") from None
    return _compile(text, draft, closed)


@functools.lru_cache(maxsize=1024)
def _compile(text: str, draft: Draft, closed: bool) -> CompiledSchema:
    given: Schema = json.loads(text)
    schemas = [given]
    if closed and (stricter := close(given)) != given:
        schemas = [stricter] if only_narrows(given) else [stricter, given]
    texts = tuple(map(json.dumps, schemas))
    try:
        check = worker.checker(texts, draft)
    except jsonschema_rs.ValidationError as error:
        raise DataError(f"not a usable schema: {worker.describe(error)}", hint=_HINT) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise DataError(f"not a usable schema: {error}", hint=_HINT) from None
    reasons = filter(None, map(linear.unbounded_reason, schemas))
    return CompiledSchema(texts, next(reasons, ""), check)


_HINT = "unknown types, unknown formats and references to anything outside the schema are rejected"
