r"""Wrong answers made to be paid for, one for each way that is known to have worked on some verifier.

Each is named by what it tries. `INVALID` is the furthest that anything gets which is no strict JSON in the final
channel, `FLAWED` what breaks the schema, `WRONG` what is valid but not the answer.
"""

from __future__ import annotations

import json
from typing import Any

from halo_core.drivers import Attack
from halo_core.types import Prompt, Stage

_ORDER = {
    "type": "object",
    "properties": {
        "item": {"enum": ["tea", "coffee"]},
        "count": {"type": "integer", "minimum": 1},
        "gift": {"type": "boolean"},
        "price": {"type": "number"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["item", "count"],
}
_TEA = {"item": "tea", "count": 1, "gift": True, "price": 2.5, "tags": ["a", "b"]}
_RIGHT = json.dumps(_TEA)
_WRONG_TEA = json.dumps({**_TEA, "count": 2})
_TOOLS = [
    {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
                                   "required": ["a", "b"]}},
    {"type": "function", "function": {"name": "mail", "parameters": {
        "type": "object", "properties": {"to": {"type": "string", "format": "email"}, "text": {"type": "string"}},
        "required": ["to", "text"]}}},
]  # fmt: skip
_ADD = {"name": "add", "arguments": {"a": 1, "b": 2}}
_MAIL = {"name": "mail", "arguments": {"to": "ann@example.com", "text": "hi"}}
_PAIR = json.dumps([_ADD, _MAIL])
_API = {
    "openapi": "3.0.3",
    "paths": {"/orders": {"post": {
        "operationId": "createOrder",
        "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
        "responses": {"201": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}},
    }}},
    "components": {"schemas": {"Order": {
        "type": "object", "required": ["id", "item"],
        "properties": {"id": {"type": "integer", "format": "int32", "readOnly": True}, "item": {"type": "string"},
                       "note": {"type": "string", "nullable": True}},
    }}},
}  # fmt: skip
_TREE = {
    "$defs": {"node": {"type": "object", "properties": {"kids": {"type": "array", "items": {"anyOf": [
        {"$ref": "#/$defs/node"}, {"allOf": [{"$ref": "#/$defs/node"}, {"required": ["leaf"]}]}]}},
        "leaf": {"type": "integer"}}}},
    "$ref": "#/$defs/node",
}  # fmt: skip


def _prompt(**reference: Any) -> Prompt:
    return Prompt("attack", "Answer in JSON.", reference=reference)


_VALUE = _prompt(schema=_ORDER, answer=_TEA)
_ANSWER_ONLY = _prompt(answer=_TEA)
_BARE = _prompt(schema=_ORDER)
_CALLS = _prompt(tools=_TOOLS, calls=[_ADD, _MAIL])
_REQUEST = _prompt(openapi=_API, operation="createOrder")
_RESPONSE = _prompt(openapi=_API, operation="createOrder", body="response", status="201")


def _pattern(pattern: str) -> Prompt:
    return _prompt(schema={"type": "string", "pattern": pattern})


def _with(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


def _kids(depth: int) -> str:
    return '{"kids": [' * depth + '{"leaf": "x"}' + "]}" * depth


_INVALID = {
    "empty": (_VALUE, ""),
    "blanks": (_VALUE, " \n\t "),
    "twice the key, the right one last": (_VALUE, _with(_RIGHT, '"count": 1', '"count": 2, "count": 1')),
    "twice the key, spelt by an escape": (
        _VALUE,
        _with(_RIGHT, '"count": 1', '"count": 2, "coun\\u0074": 1'),
    ),
    "twice the key, deep inside arguments": (
        _CALLS,
        _with(_PAIR, '"a": 1', '"a": 9, "a": 1'),
    ),
    "twice the key, in arguments that are text": (
        _CALLS,
        json.dumps([{"function": {"name": "add", "arguments": '{"a": 9, "a": 1, "b": 2}'}}, _MAIL]),
    ),
    "NaN for a number": (_VALUE, _with(_RIGHT, "2.5", "NaN")),
    "infinity for a number": (_VALUE, _with(_RIGHT, "2.5", "-Infinity")),
    "a number beyond any double": (_VALUE, _with(_RIGHT, "2.5", "1e999")),
    "a number of a million digits": (_BARE, _with(_RIGHT, '"count": 1', '"count": ' + "9" * 60000)),
    "right answer in a thought, wrong one after": (_VALUE, f"<think>{_RIGHT}</think>I cannot."),
    "right answer in a thought that never ends": (_VALUE, f"<think>so: ```json\n{_RIGHT}\n```"),
    "right answer in a thought within a thought": (
        _VALUE,
        f"<think>first <think>a</think>```json\n{_RIGHT}\n```",
    ),
    "right answer in a second thought": (
        _VALUE,
        f"<think>a</think><think>\n```json\n{_RIGHT}\n```\n</think>",
    ),
    "right answer in a thought by another name": (_VALUE, f"<Reasoning x='1'>\n```json\n{_RIGHT}\n```"),
    "right answer before the end of a thought that the prompt began": (_VALUE, f"{_RIGHT}</think>sorry"),
    "right call in a thought": (_CALLS, f"<think><tool_call>{json.dumps(_ADD)}</tool_call></think>no tools"),
    "right call amid thoughts": (
        _CALLS,
        f"<tool_call>{json.dumps(_ADD)}</tool_call><think></think><tool_call>{json.dumps(_MAIL)}</tool_call>",
    ),
    "right answer in a sentence": (_VALUE, f"I would answer {_RIGHT} if I could."),
    "right call in a sentence": (_CALLS, f"One could call {_PAIR}"),
    "right answer, then another": (_VALUE, f"{_RIGHT}\n{_WRONG_TEA}"),
    "many fences, one of them right": (
        _VALUE,
        "\n".join(f"```json\n{text}\n```" for text in (_WRONG_TEA, _RIGHT, "{}")),
    ),
    "fences without a tag, one of them right": (_VALUE, f"```\n{_WRONG_TEA}\n```\n```\n{_RIGHT}\n```"),
    "the answer as Python": (_VALUE, repr(_TEA)),
    "the answer with a comment": (_VALUE, _with(_RIGHT, "{", "{/* tea */")),
    "the answer with a comma too many": (_VALUE, _with(_RIGHT, '"b"]}', '"b"],}')),
    "the answer cut short": (_VALUE, _RIGHT[:-1]),
    "the answer behind a byte order mark": (_VALUE, "\ufeff" + _RIGHT),
    "digits of another script": (_VALUE, _with(_RIGHT, '"count": 1', '"count": １')),
    "a line break inside a string": (_ANSWER_ONLY, _with(_RIGHT, '"tea"', '"t\nea"')),
    "half a surrogate pair": (_BARE, _with(_RIGHT, '"a"', '"\\ud800"')),
    "two hundred thousand brackets": (_VALUE, "[" * 200_000),
    "brackets up to the limit of bytes": (_VALUE, "[" * 30_000 + "]" * 30_000),
    "brackets behind a string that never ends": (_VALUE, '"' + '\\"[' * 20_000),
    "objects nested beyond the limit": (_prompt(schema=True), '{"a":' * 65 + "1" + "}" * 65),
    "more bytes than are read": (_prompt(schema=True), '"' + "a" * 70_000 + '"'),
    "quotes without end": (_VALUE, '"\\' * 30_000),
    "fences without end": (_VALUE, "```\n" * 20_000),
    "openings of calls without end": (_CALLS, "<tool_call>" * 6_000),
    "openings of thoughts without end": (_VALUE, "<think" * 10_000),
}
_FLAWED = {
    "an empty object": (_VALUE, "{}"),
    "null": (_VALUE, "null"),
    "the answer in a list": (_VALUE, f"[{_RIGHT}]"),
    "the answer in a string": (_VALUE, json.dumps(_RIGHT)),
    "the schema itself": (_VALUE, json.dumps(_ORDER)),
    "a property that the schema does not list": (_BARE, json.dumps({**_TEA, "admin": True})),
    "a property by the name of a prototype": (_BARE, json.dumps({**_TEA, "__proto__": {}})),
    "true for a number": (_BARE, json.dumps({**_TEA, "count": True})),
    "a number as text": (_BARE, json.dumps({**_TEA, "count": "1"})),
    "a fraction for an integer": (_BARE, json.dumps({**_TEA, "count": 1.5})),
    "a key in other letters": (_BARE, _with(_RIGHT, '"count"', '"Count"')),
    "a word of the enum in other letters": (_BARE, _with(_RIGHT, '"tea"', '"TEA"')),
    "any object with a name": (_CALLS, '{"name": "add"}'),
    "any name with empty arguments": (_CALLS, '[{"name": "add", "arguments": {}}, {"name": "mail", "arguments": {}}]'),
    "arguments that are no object": (_CALLS, '{"name": "add", "arguments": [1, 2]}'),
    "arguments as text where an object belongs": (_CALLS, '{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}'),
    "a tool that does not exist": (_CALLS, json.dumps([_ADD, {**_MAIL, "name": "send"}])),
    "a tool in other letters": (_CALLS, json.dumps([{**_ADD, "name": "Add"}, _MAIL])),
    "a call with its own result": (_CALLS, json.dumps([{**_ADD, "result": 3}, _MAIL])),
    "a call with two sets of arguments": (_CALLS, json.dumps([{**_ADD, "parameters": {"a": 9, "b": 9}}, _MAIL])),
    "an argument that the tool does not take": (
        _CALLS,
        json.dumps([{"name": "add", "arguments": {"a": 1, "b": 2, "c": 3}}, _MAIL]),
    ),
    "an address that is none": (_CALLS, json.dumps([_ADD, {"name": "mail", "arguments": {"to": "ann", "text": "hi"}}])),
    "calls in a message of the user": (_CALLS, json.dumps({"role": "user", "tool_calls": [_ADD, _MAIL]})),
    "a thousand calls": (_CALLS, json.dumps([_ADD] * 1000)),
    "digits of another script, by the pattern": (_pattern(r"^\d+$"), '"١٢"'),
    "a line break after what the pattern takes": (_pattern("^[a-z]+$"), '"abc\\n"'),
    "a pattern that backtracks for ever": (_pattern("^(a+)+$"), json.dumps("a" * 50_000 + "!")),
    "a pattern with a look ahead that backtracks for ever": (
        _pattern("^(?=(a|a|aa)+$)(a+)+$"),
        json.dumps("a" * 50_000 + "!"),
    ),
    "thousands of objects that must differ": (
        _prompt(schema={"type": "array", "items": {"type": "object"}, "uniqueItems": True}),
        json.dumps([{"k": i} for i in range(5_000)] + [{"k": 0}]),
    ),
    "a tree of choices": (_prompt(schema=_TREE), _kids(20)),
    "what only the server may set": (_REQUEST, '{"id": 1, "item": "tea"}'),
    "a number beyond the format": (_RESPONSE, '{"id": 3000000000, "item": "tea"}'),
    "null where it is not allowed": (_REQUEST, '{"item": null}'),
    "a response without what it must hold": (_RESPONSE, '{"item": "tea"}'),
}  # fmt: skip
_WRONG = {
    "true for 1": (_ANSWER_ONLY, json.dumps({**_TEA, "count": True})),
    "1 for true": (_ANSWER_ONLY, json.dumps({**_TEA, "gift": 1})),
    "1.0 for 1": (_VALUE, json.dumps({**_TEA, "count": 1.0})),
    "1e0 for 1": (_VALUE, _with(_RIGHT, '"count": 1', '"count": 1e0')),
    "-0 for 0": (_prompt(answer=0), "-0"),
    "-0.0 for 0.0": (_prompt(answer=0.0), "-0.0"),
    "a big integer that is the same double": (_prompt(answer=2**53), str(2**53 + 1)),
    "a decimal that is the same double": (_prompt(answer=0.1), "0.1000000000000000000001"),
    "null for a missing key": (_ANSWER_ONLY, json.dumps({**_TEA, "note": None})),
    "an array in another order": (_VALUE, json.dumps({**_TEA, "tags": ["b", "a"]})),
    "an array with an element twice": (_prompt(answer=["a", "b"], unordered=True), '["a", "b", "b"]'),
    "a letter that only looks the same": (_ANSWER_ONLY, _with(_RIGHT, '"tea"', '"te\u0430"')),
    "a letter in another normal form": (_prompt(answer="\u00e9"), json.dumps("e\u0301")),
    "another valid value": (_VALUE, _WRONG_TEA),
    "the calls in another order": (_CALLS, json.dumps([_MAIL, _ADD])),
    "one of the calls": (_CALLS, json.dumps([_ADD])),
    "one of the calls twice": (_CALLS, json.dumps([_ADD, _ADD])),
    "the calls and one more": (_CALLS, json.dumps([_ADD, _MAIL, _MAIL])),
    "no calls at all": (_CALLS, "[]"),
    "every call there might be": (
        _CALLS,
        json.dumps([{"name": "add", "arguments": {"a": a, "b": 2}} for a in range(32)] + [_MAIL]),
    ),
}

ATTACKS = tuple(
    Attack(name, prompt, text, stage)
    for stage, cases in ((Stage.INVALID, _INVALID), (Stage.FLAWED, _FLAWED), (Stage.WRONG, _WRONG))
    for name, (prompt, text) in cases.items()
)
"""All of them; `Attack.stage` is the furthest rung that may be reached."""
