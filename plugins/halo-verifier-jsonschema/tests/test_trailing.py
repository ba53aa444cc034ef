"""`trailing_text=true`: an explanation may follow the answer, another answer may not."""

import json
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Status
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_jsonschema.rivals import contradicts

TOOLS = [
    {
        "name": "add",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    }
]
CALL = {"name": "add", "arguments": {"a": 1, "b": 2}}
GOOD, BAD = json.dumps(CALL), json.dumps({"name": "add", "arguments": {"a": 9, "b": 9}})
CALLS = {"tools": TOOLS, "calls": [CALL]}
OPENAI = json.dumps({"type": "function", "function": {"name": "add", "arguments": "{}"}})


@pytest.mark.parametrize(
    "rest",
    [
        BAD,
        f"\n{BAD}",
        f" or {BAD}",
        f"\n\nNo, wait, I should call {BAD} instead.",
        f"\n{GOOD}",
        f"\n[{BAD}]",
        f"\n{OPENAI}",
        f"\n{json.dumps({'tool_calls': [json.loads(OPENAI)]})}",
        f"\n{json.dumps({'calls': [json.loads(BAD)]})}",
        f"\n{BAD[:-1]}",
        f"\n{BAD.replace('arguments', 'parameters')}",
        f"\n{BAD.replace('name', chr(92) + 'u006eame')}",
        "\n{'name': 'add', 'arguments': {'a': 9}}",
        f"\n```json\n{BAD}\n```",
        f"\n<tool_call>{BAD}</tool_call>",
        f"\n<tool_call>{BAD}",
        '\n{"name": "add"}',
        '\n{"recipient": "add", "args": {"a": 9}}',
        "\n<function=add></function>",
        '\n<invoke name="add">',
        '\n{"tool": "add"}',
        "[" * 100 + BAD,
        '[1, "' * 2000 + BAD,
    ],
)
def test_a_second_call_fails(check: Any, rest: str) -> None:
    assert check(GOOD + rest, CALLS, trailing_text=True).status is Status.FAIL
    assert check(f"[{GOOD}]" + rest, CALLS, trailing_text=True).status is Status.FAIL
    assert check(GOOD + rest, {"tools": TOOLS}, trailing_text=True).status is Status.FAIL
    if "`" not in rest:
        assert check(f"```json\n{GOOD}{rest}\n```", CALLS, trailing_text=True).status is Status.FAIL
        assert check(f"<tool_call>{GOOD}{rest}</tool_call>", CALLS, trailing_text=True).status is Status.FAIL


@pytest.mark.parametrize(
    "rest",
    [
        "",
        ".",
        "\nDone.",
        "\n\nThis adds 1 and 2 (which is 3).",
        '\nIt will return {"sum": 3}.',
        "\nThe [tool] adds {numbers}, see [1].",
        '\nThe "name" is add.',
        "\nadd(1, 2) is 3",
        f"\n<think>Or {BAD}?</think>",
        f"\n<think>{BAD}</think> Done.",
    ],
)
def test_an_explanation_after_a_call_passes(check: Any, rest: str) -> None:
    assert check(GOOD + rest, CALLS, trailing_text=True).status is Status.PASS


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ({"a": 1}, '\n{"a": 2}'),
        ({"a": 1}, ' or maybe {"a": 2}.'),
        ({"a": 1}, '\nNo: the right answer is {"a": 2}, I think.'),
        ({"a": 1}, '\n[{"a": 2}]'),
        ({"a": 1}, '\n{"a": 2,}'),
        ({"a": 1}, "\n{'a': 2}"),
        ({"a": 1}, '\n{"a": 1, "b": 2}'),
        ({"a": 1}, '\n{"a": true}'),
        ({"a": 1}, '\n{"a": 1.0}'),
        ({"a": 1}, "\n{}"),
        ({"a": 1}, " or null"),
        ({"a": 1}, '\n{"a": 2, "a": 1}'),
        ({"a": 1}, '\n{"a": 1e999}'),
        ([1, 2], " or [2, 1]"),
        ([1, 2], "\n{}"),
        ([1, 2], "\nor rather: [1, 2, 3]"),
        (1, " or 2"),
        (1, ", 2"),
        (1, "\n2"),
        (1, "\nHm, wait.\n\n**2**"),
        (1, " -1"),
        (1, "\n- 2"),
        (True, ", or false"),
        ("x", ' or "y"'),
        (None, '\n{"a": 2}'),
    ],
)
def test_another_value_fails(check: Any, answer: Any, rest: str) -> None:
    for reference in ({"answer": answer}, {"schema": True}):
        assert check(json.dumps(answer) + rest, reference, trailing_text=True).status is Status.FAIL


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ({"a": 1}, "\nHere a is 1."),
        ({"a": 1}, ' is it, with "a" as 1 (see [1] and [2]).'),
        ({"a": {"b": 2}}, '\nThe part {"b": 2} is nested.'),
        ({"a": 1}, '\nAgain: {"a": 1}'),
        ({"a": 1}, "\nx[i] = {n}"),
        ({"a": [1, 2]}, "\nThe values [1, 2] are sorted."),
        ([{"a": 1}], '\nThe only item is {"a": 1}.'),
        (42, "\n6 * 7 = 42"),
        (42, " is it"),
        (42, " [1]"),
        (42, "\n\n1. 6 * 7 = 42\n2. Done"),
        (42, " (6 * 7)"),
        (42, ", not 43"),
        (42, "\n42"),
        ("x", " is the letter."),
        (True, "\nfalse would be wrong."),
    ],
)
def test_an_explanation_passes(check: Any, answer: Any, rest: str) -> None:
    assert check(json.dumps(answer) + rest, {"answer": answer}, trailing_text=True).status is Status.PASS


@pytest.mark.parametrize("depth", [100, 400, 900, 980, 1100, 5000])
def test_deep_nesting_never_raises(check: Any, depth: int) -> None:
    deep = '"' + '[{"a":' * (depth // 2) + "1" + "}]" * (depth // 2)
    for answer, reference in (({"a": 1}, {"answer": {"a": 1}}), (CALL, CALLS)):
        assert check(json.dumps(answer) + deep, reference, trailing_text=True).conclusive
        assert check(f"<tool_call>{json.dumps(answer)}</tool_call>{deep}", reference).conclusive
        assert check(f"{deep[1:]}\n```json\n{deep[1:]}\n```", reference).conclusive


def test_numbers_are_compared_as_the_option_says() -> None:
    assert contradicts({"a": 1}, '{"a": 1.0}', is_call=False, numbers="exact")
    assert not contradicts({"a": 1}, '{"a": 1.0}', is_call=False, numbers="value")


@pytest.mark.parametrize(
    "reference", [CALLS, {"answer": {"a": 1}}, {"answer": [1, 2]}, {"answer": 1}, {"answer": "x"}]
)
def test_no_mutant_passes(reference: dict[str, Any]) -> None:
    verifier, prompt = JSONSchema(trailing_text=True), Prompt("p", "t", reference=reference)
    for text in verifier.mutants(prompt):
        assert verifier.check(prompt, Completion("p", 0, text)).status is Status.FAIL, text
    for text in verifier.references(prompt):
        assert verifier.check(prompt, Completion("p", 0, text)).status is Status.PASS, text


def test_no_attack_passes() -> None:
    verifier = JSONSchema(trailing_text=True)
    for attack in verifier.attacks():
        verdict = verifier.check(attack.prompt, Completion("p", 0, attack.text))
        assert verdict.status is not Status.PASS, attack.name


def test_without_the_option_any_text_fails(check: Any) -> None:
    assert check(GOOD + ".", CALLS).status is Status.FAIL
    assert check(GOOD + BAD, CALLS).status is Status.FAIL


@pytest.mark.parametrize(
    ("rest", "right"),
    [
        ("\n{a: 2}", False),
        ("\n{a: 'x'}", False),
        ('\n"a": 2', False),
        ("\n'a': 2,", False),
        ('\n- "a": 2', False),
        ("\n{“a”: 2}", False),
        ("\n“a”: 2", False),
        ('\n\\u007b"a": 2}', False),
        ('\n"a": two', False),
        ('\n"b": [', False),
        ('\n"a": 1', True),
        ('\n"b": 1.5,', True),
        ('\nI chose "a": 1 for {this}.', True),
        ("\nThe form is {key: value}.", True),
        ('\n"c": 3 is not needed.', True),
        ("\nNote: a: 2 is another one.", True),
    ],
)
def test_a_second_object_in_another_notation_fails(check: Any, rest: str, right: bool) -> None:
    verdict = check('{"a": 1, "b": 1.5}' + rest, {"answer": {"a": 1, "b": 1.5}}, trailing_text=True)
    assert (verdict.status is Status.PASS) == right, verdict.detail
