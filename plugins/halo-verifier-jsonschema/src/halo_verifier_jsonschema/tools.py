"""Tool calls: parsing them from JSON, and matching them against a catalogue and the expected calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_verifier_jsonschema.walk import Schema

_MESSAGE_KEYS = frozenset({"role", "content", "refusal", "tool_calls"})
_ENTRY_KEYS = frozenset({"id", "index", "type", "function"})
_ARGUMENTS = ("arguments", "parameters")
MAX_CALLS = 64
"""Maximum number of calls in one answer."""


class NotACallError(Exception):
    """JSON that is not a tool call in any of the known forms. The message is a one-line reason."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call."""

    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Expected:
    """A call that an answer must make."""

    name: str
    accepted: frozenset[str]
    """The accepted arguments, each in its canonical form."""
    arguments: tuple[dict[str, Any], ...]
    """The accepted arguments as values."""


def read_catalogue(tools: object) -> dict[str, Schema]:
    """Return the schema of each tool's arguments by name; raise `ValueError` if `tools` is not a catalogue.

    A tool is `{"name", "description", "parameters"}`, bare or as `{"type": "function", "function": {...}}`;
    `inputSchema` and `input_schema` are synonyms of `parameters`. Without any of them a tool takes no arguments.
    """
    if not isinstance(tools, list | tuple) or not tools:
        raise ValueError("tools must be a list of at least one tool")
    catalogue: dict[str, Schema] = {}
    for tool in tools:
        inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str) or not inner["name"]:
            raise ValueError("each tool needs a name")
        given = [inner[key] for key in ("parameters", "inputSchema", "input_schema") if key in inner]
        schema = given[0] if given else {"type": "object", "properties": {}}
        if len(given) > 1 or not isinstance(schema, dict):
            raise ValueError(f"tool {inner['name']!r} needs one JSON Schema for its parameters")
        if inner["name"] in catalogue:
            raise ValueError(f"tool {inner['name']!r} is listed twice")
        catalogue[inner["name"]] = schema
    return catalogue


def read_calls(values: Sequence[Any], parse: Callable[[str], Any]) -> list[Call]:
    """Return the calls that the JSON `values` of one completion make, in order.

    A value is a call, a list of calls, or a message with `tool_calls`. A call is `{"name", "arguments"}`
    (`parameters` is a synonym of `arguments`) or OpenAI's `{"id", "type": "function", "function": {...}}`,
    whose arguments may be JSON in a string, which `parse` parses, or absent. An empty string and `null` are no
    arguments, like `{}`. A call may have no other keys. Raises `NotACallError`, and any exception that `parse` raises.
    """
    entries: list[Any] = []
    for value in values:
        if isinstance(value, dict) and "tool_calls" in value:
            entries += _message(value)
        else:
            entries += value if isinstance(value, list) else [value]
    if len(entries) > MAX_CALLS:
        raise NotACallError(f"more than {MAX_CALLS} calls")
    return [_call(entry, parse) for entry in entries]


def _message(value: dict[str, Any]) -> list[Any]:
    content_is_text = isinstance(value.get("content"), str | None)
    if (
        not value.keys() <= _MESSAGE_KEYS
        or value.get("role", "assistant") != "assistant"
        or not content_is_text
    ):
        raise NotACallError("not a message of an assistant")
    calls = value["tool_calls"]
    if not isinstance(calls, list) or value.get("refusal") is not None:
        raise NotACallError("tool_calls is not a list, or the message has a refusal")
    return calls


def _call(entry: Any, parse: Callable[[str], Any]) -> Call:
    if not isinstance(entry, dict):
        raise NotACallError(f"{type(entry).__name__} instead of a call")
    inner = entry
    if "function" in entry:
        inner = entry["function"]
        if not entry.keys() <= _ENTRY_KEYS or entry.get("type", "function") != "function":
            raise NotACallError("not a function call")
        if not isinstance(inner, dict):
            raise NotACallError("function is not an object")
    is_openai = inner is not entry
    keys = [key for key in _ARGUMENTS if key in inner]
    if len(keys) > 1 or not (keys or is_openai) or inner.keys() != {"name", *keys}:
        raise NotACallError("a call has a name and arguments, and nothing else")
    if not isinstance(inner["name"], str):
        raise NotACallError("the name of a call must be text")
    arguments = inner[keys[0]] if keys else None
    if arguments is None or (isinstance(arguments, str) and not arguments.strip()):
        return Call(inner["name"], {})
    if isinstance(arguments, str) and is_openai:
        arguments = parse(arguments)
    if not isinstance(arguments, dict):
        raise NotACallError("arguments must be an object")
    return Call(inner["name"], arguments)


def count_matches(
    calls: Sequence[Call], expected: Sequence[Expected], canonical: Callable[[Any], str], *, in_order: bool
) -> int:
    """Return how many of `expected` have a matching call, each a different one; with `in_order`, by position.

    `canonical` returns the form in which arguments are compared.
    """
    made = [(call.name, canonical(call.arguments)) for call in calls]
    if in_order:
        return sum(_matches(call, wanted) for call, wanted in zip(made, expected, strict=False))
    assigned: dict[int, int] = {}

    def assign(index: int, seen: set[int]) -> bool:
        """Assign a call to expectation `index`, reassigning earlier ones (augmenting path) if needed."""
        for number, call in enumerate(made):
            if number not in seen and _matches(call, expected[index]):
                seen.add(number)
                if number not in assigned or assign(assigned[number], seen):
                    assigned[number] = index
                    return True
        return False

    return sum(assign(index, set()) for index in range(len(expected)))


def _matches(call: tuple[str, str], wanted: Expected) -> bool:
    return call[0] == wanted.name and call[1] in wanted.accepted
