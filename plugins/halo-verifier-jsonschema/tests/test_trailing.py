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


MANY_TOOLS = [
    *TOOLS,
    {
        "name": "sub",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
    {"name": "stop", "parameters": {"type": "object", "properties": {}}},
]
MANY = {"tools": MANY_TOOLS, "calls": [CALL]}


@pytest.mark.parametrize(
    "rest",
    [
        "\nActually call add with a=2.",
        "\nadd(a=2)",
        "\nadd(a=2, b=2)",
        "\nadd(2, 2)",
        "\nWait, use sub instead.",
        "\nActually, call sub with a=1 and b=2.",
        "\nThen call `sub`.",
        "\nsub(a=1, b=2)",
        "\nsub(1, 2)",
        "\nstop()",
        "\n[add(a=1, b=3)]",
        "\nadd {a: 2}",
        '\nadd: {"a": 2}',
        '\nadd({"a": 2, "b": 2})',
        '\nArguments should be {"a": 2, "b": 2}.',
        "\nAction: add\nAction Input: 2",
        "\nTool: sub",
        '\n<add a="2"/>',
        "\n<add><a>2</a></add>",
        "\n<tool_use>add</tool_use>",
        '\n<parameter name="a">2</parameter>',
        "\nto=functions.add",
        "\nActually, a should be 2.",
        "\nSorry, I meant b = 3.",
        "\nCorrection: set b to 3.",
        "\nWait, that is wrong.",
        "\nIgnore the above call.",
        "\nI made a mistake.",
        "\nDo not run this call.",
        "\nCall it again.",
        "\nActually call add with 5 and 6.",
        "\nNo, b must be 9.",
        "\nInstead, add should get 7.",
    ],
)
def test_a_second_call_in_words_or_in_another_syntax_fails(check: Any, rest: str) -> None:
    for text in (GOOD + rest, f"[{GOOD}]" + rest, GOOD + rest.replace("\n", " ", 1)):
        assert check(text, MANY, trailing_text=True).status is Status.FAIL, text


@pytest.mark.parametrize(
    "rest",
    [
        "\nHope this helps!",
        "\nLet me know if you need anything else.",
        "\nThis calls add with a=1 and b=2.",
        "\nadd(a=1, b=2) returns 3.",
        "\nI use add, not sub.",
        "\nThere is no need to call sub.",
        "\nI chose add instead of sub.",
        "\nThe add() function sums both.",
        "\nThe sum is 1 + 2 = 3.",
        "\nActually, this is easy.",
        "\nWait for the result before you go on.",
        "\nThis should return 3.",
        "\nHere a is 1 and b is 2.",
        "\nThe tool adds the numbers; the result is 3.",
        "\nIf the call is wrong, tell me.",
        "\nYou can run it as it is.",
        "\nIt is not a mistake to add here.",
    ],
)
def test_an_explanation_in_words_passes(check: Any, rest: str) -> None:
    verdict = check(GOOD + rest, MANY, trailing_text=True)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("rest", "right"),
    [
        (" Hope this helps!", True),
        ("\nThe age is 7, as you wrote.", True),
        ("\nage = 7", True),
        ("\nActually, Ann could also be short for Anna.", True),
        ("\nIf this is wrong, tell me.", True),
        ("\nThis is valid JSON.", True),
        ("\nage = 8", False),
        ("\nActually, the age should be 8.", False),
        ("\nSorry, name should be 'Bob'.", False),
        ("\nWait, that is wrong.", False),
        ("\nThe JSON is incorrect.", False),
        ("\nPlease ignore this.", False),
        ("\nOops, I made an error.", False),
        ("\nCorrection: age: 8", False),
        ("\nScratch that.", False),
    ],
)
def test_a_value_that_is_changed_or_taken_back_in_words_fails(check: Any, rest: str, right: bool) -> None:
    answer = {"name": "Ann", "age": 7}
    verdict = check(json.dumps(answer) + rest, {"answer": answer}, trailing_text=True)
    assert (verdict.status is Status.PASS) == right, verdict.detail


@pytest.mark.parametrize(
    ("before", "after", "right"),
    [
        ("Here is the JSON: ", "", True),
        ("Here is the JSON: ", "\nHope this helps!", True),
        ("Sure! The object is: ", " Done.", True),
        ("**Answer:** ", "", True),
        ("", " Hope this helps!", True),
        ('{"a": 2} or: ', "", False),
        ("It is 2, or: ", "", False),
        ("Here is the JSON ", "", False),
    ],
)
def test_an_introduction_on_the_same_line_needs_the_option(
    check: Any, before: str, after: str, right: bool
) -> None:
    text = f'{before}{{"a": 1}}{after}'
    verdict = check(text, {"answer": {"a": 1}}, trailing_text=True)
    assert (verdict.status is Status.PASS) == right, verdict.detail
    strictly = check(text, {"answer": {"a": 1}})
    assert strictly.status is Status.FAIL
    if right:
        assert "trailing_text=true" in strictly.detail
