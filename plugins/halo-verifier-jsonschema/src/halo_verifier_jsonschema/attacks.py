r"""Wrong answers crafted to be accepted, one for each trick that is known to have deceived a verifier.

Each name describes the trick. The highest possible stage is `INVALID` without strict JSON in the final channel,
`FLAWED` for JSON that violates the schema, and `WRONG` for valid JSON that is not the answer.
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
_ANSWER = {"item": "tea", "count": 1, "gift": True, "price": 2.5, "tags": ["a", "b"]}
_CORRECT = json.dumps(_ANSWER)
_OTHER_TEXT = json.dumps({**_ANSWER, "count": 2})
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
_EMAIL = {"type": "object", "properties": {"email": {"type": "string"}}, "required": ["email"]}
_PHONE = {"type": "object", "properties": {"email": {"type": "string"}, "phone": {"type": "string"}},
          "required": ["phone"]}  # fmt: skip
_CONTACT = {"oneOf": [_EMAIL, _PHONE]}
_TWO_CONTACTS = {"email": "a@b.c", "phone": "1"}
_CONTACT_API = {
    "openapi": "3.1.0",
    "paths": {"/contacts": {"post": {"requestBody": {"content": {"application/json": {"schema": {
        "oneOf": [{"$ref": "#/components/schemas/Email"}, {"$ref": "#/components/schemas/Phone"}]}}}}}}},
    "components": {"schemas": {"Email": _EMAIL, "Phone": _PHONE}},
}  # fmt: skip


def _prompt(**reference: Any) -> Prompt:
    return Prompt("attack", "Answer in JSON.", reference=reference)


_WITH_BOTH = _prompt(schema=_ORDER, answer=_ANSWER)
_WITHOUT_SCHEMA = _prompt(answer=_ANSWER)
_WITHOUT_ANSWER = _prompt(schema=_ORDER)
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
    "empty": (_WITH_BOTH, ""),
    "whitespace only": (_WITH_BOTH, " \n\t "),
    "duplicate key, the correct one last": (
        _WITH_BOTH,
        _with(_CORRECT, '"count": 1', '"count": 2, "count": 1'),
    ),
    "duplicate key, spelled with an escape": (
        _WITH_BOTH,
        _with(_CORRECT, '"count": 1', '"count": 2, "coun\\u0074": 1'),
    ),
    "duplicate key, inside arguments": (
        _CALLS,
        _with(_PAIR, '"a": 1', '"a": 9, "a": 1'),
    ),
    "duplicate key, in arguments given as text": (
        _CALLS,
        json.dumps([{"function": {"name": "add", "arguments": '{"a": 9, "a": 1, "b": 2}'}}, _MAIL]),
    ),
    "NaN for a number": (_WITH_BOTH, _with(_CORRECT, "2.5", "NaN")),
    "infinity for a number": (_WITH_BOTH, _with(_CORRECT, "2.5", "-Infinity")),
    "a number beyond a double's range": (_WITH_BOTH, _with(_CORRECT, "2.5", "1e999")),
    "a number of 60,000 digits": (_WITHOUT_ANSWER, _with(_CORRECT, '"count": 1', '"count": ' + "9" * 60000)),
    "correct answer in the reasoning, a refusal after it": (
        _WITH_BOTH,
        f"<think>{_CORRECT}</think>I cannot.",
    ),
    "correct answer in unclosed reasoning": (_WITH_BOTH, f"<think>so: ```json\n{_CORRECT}\n```"),
    "correct answer in nested reasoning": (
        _WITH_BOTH,
        f"<think>first <think>a</think>```json\n{_CORRECT}\n```",
    ),
    "correct answer in a second reasoning block": (
        _WITH_BOTH,
        f"<think>a</think><think>\n```json\n{_CORRECT}\n```\n</think>",
    ),
    "correct answer in reasoning with another tag": (
        _WITH_BOTH,
        f"<Reasoning x='1'>\n```json\n{_CORRECT}\n```",
    ),
    "correct answer before the end of reasoning that the prompt opened": (
        _WITH_BOTH,
        f"{_CORRECT}</think>sorry",
    ),
    "correct call in the reasoning": (
        _CALLS,
        f"<think><tool_call>{json.dumps(_ADD)}</tool_call></think>no tools",
    ),
    "correct calls with reasoning between them": (
        _CALLS,
        f"<tool_call>{json.dumps(_ADD)}</tool_call><think></think><tool_call>{json.dumps(_MAIL)}</tool_call>",
    ),
    "correct answer in reasoning after prose": (
        _WITH_BOTH,
        f"Let me see. <think>\n```json\n{_CORRECT}\n```\n",
    ),
    "correct answer, then reasoning that never ends": (_WITH_BOTH, f"{_CORRECT}\n<think>Or not?"),
    "correct answer in a second thought": (_WITH_BOTH, f"<think>a</think>\n<think>{_CORRECT}</think>"),
    "an answer split by reasoning": (
        _WITH_BOTH,
        _with(_CORRECT, '"count": 1', '"count": <think>1?</think> 1'),
    ),
    "another answer, then reasoning, then the correct one": (
        _WITH_BOTH,
        f"{_OTHER_TEXT}<think></think>{_CORRECT}",
    ),
    "another answer before a fence with the correct one": (
        _WITH_BOTH,
        f"{_OTHER_TEXT}\n```json\n{_CORRECT}\n```",
    ),
    "two fenced blocks, the first closed on its last line": (
        _WITH_BOTH,
        f"```json\n{_CORRECT}```\n```json\n{_OTHER_TEXT}\n```",
    ),
    "two fenced blocks, each on one line": (_WITH_BOTH, f"```json {_CORRECT}```\n```json {_OTHER_TEXT}```"),
    "correct calls after an unclosed string with a tag": (
        _CALLS,
        '<tool_call>{"name": "</tool_call>'
        + "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in (_ADD, _MAIL)),
    ),
    "correct calls in tags, and another without": (
        _CALLS,
        f"<tool_call>{json.dumps(_ADD)}</tool_call>\n<tool_call>{json.dumps(_MAIL)}</tool_call>\n"
        + json.dumps({**_MAIL, "arguments": {"to": "eve@example.com", "text": "hi"}}),
    ),
    "correct answer in a sentence": (_WITH_BOTH, f"I would answer {_CORRECT} if I could."),
    "correct call in a sentence": (_CALLS, f"One could call {_PAIR}"),
    "correct answer, then another": (_WITH_BOTH, f"{_CORRECT}\n{_OTHER_TEXT}"),
    "many fenced blocks, one of them correct": (
        _WITH_BOTH,
        "\n".join(f"```json\n{text}\n```" for text in (_OTHER_TEXT, _CORRECT, "{}")),
    ),
    "fenced blocks without a tag, one of them correct": (
        _WITH_BOTH,
        f"```\n{_OTHER_TEXT}\n```\n```\n{_CORRECT}\n```",
    ),
    "the answer as Python": (_WITH_BOTH, repr(_ANSWER)),
    "the answer with a comment": (_WITH_BOTH, _with(_CORRECT, "{", "{/* tea */")),
    "the answer with a trailing comma": (_WITH_BOTH, _with(_CORRECT, '"b"]}', '"b"],}')),
    "the answer, truncated": (_WITH_BOTH, _CORRECT[:-1]),
    "the answer after a byte order mark": (_WITH_BOTH, "\ufeff" + _CORRECT),
    "digits of another script": (_WITH_BOTH, _with(_CORRECT, '"count": 1', '"count": １')),
    "a line break inside a string": (_WITHOUT_SCHEMA, _with(_CORRECT, '"tea"', '"t\nea"')),
    "a lone surrogate": (_WITHOUT_ANSWER, _with(_CORRECT, '"a"', '"\\ud800"')),
    "two hundred thousand brackets": (_WITH_BOTH, "[" * 200_000),
    "brackets up to the size limit": (_WITH_BOTH, "[" * 30_000 + "]" * 30_000),
    "brackets after an unclosed string": (_WITH_BOTH, '"' + '\\"[' * 20_000),
    "objects nested beyond the depth limit": (_prompt(schema=True), '{"a":' * 65 + "1" + "}" * 65),
    "more bytes than the size limit": (_prompt(schema=True), '"' + "a" * 70_000 + '"'),
    "unclosed quotes": (_WITH_BOTH, '"\\' * 30_000),
    "unclosed fences": (_WITH_BOTH, "```\n" * 20_000),
    "unclosed tool calls": (_CALLS, "<tool_call>" * 6_000),
    "unclosed reasoning tags": (_WITH_BOTH, "<think" * 10_000),
}
_FLAWED = {
    "an empty object": (_WITH_BOTH, "{}"),
    "null": (_WITH_BOTH, "null"),
    "the answer in a list": (_WITH_BOTH, f"[{_CORRECT}]"),
    "the answer in a string": (_WITH_BOTH, json.dumps(_CORRECT)),
    "the schema itself": (_WITH_BOTH, json.dumps(_ORDER)),
    "a property that the schema does not list": (_WITHOUT_ANSWER, json.dumps({**_ANSWER, "admin": True})),
    "a property named __proto__": (_WITHOUT_ANSWER, json.dumps({**_ANSWER, "__proto__": {}})),
    "true for a number": (_WITHOUT_ANSWER, json.dumps({**_ANSWER, "count": True})),
    "a number as text": (_WITHOUT_ANSWER, json.dumps({**_ANSWER, "count": "1"})),
    "a fraction for an integer": (_WITHOUT_ANSWER, json.dumps({**_ANSWER, "count": 1.5})),
    "a key in another case": (_WITHOUT_ANSWER, _with(_CORRECT, '"count"', '"Count"')),
    "an enum value in another case": (_WITHOUT_ANSWER, _with(_CORRECT, '"tea"', '"TEA"')),
    "a call with only a name": (_CALLS, '{"name": "add"}'),
    "calls with empty arguments": (_CALLS, '[{"name": "add", "arguments": {}}, {"name": "mail", "arguments": {}}]'),
    "arguments that are not an object": (_CALLS, '{"name": "add", "arguments": [1, 2]}'),
    "calls in OpenAI's form with empty arguments": (
        _CALLS,
        json.dumps([{"function": {"name": "add", "arguments": ""}}, {"function": {"name": "mail", "arguments": ""}}]),
    ),
    "arguments as text instead of an object": (_CALLS, '{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}'),
    "a tool that does not exist": (_CALLS, json.dumps([_ADD, {**_MAIL, "name": "send"}])),
    "a tool in another case": (_CALLS, json.dumps([{**_ADD, "name": "Add"}, _MAIL])),
    "a call with its own result": (_CALLS, json.dumps([{**_ADD, "result": 3}, _MAIL])),
    "a call with two sets of arguments": (_CALLS, json.dumps([{**_ADD, "parameters": {"a": 9, "b": 9}}, _MAIL])),
    "an argument that the tool does not accept": (
        _CALLS,
        json.dumps([{"name": "add", "arguments": {"a": 1, "b": 2, "c": 3}}, _MAIL]),
    ),
    "an invalid email": (_CALLS, json.dumps([_ADD, {"name": "mail", "arguments": {"to": "ann", "text": "hi"}}])),
    "calls in a user message": (_CALLS, json.dumps({"role": "user", "tool_calls": [_ADD, _MAIL]})),
    "a thousand calls": (_CALLS, json.dumps([_ADD] * 1000)),
    "digits of another script, for a pattern": (_pattern(r"^\d+$"), '"١٢"'),
    "a line break after the pattern's match": (_pattern("^[a-z]+$"), '"abc\\n"'),
    "a pattern with exponential backtracking": (_pattern("^(a+)+$"), json.dumps("a" * 50_000 + "!")),
    "a lookahead pattern with exponential backtracking": (
        _pattern("^(?=(a|a|aa)+$)(a+)+$"),
        json.dumps("a" * 50_000 + "!"),
    ),
    "thousands of objects under uniqueItems": (
        _prompt(schema={"type": "array", "items": {"type": "object"}, "uniqueItems": True}),
        json.dumps([{"k": i} for i in range(5_000)] + [{"k": 0}]),
    ),
    "a recursive schema with alternatives": (_prompt(schema=_TREE), _kids(20)),
    "a property that only the server may set": (_REQUEST, '{"id": 1, "item": "tea"}'),
    "a number beyond the format's range": (_RESPONSE, '{"id": 3000000000, "item": "tea"}'),
    "null for a property that is not nullable": (_REQUEST, '{"item": null}'),
    "two branches of oneOf, of which one lists all properties": (_prompt(schema=_CONTACT), json.dumps(_TWO_CONTACTS)),
    "two branches of oneOf in an array": (
        _prompt(schema={"type": "array", "items": _CONTACT}), json.dumps([{"email": "a@b.c"}, _TWO_CONTACTS])
    ),
    "two branches of oneOf behind references": (
        _prompt(schema={"$defs": {"e": _EMAIL, "p": _PHONE}, "oneOf": [{"$ref": "#/$defs/e"}, {"$ref": "#/$defs/p"}]}),
        json.dumps(_TWO_CONTACTS),
    ),
    "two branches of oneOf in arguments": (
        _prompt(tools=[{"name": "add", "parameters": {"type": "object", "properties": {"to": _CONTACT}}}]),
        json.dumps({"name": "add", "arguments": {"to": _TWO_CONTACTS}}),
    ),
    "two branches of oneOf in a body": (
        _prompt(openapi=_CONTACT_API, operation="post /contacts"), json.dumps(_TWO_CONTACTS)
    ),
    "a response without a required property": (_RESPONSE, '{"item": "tea"}'),
}  # fmt: skip
_WRONG = {
    "true for 1": (_WITHOUT_SCHEMA, json.dumps({**_ANSWER, "count": True})),
    "1 for true": (_WITHOUT_SCHEMA, json.dumps({**_ANSWER, "gift": 1})),
    "1.0 for 1": (_WITH_BOTH, json.dumps({**_ANSWER, "count": 1.0})),
    "1e0 for 1": (_WITH_BOTH, _with(_CORRECT, '"count": 1', '"count": 1e0')),
    "-0 for 0": (_prompt(answer=0), "-0"),
    "-0.0 for 0.0": (_prompt(answer=0.0), "-0.0"),
    "a large integer that rounds to the same double": (_prompt(answer=2**53), str(2**53 + 1)),
    "a decimal that rounds to the same double": (_prompt(answer=0.1), "0.1000000000000000000001"),
    "null for a missing key": (_WITHOUT_SCHEMA, json.dumps({**_ANSWER, "note": None})),
    "an array in another order": (_WITH_BOTH, json.dumps({**_ANSWER, "tags": ["b", "a"]})),
    "an array with a duplicate element": (_prompt(answer=["a", "b"], unordered=True), '["a", "b", "b"]'),
    "a look-alike letter": (_WITHOUT_SCHEMA, _with(_CORRECT, '"tea"', '"te\u0430"')),
    "a letter in another Unicode normal form": (_prompt(answer="\u00e9"), json.dumps("e\u0301")),
    "another valid value": (_WITH_BOTH, _OTHER_TEXT),
    "the calls in another order": (_CALLS, json.dumps([_MAIL, _ADD])),
    "one of the calls": (_CALLS, json.dumps([_ADD])),
    "one of the calls, made twice": (_CALLS, json.dumps([_ADD, _ADD])),
    "the calls and an additional one": (_CALLS, json.dumps([_ADD, _MAIL, _MAIL])),
    "no calls at all": (_CALLS, "[]"),
    "every possible call": (
        _CALLS,
        json.dumps([{"name": "add", "arguments": {"a": a, "b": 2}} for a in range(32)] + [_MAIL]),
    ),
}

ATTACKS = tuple(
    Attack(name, prompt, text, stage)
    for stage, cases in ((Stage.INVALID, _INVALID), (Stage.FLAWED, _FLAWED), (Stage.WRONG, _WRONG))
    for name, (prompt, text) in cases.items()
)
"""All attacks; `Attack.stage` is the highest stage that the attack may reach."""
