"""What a prompt asks for: its reference, read and compiled once.

{"schema": {...}, "answer": ...}                      a value
{"openapi": {...}, "operation": "...", ...}           a body
{"tools": [...], "calls": [{"name": ..., "arguments": {...}}], "order": "any"}
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

from halo_core.errors import DataError, did_you_mean
from halo_core.types import Stage
from halo_verifier_jsonschema import openapi, strict, tools
from halo_verifier_jsonschema.schemas import Compiled, Draft, compiled
from halo_verifier_jsonschema.strict import Limits, Numbers

_VALUE_KEYS = frozenset({"schema", "answer", "answers", "unordered"})
_BODY_KEYS = frozenset(
    {"openapi", "operation", "body", "status", "media_type", "answer", "answers", "unordered"}
)
_TOOL_KEYS = frozenset({"tools", "calls", "order", "unordered"})
_CALL_KEYS = frozenset({"name", "arguments", "any_of"})
_HINT = "the verifier's README shows the forms that a reference may have"


@dataclass(frozen=True, slots=True)
class Rules:
    """How answers are read and compared: the verifier's options as far as a task needs them."""

    limits: Limits = Limits()  # noqa: RUF009 - frozen
    numbers: Numbers = "exact"
    draft: Draft = "2020-12"
    closed: bool = True
    partial: bool = False
    cpu_seconds: float = 1.0

    def parse(self, text: str, *, trailing: bool = False) -> Any:
        """Read strict JSON; see `strict.parse`."""
        return strict.parse(text, self.limits, numbers=self.numbers, trailing=trailing)

    def normal(self, value: Any) -> Any:
        """Return a value of the reference as it would be read from a completion."""
        return strict.parse(json.dumps(value), Limits(1 << 40, 200), numbers=self.numbers)


@dataclass(frozen=True, slots=True)
class Found:
    """How far JSON got that was read strictly."""

    stage: Stage
    detail: str
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Unordered:
    """Arrays of which only the elements count, not their order."""

    everywhere: bool = False
    paths: frozenset[tuple[str, ...]] = frozenset()
    """Steps to the arrays; `*` stands for any key or place."""

    @property
    def loose(self) -> bool:
        """Whether there may be any such array."""
        return self.everywhere or bool(self.paths)

    def form(self, value: Any) -> str:
        """Return the text by which two values are compared."""
        if self.loose:
            value = self._arranged(value, self.paths)
        return strict.canonical(value)

    def _arranged(self, value: Any, paths: frozenset[tuple[str, ...]]) -> Any:
        if not paths and not self.everywhere:
            return value
        if isinstance(value, dict):
            return {key: self._arranged(item, _below(paths, key)) for key, item in value.items()}
        if isinstance(value, list):
            items = [self._arranged(item, _below(paths, str(i))) for i, item in enumerate(value)]
            return sorted(items, key=strict.canonical) if self.everywhere or () in paths else items
        return value


def _below(paths: frozenset[tuple[str, ...]], step: str) -> frozenset[tuple[str, ...]]:
    return frozenset(path[1:] for path in paths if path and path[0] in ("*", step))


@dataclass(frozen=True, slots=True)
class ValueTask:
    """One value: valid under a schema, and equal to an answer where one is given."""

    schema: Compiled | None
    answers: tuple[Any, ...]
    """The answers as given; any one of them will do. Empty: whatever is valid is right."""
    accepted: frozenset[str]
    unordered: Unordered
    is_call = False

    def judge(self, values: Sequence[Any], rules: Rules) -> Found:
        """Judge the one value."""
        (value,) = values
        if self.schema and (problem := _problem(self.schema, value, rules)):
            return Found(Stage.FLAWED, problem)
        if self.accepted and self.unordered.form(value) not in self.accepted:
            return Found(Stage.WRONG, "valid, but not the answer" if self.schema else "not the answer")
        return Found(Stage.CORRECT, "ok", 1.0)


@dataclass(frozen=True, slots=True)
class CallTask:
    """Tool calls: each valid under the catalogue, and together those that are expected."""

    catalogue: Mapping[str, Compiled]
    expected: tuple[tools.Expected, ...] | None
    """None: any one or more valid calls will do."""
    in_order: bool
    unordered: Unordered
    is_call = True

    def judge(self, values: Sequence[Any], rules: Rules) -> Found:
        """Judge the calls that `values` make."""
        try:
            calls = tools.read_calls(values, rules.parse)
        except tools.NotACallError as error:
            return Found(Stage.FLAWED, str(error))
        for number, call in enumerate(calls, 1):
            if call.name not in self.catalogue:
                return Found(Stage.FLAWED, f"call {number}: there is no tool {call.name[:80]!r}")
            if problem := _problem(self.catalogue[call.name], call.arguments, rules):
                return Found(Stage.FLAWED, f"call {number}, {call.name}: {problem}")
        if self.expected is None:
            return Found(Stage.CORRECT, "ok", 1.0) if calls else Found(Stage.FLAWED, "no call")
        met = tools.matched(calls, self.expected, self.unordered.form, in_order=self.in_order)
        most = max(len(calls), len(self.expected))
        if met == most:
            return Found(Stage.CORRECT, "ok", 1.0)
        detail = f"{len(calls)} calls, {met} of the {len(self.expected)} that were expected"
        return Found(Stage.WRONG, detail, met / most if rules.partial else 0.0)


Task = ValueTask | CallTask


def _problem(schema: Compiled, value: Any, rules: Rules) -> str:
    return schema.problem(value, draft=rules.draft, cpu_seconds=rules.cpu_seconds)


_cache: OrderedDict[tuple[int, Rules], tuple[Mapping[str, Any], Task]] = OrderedDict()
_cache_lock = Lock()
_CACHED = 4096


def task_of(reference: Mapping[str, Any], rules: Rules) -> Task:
    """Return the task that `reference` sets; the same object is read once. Raises `DataError`."""
    key = (id(reference), rules)
    known = _cache.get(key)
    if known is not None:
        return known[1]
    task = read(reference, rules)
    with _cache_lock:  # the entry keeps the reference alive, so that its id stays its own
        _cache[key] = (reference, task)
        while len(_cache) > _CACHED:
            _cache.popitem(last=False)
    return task


def read(reference: Mapping[str, Any], rules: Rules) -> Task:
    """Read a reference; raise `DataError` when it is not in one of the forms above."""
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
            raise DataError("schema must be an object", hint=_HINT)
        schema = compiled(reference["schema"], rules.draft, closed=rules.closed)
    return _read_value(reference, schema, rules)


def _known_keys(reference: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in reference.keys() - known:
        raise DataError(f"unknown key {key!r}; {did_you_mean(str(key), known)}", hint=_HINT)


def _body(reference: Mapping[str, Any], rules: Rules) -> Compiled:
    document, operation = reference["openapi"], reference.get("operation")
    if not isinstance(document, Mapping) or not isinstance(operation, str):
        raise DataError("openapi must be a description, and operation name one in it", hint=_HINT)
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
    return compiled(schema, "2020-12", closed=rules.closed)


def _read_value(reference: Mapping[str, Any], schema: Compiled | None, rules: Rules) -> ValueTask:
    unordered = _unordered(reference.get("unordered", False))
    answers = reference.get("answers", [])
    if not isinstance(answers, list | tuple) or ("answers" in reference and not answers):
        raise DataError("answers must be a list of at least one", hint=_HINT)
    if "answer" in reference and answers:
        raise DataError("give an answer or answers, not both", hint=_HINT)
    normal = [
        _normal(answer, rules) for answer in ([reference["answer"]] if "answer" in reference else answers)
    ]
    for answer in normal:
        if schema and (problem := _problem(schema, answer, rules)):
            raise DataError(f"the answer does not meet its own schema: {problem}", hint=_CLOSED_HINT)
    return ValueTask(schema, tuple(normal), frozenset(map(unordered.form, normal)), unordered)


_CLOSED_HINT = (
    "objects take only the properties that they list, unless the schema says otherwise or closed is off"
)


def _read_calls(reference: Mapping[str, Any], rules: Rules) -> CallTask:
    try:
        listed = tools.read_catalogue(reference["tools"])
    except ValueError as error:
        raise DataError(str(error), hint=_HINT) from None
    catalogue = {name: compiled(s, rules.draft, closed=rules.closed) for name, s in listed.items()}
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
    call: Any, catalogue: Mapping[str, Compiled], unordered: Unordered, rules: Rules
) -> tools.Expected:
    if not isinstance(call, Mapping) or not call.keys() <= _CALL_KEYS or len(call) != 2 or "name" not in call:
        raise DataError("an expected call has a name, and arguments or any_of", hint=_HINT)
    if (name := call["name"]) not in catalogue:
        raise DataError(f"expected call of {name!r}; {did_you_mean(str(name), catalogue)}", hint=_HINT)
    choices = call.get("any_of", [call.get("arguments")])
    if (
        not isinstance(choices, list | tuple)
        or not choices
        or not all(isinstance(c, Mapping) for c in choices)
    ):
        raise DataError(f"the arguments of {name!r} must be objects", hint=_HINT)
    normal = [_normal(choice, rules) for choice in choices]
    for arguments in normal:
        if problem := _problem(catalogue[name], arguments, rules):
            raise DataError(
                f"the expected arguments of {name!r} break its schema: {problem}", hint=_CLOSED_HINT
            )
    return tools.Expected(name, frozenset(map(unordered.form, normal)), tuple(normal))


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


def _normal(value: Any, rules: Rules) -> Any:
    try:
        return rules.normal(value)
    except (strict.NotStrictError, TypeError, ValueError, RecursionError) as error:
        raise DataError(f"the answer is not strict JSON: {error}", hint=_HINT) from None
