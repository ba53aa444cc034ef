"""Calls of tools, for verifier `jsonschema`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Any

from halo_core.data.recipes.reading import Row, identity, text_of, value_of
from halo_core.errors import DataError

_TYPES = {
    "dict": "object",
    "float": "number",
    "double": "number",
    "int": "integer",
    "str": "string",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "any": "",
    "long": "integer",
    "char": "string",
}
"""Types of JSON Schema for those of Python and Java."""
_MOST = 1000
"""Combinations of accepted arguments of one call."""


def xlam(row: Row, place: str, databases: str) -> dict[str, Any]:
    """xLAM: `query`, and `tools` and `answers` as JSON text; parameters have the types of Python."""
    tools = [
        {**tool, "parameters": _xlam_schema(tool.get("parameters") or {})}
        for tool in _objects(value_of(row, place, "tools"), f"{place}: tools")
    ]
    calls = [
        {"name": call["name"], "arguments": call.get("arguments") or {}}
        for call in _objects(value_of(row, place, "answers"), f"{place}: answers")
    ]
    reference = {"tools": tools, "calls": calls, "order": "any"}
    return {
        "messages": _chat(tools, text_of(row, place, "query")),
        "reference": reference,
        **identity(row, "id"),
    }


def bfcl(row: Row, place: str, databases: str) -> dict[str, Any]:
    """BFCL: `question` (chats), `function`, and `ground_truth`: for each call its accepted arguments.

    The published ground truth is in files of its own: add it to the rows first.
    """
    tools = [
        {**tool, "parameters": _typed(tool.get("parameters") or {})}
        for tool in _objects(value_of(row, place, "function"), f"{place}: function")
    ]
    truth = value_of(row, place, "ground_truth", "possible_answer")
    calls = [
        _accepted(name, given, place)
        for call in _objects(truth, f"{place}: ground_truth")
        for name, given in call.items()
    ]
    question = (
        value_of(row, place, "question") if not isinstance(row.get("question"), str) else row["question"]
    )
    turns = (
        question[0] if isinstance(question, list) and question and isinstance(question[0], list) else question
    )
    own = (
        [{"role": "user", "content": turns}]
        if isinstance(turns, str)
        else [
            {"role": str(turn["role"]), "content": str(turn["content"])}
            for turn in _objects(turns, f"{place}: question")
        ]
    )
    reference = {"tools": tools, "calls": calls, "order": "any"}
    return {"messages": [*_chat(tools), *own], "reference": reference, **identity(row, "id")}


def _chat(tools: list[dict[str, Any]], query: str = "") -> list[dict[str, str]]:
    shown = "\n".join(json.dumps(tool) for tool in tools)
    text = (
        f"You can call these tools:\n{shown}\n\nAnswer with a JSON list of calls only: "
        '[{"name": "...", "arguments": {...}}]'
    )
    return [{"role": "system", "content": text}, *([{"role": "user", "content": query}] if query else [])]


def _objects(value: Any, place: str) -> list[dict[str, Any]]:
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(each, Mapping) for each in found):
        raise DataError(f"{place}: not a list of objects")
    return [_without_nulls(each) for each in found]


def _without_nulls(value: Any) -> Any:
    """Return a value without keys that are null: a column of mappings has the keys of all rows in each."""
    if isinstance(value, Mapping):
        return {key: _without_nulls(each) for key, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _typed(schema: Any) -> Any:
    """Return a schema with the types of JSON Schema."""
    if isinstance(schema, list):
        return [_typed(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: _typed(value) for key, value in schema.items() if key not in ("type", "optional")}
    if "properties" in schema and isinstance(schema["properties"], Mapping):
        made["properties"] = {name: _typed(value) for name, value in schema["properties"].items()}
    kind = schema.get("type")
    if isinstance(kind, str):
        name = _TYPES.get(kind.lower(), kind.lower())
        return made | {"type": name} if name else made
    return made if kind is None else made | {"type": kind}


def _xlam_schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    if parameters.get("type") == "object":
        return dict(parameters)
    required = [
        name
        for name, each in parameters.items()
        if "optional" not in str(each.get("type", "")) and "default" not in each
    ]
    properties = {
        name: {"description": each.get("description", ""), **_python_type(str(each.get("type", "")))}
        for name, each in parameters.items()
    }
    return {"type": "object", "properties": properties, "required": required}


def _python_type(text: str) -> dict[str, Any]:
    """Return the schema of a Python annotation as text: `str, optional`, `List[int]`, `Union[int, str]`."""
    text = re.sub(r",\s*(optional|default).*$", "", text).strip()
    name, bracket, inner = text.partition("[")
    inner = inner.rpartition("]")[0] if bracket else ""
    match name.lower():
        case "optional":
            return _python_type(inner)
        case "union":
            return {"anyOf": [_python_type(part) for part in _parts(inner)]}
        case "list" | "set":
            return {"type": "array", **({"items": items} if inner and (items := _python_type(inner)) else {})}
        case _:
            kind = _TYPES.get(name.lower(), "")
            return {"type": kind} if kind else {}


def _parts(text: str) -> list[str]:
    """Split at the commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += {"[": 1, "]": -1}.get(letter, 0)
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _accepted(name: str, given: Any, place: str) -> dict[str, Any]:
    """Return a call with every accepted combination of arguments; an accepted empty text means: may be left out."""
    if not isinstance(given, Mapping):
        raise DataError(f"{place}: ground_truth: the arguments of {name!r} are not an object")
    choices = {key: values if isinstance(values, list) else [values] for key, values in given.items()}
    if prod(map(len, choices.values())) > _MOST:
        raise DataError(
            f"{place}: the call of {name!r} has more than {_MOST} accepted arguments",
            hint="leave the row out",
        )
    found = [
        {key: _inner(value) for key, value in zip(choices, values, strict=True) if value != ""}
        for values in product(*choices.values())
    ]
    return {"name": name, "arguments": found[0]} if len(found) == 1 else {"name": name, "any_of": found}


def _inner(value: Any) -> Any:
    """Return an accepted value; in an object each key lists its accepted values, of which the first is taken."""
    if isinstance(value, Mapping):
        first = {key: each[0] if isinstance(each, list) and each else each for key, each in value.items()}
        return {key: _inner(each) for key, each in first.items() if each != ""}
    return [_inner(each) for each in value] if isinstance(value, list) else value
