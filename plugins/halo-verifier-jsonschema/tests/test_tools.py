"""Tool calls: their forms, the catalogue, and matching against the expected calls."""

import json
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Prompt, Stage, Status
from halo_verifier_jsonschema import JSONSchema

PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "tags": {"type": "array", "items": {"type": "string"}}},
    "required": ["a"],
}
TOOLS = [
    {"type": "function", "function": {"name": "f", "description": "d", "parameters": PARAMETERS}},
    {"name": "g", "inputSchema": PARAMETERS},
    {"name": "now"},
]
F1, F2, G1 = (
    {"name": "f", "arguments": {"a": 1}},
    {"name": "f", "arguments": {"a": 2}},
    {"name": "g", "arguments": {"a": 1}},
)


def reference(*calls: Any, **more: Any) -> dict[str, Any]:
    return {"tools": TOOLS, "calls": list(calls), **more}


def openai(call: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": "call_1",
        "type": "function",
        "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
        **more,
    }


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(F1),
        json.dumps([F1]),
        json.dumps({"arguments": {"a": 1}, "name": "f"}),
        json.dumps({"name": "f", "parameters": {"a": 1}}),
        json.dumps(openai(F1)),
        json.dumps([openai(F1, index=0)]),
        json.dumps({"function": F1}),
        json.dumps({"tool_calls": [F1]}),
        json.dumps(
            {"role": "assistant", "content": "I call f.", "refusal": None, "tool_calls": [openai(F1)]}
        ),
        f"<tool_call>\n{json.dumps(F1)}\n</tool_call>",
        f"I call f.\n<tool_call>{json.dumps(F1)}</tool_call>",
        f"```json\n{json.dumps(F1)}\n```",
        f"<think>f? g?</think>\n{json.dumps(F1)}",
    ],
)
def test_forms_of_a_call(check: Any, text: str) -> None:
    verdict = check(text, reference(F1))
    assert (verdict.status, verdict.score) == (Status.PASS, 1.0), verdict.detail


@pytest.mark.parametrize(
    ("text", "stage"),
    [
        ("f(a=1)", Stage.INVALID),
        (json.dumps({"function": {"name": "f", "arguments": "{'a': 1}"}}), Stage.INVALID),
        (json.dumps({"function": {"name": "f", "arguments": '{"a": 1} '} | {"x": 1}}), Stage.FLAWED),
        ("1", Stage.FLAWED),
        ("[1]", Stage.FLAWED),
        ("[[]]", Stage.FLAWED),
        (json.dumps({"name": "f"}), Stage.FLAWED),
        (json.dumps({"name": 1, "arguments": {}}), Stage.FLAWED),
        (json.dumps({"name": ["f"], "arguments": {"a": 1}}), Stage.FLAWED),
        (json.dumps({**F1, "id": "x"}), Stage.FLAWED),
        (json.dumps({"tool_calls": F1}), Stage.FLAWED),
        (json.dumps({"tool_calls": [F1], "role": "tool"}), Stage.FLAWED),
        (json.dumps({"tool_calls": [F1], "refusal": "no"}), Stage.FLAWED),
        (json.dumps({"tool_calls": [F1], "content": 3}), Stage.FLAWED),
        (json.dumps(openai(F1, type="code")), Stage.FLAWED),
        (json.dumps({"function": "f", "arguments": {"a": 1}}), Stage.FLAWED),
        (json.dumps({"name": "f", "arguments": None}), Stage.FLAWED),
        (json.dumps({"name": "h", "arguments": {"a": 1}}), Stage.FLAWED),
        (json.dumps({"name": "f", "arguments": {"a": "1"}}), Stage.FLAWED),
        (json.dumps({"name": "now", "arguments": {"a": 1}}), Stage.FLAWED),
        (json.dumps({"name": "f", "arguments": {"a": 1.0}}), Stage.WRONG),
        (json.dumps({"name": "f", "arguments": {"a": 1, "tags": []}}), Stage.WRONG),
        (json.dumps([F1, F1]), Stage.WRONG),
        ("[]", Stage.WRONG),
        (json.dumps(G1), Stage.WRONG),
    ],
)
def test_stages_of_calls(check: Any, text: str, stage: Stage) -> None:
    verdict = check(text, reference(F1))
    assert (verdict.status, verdict.stage, verdict.score) == (Status.FAIL, stage, 0.0), verdict.detail


def test_order_counts_unless_it_is_any(check: Any) -> None:
    swapped = json.dumps([F2, F1])
    assert check(swapped, reference(F1, F2)).stage is Stage.WRONG
    assert check(swapped, reference(F1, F2, order="any")).stage is Stage.CORRECT
    assert check(json.dumps([F1, F1]), reference(F1, F2, order="any")).stage is Stage.WRONG


def test_each_expected_call_needs_a_different_call(check: Any) -> None:
    either = {"name": "f", "any_of": [{"a": 1}, {"a": 2}]}
    given = reference(either, F1, order="any")
    for calls in ([F1, F2], [F2, F1], [F1, F1]):
        assert check(json.dumps(calls), given).stage is Stage.CORRECT
    for calls in ([F2, F2], [F1], [F1, G1], [F1, F2, F1]):
        assert check(json.dumps(calls), given).stage is Stage.WRONG


def test_partial_scores_part_of_the_calls(check: Any) -> None:
    one = json.dumps([F1])
    assert check(one, reference(F1, F2, G1)).score == 0.0
    assert check(one, reference(F1, F2, G1), partial=True).score == pytest.approx(1 / 3)
    assert check(json.dumps([F2, F1]), reference(F1, F2), partial=True).score == 0.0
    assert check(json.dumps([F1, F2, G1, G1]), reference(F1), partial=True).score == 0.25
    assert check("[1]", reference(F1, F2), partial=True).score == 0.0


def test_unordered_arrays_in_arguments(check: Any) -> None:
    call = {"name": "f", "arguments": {"a": 1, "tags": ["x", "y"]}}
    other = json.dumps({"name": "f", "arguments": {"a": 1, "tags": ["y", "x"]}})
    assert check(other, reference(call)).stage is Stage.WRONG
    assert check(other, reference(call, unordered=["/tags"])).stage is Stage.CORRECT
    assert check(other, reference(call, unordered=["/a"])).stage is Stage.WRONG


def test_without_expected_calls_all_valid_calls_pass(check: Any) -> None:
    assert check(json.dumps([F2, G1]), {"tools": TOOLS}).stage is Stage.CORRECT
    assert check("[]", {"tools": TOOLS}).stage is Stage.FLAWED
    assert check(json.dumps([F2, {**G1, "name": "h"}]), {"tools": TOOLS}).stage is Stage.FLAWED


def test_expecting_no_call(check: Any) -> None:
    assert check("[]", reference()).stage is Stage.CORRECT
    assert check("No tool is needed.", reference()).stage is Stage.INVALID
    assert check(json.dumps(F1), reference()).stage is Stage.WRONG


@pytest.mark.parametrize(
    "given",
    [
        {"tools": []},
        {"tools": {}},
        {"tools": [{"name": ""}]},
        {"tools": [{"parameters": {}}]},
        {"tools": [{"name": "f"}, {"name": "f"}]},
        {"tools": [{"name": "f", "parameters": []}]},
        {"tools": [{"name": "f", "parameters": {"type": "int"}}]},
        {"tools": TOOLS, "calls": F1},
        {"tools": TOOLS, "calls": ["f"]},
        {"tools": TOOLS, "calls": [F1] * 65},
        {"tools": TOOLS, "calls": [{"name": "f"}]},
        {"tools": TOOLS, "calls": [{"name": "f", "args": {"a": 1}}]},
        {"tools": TOOLS, "calls": [{"name": "f", "any_of": []}]},
        {"tools": TOOLS, "calls": [{"name": "f", "arguments": {}}]},
        {"tools": TOOLS, "calls": [{"name": "ff", "arguments": {"a": 1}}]},
        {"tools": TOOLS, "order": "some"},
        {"tools": TOOLS, "answer": 1},
    ],
)
def test_invalid_catalogues_and_expectations_raise(given: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="'p'"):
        JSONSchema().check_prompt(Prompt("p", "t", reference=given))


NOW = {"name": "now", "arguments": {}}


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "now", "arguments": ""}},
        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": ""}},
        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": " \n"}},
        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": "{}"}},
        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": " { } "}},
        {"id": "c1", "type": "function", "function": {"name": "now", "arguments": None}},
        {"id": "c1", "type": "function", "function": {"name": "now"}},
        {"type": "function", "function": {"name": "now", "parameters": ""}},
        {"name": "now", "arguments": ""},
        {"name": "now", "arguments": None},
        NOW,
    ],
)
def test_empty_arguments(check: Any, call: dict[str, Any]) -> None:
    texts = [json.dumps(form) for form in (call, [call], {"role": "assistant", "tool_calls": [call]})]
    for text in (*texts, f"<tool_call>{texts[0]}</tool_call>", f"```json\n{texts[1]}\n```"):
        assert check(text, reference(NOW)).status is Status.PASS
        assert check(text, {"tools": TOOLS}).status is Status.PASS
        assert check(text, reference(F1)).stage is Stage.WRONG
    needy = json.dumps(call).replace("now", "f")
    assert check(needy, reference(F1)).stage is Stage.FLAWED
    assert check(needy, {"tools": TOOLS}).stage is Stage.FLAWED


@pytest.mark.parametrize(
    "call",
    [
        {"name": "now"},
        {"name": "now", "arguments": "{}"},
        {"name": "now", "arguments": []},
        {"name": "now", "arguments": 0},
        {"name": "now", "arguments": False},
        {"name": "now", "arguments": "", "parameters": ""},
        {"function": {"name": "now", "arguments": "null"}},
        {"function": {"name": "now", "arguments": "[]"}},
        {"function": {"name": "now", "arguments": '""'}},
        {"function": {"arguments": ""}},
        {"function": {"name": "now", "arguments": "", "result": 1}},
    ],
)
def test_what_is_not_empty_arguments(check: Any, call: dict[str, Any]) -> None:
    assert check(json.dumps(call), reference(NOW)).stage is Stage.FLAWED
