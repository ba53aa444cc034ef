"""Tasks: the references of prompts, read and compiled once. A reference is one of

{"schema": {...}, "answer": ...}                      a value
{"openapi": {...}, "operation": "...", ...}           a body
{"tools": [...], "calls": [{"name": ..., "arguments": {...}}], "order": "any"}
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any, ClassVar

from cachetools import LRUCache, cached

from halo_core.errors import DataError, did_you_mean
from halo_core.types import Stage
from halo_verifier_jsonschema import openapi, prose, rivals, strict, tools
from halo_verifier_jsonschema.schemas import CompiledSchema, Draft, compile_schema
from halo_verifier_jsonschema.strict import Limits, Numbers

_VALUE_KEYS = frozenset({"schema", "answer", "answers", "unordered"})
_BODY_KEYS = frozenset(
    {"openapi", "operation", "body", "status", "media_type", "answer", "answers", "unordered"}
)
_TOOL_KEYS = frozenset({"tools", "calls", "order", "unordered"})
_CALL_KEYS = frozenset({"name", "arguments", "any_of"})
_HINT = "the verifier's README shows the forms of a reference"


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules for parsing and comparing answers: the verifier's options that a task needs."""

    limits: Limits = Limits()  # noqa: RUF009 - frozen
    numbers: Numbers = "exact"
    draft: Draft = "2020-12"
    closed: bool = True
    partial: bool = False
    cpu_seconds: float = 1.0

    def parse(self, text: str) -> Any:
        """Parse strict JSON; see `strict.parse`."""
        return strict.parse(text, self.limits, numbers=self.numbers)

    def parse_start(self, text: str, task: Task) -> Any:
        """Parse the strict JSON that `text` starts with; raise `NotStrictError` if another answer to `task` follows."""
        value, end = strict.parse_start(text, self.limits, numbers=self.numbers)
        rest, names = text[end:], task.names
        if rivals.contradicts(value, rest, is_call=task.is_call, numbers=self.numbers) or (
            rest.strip() and prose.contradicts_in_words(value, rest, names=names, is_call=task.is_call)
        ):
            raise strict.NotStrictError("another answer after the JSON")
        return value

    def normalise(self, value: Any) -> Any:
        """Return a value of the reference as it would be parsed from a completion."""
        return strict.parse(json.dumps(value), Limits(1 << 40, 200), numbers=self.numbers)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Stage, detail and score of an answer that is strict JSON."""

    stage: Stage
    detail: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Unordered:
    """Arrays whose order does not count."""

    everywhere: bool = False
    paths: frozenset[tuple[str, ...]] = frozenset()
    """Paths of the arrays, as keys and indices; `*` matches any of them."""

    @property
    def is_active(self) -> bool:
        """True if the order of some arrays does not count."""
        return self.everywhere or bool(self.paths)

    def canonical(self, value: Any) -> str:
        """Return the text that represents `value` in comparisons."""
        if self.is_active:
            value = self._sorted(value, self.paths)
        return strict.canonical(value)

    def _sorted(self, value: Any, paths: frozenset[tuple[str, ...]]) -> Any:
        if not paths and not self.everywhere:
            return value
        if isinstance(value, dict):
            return {key: self._sorted(item, _below(paths, key)) for key, item in value.items()}
        if isinstance(value, list):
            items = [self._sorted(item, _below(paths, str(i))) for i, item in enumerate(value)]
            return sorted(items, key=strict.canonical) if self.everywhere or () in paths else items
        return value


def _below(paths: frozenset[tuple[str, ...]], step: str) -> frozenset[tuple[str, ...]]:
    return frozenset(path[1:] for path in paths if path and path[0] in ("*", step))


@dataclass(frozen=True, slots=True)
class ValueTask:
    """One value that must be valid under a schema and equal to an answer, if there is one."""

    schema: CompiledSchema | None
    answers: tuple[Any, ...]
    """The accepted answers. Empty: every valid value is correct."""
    accepted: frozenset[str]
    """Canonical forms of `answers`."""
    unordered: Unordered
    is_call = False
    names: ClassVar[Sequence[str]] = ()

    def judge(self, values: Sequence[Any], rules: Rules) -> Outcome:
        """Return the outcome for the only element of `values`."""
        (value,) = values
        if self.schema and (problem := _problem(self.schema, value, rules)):
            return Outcome(Stage.FLAWED, problem)
        if self.accepted and self.unordered.canonical(value) not in self.accepted:
            return Outcome(Stage.WRONG, "valid, but not the answer" if self.schema else "not the answer")
        return Outcome(Stage.CORRECT, "ok", 1.0)


@dataclass(frozen=True, slots=True)
class CallTask:
    """Tool calls that must be valid under a catalogue and match the expected calls, if given."""

    catalogue: Mapping[str, CompiledSchema]
    expected: tuple[tools.Expected, ...] | None
    """None: one or more valid calls are correct, whichever they are."""
    in_order: bool
    unordered: Unordered
    is_call = True

    @property
    def names(self) -> Sequence[str]:
        """Names of the tools."""
        return tuple(self.catalogue)

    def judge(self, values: Sequence[Any], rules: Rules) -> Outcome:
        """Return the outcome for the calls that `values` make."""
        try:
            calls = tools.read_calls(values, rules.parse)
        except tools.NotACallError as error:
            return Outcome(Stage.FLAWED, str(error))
        for number, call in enumerate(calls, 1):
            if call.name not in self.catalogue:
                return Outcome(Stage.FLAWED, f"call {number}: no tool is named {call.name[:80]!r}")
            if problem := _problem(self.catalogue[call.name], call.arguments, rules):
                return Outcome(Stage.FLAWED, f"call {number}, {call.name}: {problem}")
        if self.expected is None:
            return Outcome(Stage.CORRECT, "ok", 1.0) if calls else Outcome(Stage.FLAWED, "no calls")
        matches = tools.count_matches(calls, self.expected, self.unordered.canonical, in_order=self.in_order)
        larger = max(len(calls), len(self.expected))
        if matches == larger:
            return Outcome(Stage.CORRECT, "ok", 1.0)
        detail = f"{len(calls)} calls, which match {matches} of the {len(self.expected)} expected ones"
        return Outcome(Stage.WRONG, detail, matches / larger if rules.partial else 0.0)


Task = ValueTask | CallTask


def _problem(schema: CompiledSchema, value: Any, rules: Rules) -> str:
    return schema.problem(value, draft=rules.draft, cpu_seconds=rules.cpu_seconds)


CACHE_SIZE = 4096
"""Number of tasks that `task_of` keeps."""
_cache: LRUCache[tuple[int, Rules], tuple[Mapping[str, Any], Task]] = LRUCache(CACHE_SIZE)


def task_of(reference: Mapping[str, Any], rules: Rules) -> Task:
    """Return the task of `reference`; each object is read once. Raises `DataError`."""
    return _entry(reference, rules)[1]


@cached(_cache, key=lambda reference, rules: (id(reference), rules), lock=Lock())
def _entry(reference: Mapping[str, Any], rules: Rules) -> tuple[Mapping[str, Any], Task]:
    # The entry keeps the reference alive: otherwise another object could get its id.
    return reference, read(reference, rules)


def read(reference: Mapping[str, Any], rules: Rules) -> Task:
    """Return the task of `reference`; raise `DataError` if it has none of the forms above."""
    if "tools" in reference:
        _known_keys(reference, _TOOL_KEYS)
        return _read_calls(reference, rules)
    if "openapi" in reference:
        _known_keys(reference, _BODY_KEYS)
        return _read_value(reference, _body(reference, rules), rules)
    _known_keys(reference, _VALUE_KEYS)
    if "schema" not in reference and not reference.keys() & {"answer", "answers"}:
        raise DataError("a reference needs a schema, an answer, tools or openapi", hint=_HINT)
    schema = None
    if "schema" in reference:
        if not isinstance(reference["schema"], dict | bool):
            raise DataError("schema must be an object or a boolean", hint=_HINT)
        schema = compile_schema(reference["schema"], rules.draft, closed=rules.closed)
    return _read_value(reference, schema, rules)


def _known_keys(reference: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in reference.keys() - known:
        raise DataError(f"unknown key {key!r}; {did_you_mean(str(key), known)}", hint=_HINT)


def _body(reference: Mapping[str, Any], rules: Rules) -> CompiledSchema:
    document, operation = reference["openapi"], reference.get("operation")
    if not isinstance(document, Mapping) or not isinstance(operation, str):
        raise DataError(
            "openapi must be an OpenAPI description, and operation a string that names one of its operations",
            hint=_HINT,
        )
    if (body := reference.get("body", "request")) not in ("request", "response"):
        raise DataError(f"body must be request or response, not {body!r}", hint=_HINT)
    try:
        schema = openapi.body_schema(
            document,
            operation,
            body=body,
            status=str(reference.get("status", "")),
            media_type=str(reference.get("media_type", "")),
        )
    except openapi.NoBodyError as error:
        raise DataError(str(error), hint=_HINT) from None
    return compile_schema(schema, "2020-12", closed=rules.closed)


def _read_value(reference: Mapping[str, Any], schema: CompiledSchema | None, rules: Rules) -> ValueTask:
    unordered = _unordered(reference.get("unordered", False))
    answers = reference.get("answers", [])
    if not isinstance(answers, list | tuple) or ("answers" in reference and not answers):
        raise DataError("answers must be a list of at least one answer", hint=_HINT)
    if "answer" in reference and answers:
        raise DataError("a reference has either answer or answers, not both", hint=_HINT)
    values = [
        _normalised(answer, rules) for answer in ([reference["answer"]] if "answer" in reference else answers)
    ]
    for answer in values:
        if schema and (problem := _problem(schema, answer, rules)):
            raise DataError(f"the answer is not valid under its own schema: {problem}", hint=_CLOSED_HINT)
    return ValueTask(schema, tuple(values), frozenset(map(unordered.canonical, values)), unordered)


_CLOSED_HINT = (
    "objects accept only the properties that they list, unless the schema allows more or closed is off"
)


def _read_calls(reference: Mapping[str, Any], rules: Rules) -> CallTask:
    try:
        schemas = tools.read_catalogue(reference["tools"])
    except ValueError as error:
        raise DataError(str(error), hint=_HINT) from None
    catalogue = {name: compile_schema(s, rules.draft, closed=rules.closed) for name, s in schemas.items()}
    if (order := reference.get("order", "given")) not in ("given", "any"):
        raise DataError(f"order must be given or any, not {order!r}", hint=_HINT)
    unordered = _unordered(reference.get("unordered", False))
    expected = None
    if "calls" in reference:
        calls = reference["calls"]
        if not isinstance(calls, list | tuple) or len(calls) > tools.MAX_CALLS:
            raise DataError(f"calls must be a list of at most {tools.MAX_CALLS}", hint=_HINT)
        expected = tuple(_expected(call, catalogue, unordered, rules) for call in calls)
    return CallTask(catalogue, expected, order == "given", unordered)


def _expected(
    call: Any, catalogue: Mapping[str, CompiledSchema], unordered: Unordered, rules: Rules
) -> tools.Expected:
    if not isinstance(call, Mapping) or not call.keys() <= _CALL_KEYS or len(call) != 2 or "name" not in call:
        raise DataError("an expected call has a name and either arguments or any_of", hint=_HINT)
    if (name := call["name"]) not in catalogue:
        raise DataError(
            f"expected call to unknown tool {name!r}; {did_you_mean(str(name), catalogue)}", hint=_HINT
        )
    choices = call.get("any_of", [call.get("arguments")])
    if (
        not isinstance(choices, list | tuple)
        or not choices
        or not all(isinstance(c, Mapping) for c in choices)
    ):
        raise DataError(f"the arguments of {name!r} must be objects", hint=_HINT)
    values = [_normalised(choice, rules) for choice in choices]
    for arguments in values:
        if problem := _problem(catalogue[name], arguments, rules):
            raise DataError(
                f"the expected arguments of {name!r} are not valid under its schema: {problem}",
                hint=_CLOSED_HINT,
            )
    return tools.Expected(name, frozenset(map(unordered.canonical, values)), tuple(values))


def _unordered(given: Any) -> Unordered:
    if isinstance(given, bool):
        return Unordered(everywhere=given)
    if not isinstance(given, list | tuple) or not all(
        isinstance(p, str) and p[:1] in ("", "/") for p in given
    ):
        raise DataError("unordered must be true or a list of paths such as /items/*/tags", hint=_HINT)
    steps = (path.split("/")[1:] for path in given)
    return Unordered(
        paths=frozenset(tuple(s.replace("~1", "/").replace("~0", "~") for s in p) for p in steps)
    )


def _normalised(value: Any, rules: Rules) -> Any:
    try:
        return rules.normalise(value)
    except (strict.NotStrictError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the answer is not strict JSON: {error}", hint=_HINT) from None
