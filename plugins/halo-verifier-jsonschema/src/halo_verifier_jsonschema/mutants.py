"""Correct answers to a prompt, and near misses derived from them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from halo_core.errors import DataError
from halo_verifier_jsonschema.tasks import CallTask, Rules, Task, ValueTask, task_of

_MAX_CHANGES = 12
"""Maximum number of mutants per nested value, so that a large value does not crowd out the others."""


def references(reference: Mapping[str, Any], rules: Rules) -> list[str]:
    """Return correct completions: every answer, the calls in each form, or the `examples` of a bare schema."""
    task = task_of(reference, rules)
    if isinstance(task, CallTask):
        return _forms(_calls(task)) if task.expected else []
    return [json.dumps(value) for value in _values(task, reference, rules)]


def mutants(reference: Mapping[str, Any], rules: Rules, *, trailing_text: bool = False) -> list[str]:
    """Return near misses; for a bare schema, completions that are not valid under it or not strict JSON.

    With `trailing_text`, an answer with text after it, or a value given twice, is not a near miss.
    """
    task = task_of(reference, rules)
    if isinstance(task, CallTask):
        texts = list(_call_mutants(task, rules)) if task.expected else []
    else:
        values = _values(task, reference, rules)
        texts = [text for value in values for text in _value_mutants(task, value, rules)]
    if trailing_text:
        answers = references(reference, rules)
        accepted = {f"{text} is the answer." for text in answers}
        accepted |= set() if isinstance(task, CallTask) else {text * 2 for text in answers}
        texts = [text for text in texts if text not in accepted]
    return list(dict.fromkeys(texts))


def _values(task: ValueTask, reference: Mapping[str, Any], rules: Rules) -> list[Any]:
    schema = reference.get("schema")
    examples = schema.get("examples", []) if isinstance(schema, dict) and not task.answers else []
    return [*task.answers, *(value for value in examples if _passes(task, value, rules))]


def _value_mutants(task: ValueTask, value: Any, rules: Rules) -> Iterator[str]:
    yield from _broken_texts(json.dumps(value))
    exact = len(task.answers) == 1 and not task.unordered.is_active and rules.numbers == "exact"
    for changed in _changes(value):
        if repr(changed) != repr(value) and (exact or not _passes(task, changed, rules)):
            yield json.dumps(changed)


def _passes(task: Task, value: Any, rules: Rules) -> bool:
    """Check that the verifier accepts `value`, because some changes keep an answer correct.

    Not needed for a single answer that is compared exactly: there, every change makes it wrong.
    """
    try:
        return task.judge([rules.normalise(value)], rules).score == 1.0
    except DataError:
        return False


def _broken_texts(text: str) -> Iterator[str]:
    """Yield texts that contain the answer but must not be accepted."""
    yield text[:-1]
    yield text + text
    yield text + " is the answer."
    yield f"The answer is {text}"
    yield f"<think>{text}</think>"
    yield f"```json\n{text}\n```\n```json\n{text}\n```"
    yield json.dumps([json.loads(text)])
    yield json.dumps(text)
    if text.startswith("{") and len(text) > 2:
        yield text[:-1] + ",}"
        yield text[:-1] + ", " + text[1:].partition(":")[0] + ": null}"


def _changes(value: Any) -> Iterator[Any]:
    """Yield copies of `value` with one change, in it or in its members and elements."""
    yield from _retyped(value)
    if isinstance(value, dict):
        yield {**value, "extra": True}
        for key in value:
            rest = {k: v for k, v in value.items() if k != key}
            yield rest
            yield {**rest, key + "_": value[key]}
            yield from ({**value, key: changed} for changed in _first_changes(value[key]))
    if isinstance(value, list):
        yield [*value, value[-1] if value else None]
        if value:
            yield value[:-1]
        if len(value) > 1:
            yield value[::-1]
        for i, item in enumerate(value[:4]):
            yield from ([*value[:i], changed, *value[i + 1 :]] for changed in _first_changes(item))


def _first_changes(value: Any) -> list[Any]:
    return [changed for changed, _ in zip(_changes(value), range(_MAX_CHANGES), strict=False)]


def _retyped(value: Any) -> Iterator[Any]:
    """Yield similar values of another type, and other values of the same type."""
    if value is not None:
        yield None
    if isinstance(value, bool):
        yield from (not value, int(value), json.dumps(value))
    elif isinstance(value, int):
        yield from (value + 1, -value - 1, float(value), str(value), [value])
        if value in (0, 1):
            yield bool(value)
    elif isinstance(value, float):
        yield from (value + 1.0, str(value))
    elif isinstance(value, str):
        yield from (value + " ", value.swapcase() if value.swapcase() != value else value + "x", [value])
    else:
        yield json.dumps(value)


def _calls(task: CallTask) -> list[tuple[str, dict[str, Any]]]:
    return [(wanted.name, wanted.arguments[0]) for wanted in task.expected or ()]


def _forms(calls: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    """Return calls in each form that the verifier accepts."""
    plain = [{"name": name, "arguments": arguments} for name, arguments in calls]
    openai = [
        {
            "id": f"call_{i}",
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for i, (name, arguments) in enumerate(calls)
    ]
    message = {"role": "assistant", "content": None, "tool_calls": openai}
    tagged = "\n".join(f"<tool_call>\n{json.dumps(call)}\n</tool_call>" for call in plain)
    single = [json.dumps(plain[0])] if len(plain) == 1 else []
    return [*single, *map(json.dumps, (plain, openai, message)), tagged]


def _call_mutants(task: CallTask, rules: Rules) -> Iterator[str]:
    calls = _calls(task)
    yield from _broken_call_texts(calls)
    single = all(len(wanted.accepted) == 1 for wanted in task.expected or ())
    exact = single and task.in_order and not task.unordered.is_active and rules.numbers == "exact"
    for changed in _changed_calls(calls, sorted(task.catalogue)):
        content = [{"name": name, "arguments": arguments} for name, arguments in changed]
        if repr(changed) != repr(calls) and (exact or not _passes(task, content, rules)):
            yield json.dumps(content)
            yield _forms(changed)[-2]


def _broken_call_texts(calls: Sequence[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    text = _forms(calls)[0]
    yield from (broken for broken in _broken_texts(text) if broken != f"[{text}]")
    name, arguments = calls[0]
    yield json.dumps({"name": name})
    yield json.dumps({"name": name, "arguments": json.dumps(arguments)})
    yield json.dumps({"name": name, "arguments": [arguments]})
    yield json.dumps({"name": name, "arguments": arguments, "result": "ok"})
    yield json.dumps({"function": name, **arguments})


def _changed_calls(
    calls: list[tuple[str, dict[str, Any]]], names: Sequence[str]
) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Yield the calls with one dropped, duplicated, moved, renamed, or with other arguments."""
    yield [*calls, calls[-1]]
    if len(calls) > 1:
        yield calls[:-1]
        yield calls[::-1]
    for i, (name, arguments) in enumerate(calls):
        before, after = calls[:i], calls[i + 1 :]
        for other in [*[other for other in names if other != name][:2], name + "_", name.upper()]:
            yield [*before, (other, arguments), *after]
        for changed in _changes(arguments):
            if isinstance(changed, dict):
                yield [*before, (name, changed), *after]
