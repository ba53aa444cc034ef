r"""Schemas compiled once and asked often: in this process, or, where that could take long, in a killable one.

The engine is `jsonschema-rs`: drafts 4 to 2020-12, formats, exact integers and decimals, and patterns that mean
what ECMA 262 says (`$` ends the text, `\d` is ASCII). References outside the schema are never followed.
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
from halo_verifier_jsonschema.closing import close
from halo_verifier_jsonschema.walk import Schema

Draft = Literal["4", "6", "7", "2019-09", "2020-12"]


class BusyError(Exception):
    """The wall clock ran out while a schema was checked; says nothing about the value."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A schema that is ready to judge."""

    text: str
    """The schema as it is enforced, as JSON."""
    obstacle: str
    """Why it is checked in a process of its own; empty when in this one."""
    check: Callable[[Any], str]
    """Returns the first thing wrong with a value, in this process; empty when there is none."""

    def problem(self, value: Any, *, draft: Draft, cpu_seconds: float) -> str:
        """Return what keeps `value` from being valid; empty when it is valid.

        A check that uses up `cpu_seconds` has found a problem. Raises `BusyError`, and `SandboxError` when
        the process that should check cannot be had.
        """
        if not self.obstacle:
            return self.check(value)
        reply = worker.service(cpu_seconds).call(self.text, draft, *worker.pack(value))
        if reply.inconclusive:
            raise BusyError
        if reply.limit:
            return f"validation ran into its {reply.limit} limit"
        if reply.error == DIED:
            return f"validation did not survive it: {reply.message}"
        if reply.error is not None:
            raise SandboxError(f"validation failed: {reply.error}: {reply.message}")
        return str(reply.value)


def compiled(schema: Schema, draft: Draft, *, closed: bool) -> Compiled:
    """Return `schema` ready to judge, from a cache when it was asked for before.

    With `closed`, objects take no more than the properties they list, see `closing`. `draft` is that of a
    schema without `$schema`. Raises `DataError` when the schema is not one, or needs what is not in it.
    """
    try:
        text = json.dumps(schema, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the schema is not JSON: {error}") from None
    return _compile(text, draft, closed)


@functools.lru_cache(maxsize=1024)
def _compile(text: str, draft: Draft, closed: bool) -> Compiled:
    schema = close(json.loads(text)) if closed else json.loads(text)
    enforced = json.dumps(schema)
    try:
        check = worker.checker(enforced, draft)
    except jsonschema_rs.ValidationError as error:
        raise DataError(f"not a usable schema: {worker.describe(error)}", hint=_HINT) from None
    except (jsonschema_rs.ReferencingError, ValueError) as error:
        raise DataError(f"not a usable schema: {error}", hint=_HINT) from None
    return Compiled(enforced, linear.obstacle(schema), check)


_HINT = "unknown types and formats are refused, and so is a reference to anything outside the schema"
