"""Extraction of a completion's JSON: where it is found, and where it is ignored."""

import contextlib
from typing import Any

import pytest
from growth import grows_linearly

from halo_core.types import Status
from halo_verifier_jsonschema.channel import NoAnswerError, find


def fenced(text: str, tag: str = "json") -> str:
    return f"```{tag}\n{text}\n```"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", "{}"),
        ("  [1]\n", "[1]"),
        ("Here is the JSON:\n[1]", "[1]"),
        ("<think>{}</think>Sure, the object is:\n\n{}", "{}"),
        ("It is 1:\n[1]", "It is 1:\n[1]"),
        ("Here is the JSON:\n[1]\nDone.", "[1]\nDone."),
        ("<think>{}</think>\n[1]", "[1]"),
        ("<THINKING depth='2'>x</THINKING>[1]", "[1]"),
        ("<think>a<think>b</think>c</think>[1]", "[1]"),
        ("so I answer </think>[1]", "[1]"),
        ("[THINK]{}[/THINK][1]", "[1]"),
        ("<seed:think>{}</seed:think>[1]", "[1]"),
        ("◁think▷{}◁/think▷[1]", "[1]"),
        ("<|begin_of_thought|>{}<|end_of_thought|>[1]", "[1]"),
        ('{"html": "<think></think>"}', '{"html": "<think></think>"}'),
        (fenced("[1]"), "[1]"),
        (f"Here:\n\n{fenced('[1]')}\n\nDone.", "[1]"),
        (f"{fenced('x = 1', 'python')}\n{fenced('[1]')}", "[1]"),
        (f"{fenced('[2]', '')}\n{fenced('[1]')}", "[1]"),
        (fenced("[1]", ""), "[1]"),
        (fenced("[1]", " JSON title=x"), "[1]"),
        ("~~~json\n[1]\n~~~", "[1]"),
        ("````json\n[1]\n````", "[1]"),
        ("```json\n[1]", "[1]"),
        ('```json\n["```"]\n```', '["```"]'),
        ('["```"]', '["```"]'),
        (f"<think>{fenced('[2]')}</think>{fenced('[1]')}", "[1]"),
    ],
)
def test_the_only_json_is_found(text: str, found: str) -> None:
    assert [each.strip() for each in find(text)] == [found]


@pytest.mark.parametrize(
    "text",
    [
        "<think>[1]",
        "<think>a<think>b</think>[1]",
        f"Let me see. <think>\n{fenced('[1]')}",
        f"<think></think>\n<analysis>\n{fenced('[1]')}",
        f"{fenced('[1]')}\n{fenced('[1]')}",
        f"{fenced('[1]', '')}\n{fenced('[2]', '')}",
        fenced("[1]", "python"),
        f"[THINK]\n{fenced('[1]')}",
        f"Hm. <|begin_of_thought|>\n{fenced('[1]')}",
    ],
)
def test_missing_or_ambiguous_json_raises(text: str) -> None:
    with pytest.raises(NoAnswerError):
        find(text)


def test_reasoning_opened_by_the_prompt_must_end() -> None:
    assert find("[2]</think>[1]", thinking="open") == ["[1]"]
    for text in ("[1]", fenced("[1]"), "<think>[1]</think>", '{"a": "'):
        with pytest.raises(NoAnswerError, match="never ends"):
            find(text, thinking="open")


def test_within_selects_the_place() -> None:
    assert find(fenced("[1]"), within="text") == [fenced("[1]")]
    with pytest.raises(NoAnswerError):
        find("[1]", within="fence")


def test_tagged_calls() -> None:
    text = "<think>x</think>I look.\n<tool_call>\n1\n</tool_call>\n<tool_call>2</tool_call>\n"
    assert find(text, tags=True) == ["\n1\n", "2"]
    assert len(find(text)) == 1
    assert find("[1]", tags=True) == ["[1]"]


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>1",
        "<tool_call>1</tool_call></tool_call>",
        "<tool_call>1</tool_call><think>",
        f"{fenced('2')}<tool_call>1</tool_call>",
        "<tool_call>1<tool_call>2</tool_call>",
    ],
)
def test_malformed_tagged_calls_raise(text: str) -> None:
    with pytest.raises(NoAnswerError):
        find(text, tags=True)


@pytest.mark.parametrize(
    "piece",
    [
        "<think>",
        "</think>",
        "<think ",
        "```\n",
        "```json\n[1]\n",
        "~~~\n",
        "`" * 50,
        "<tool_call>",
        "\n",
        " ",
    ],
)
def test_finding_takes_linear_time(piece: str) -> None:
    def find_in(size: int) -> None:
        for start in ("", "<think>", "x</think>", "x\n"):
            with contextlib.suppress(NoAnswerError):
                find(start + piece * (size // len(piece)), tags=True)

    assert grows_linearly(find_in, 200_000)


ANALYSIS = "<|channel|>analysis<|message|>{}<|end|>"
CALL = "<|start|>assistant<|channel|>commentary to=functions.{} <|constrain|>json<|message|>{}<|call|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>{}"
TOOLS = {
    "tools": [
        {"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
        {"name": "now"},
    ],
    "calls": [{"name": "add", "arguments": {"a": 1}}],
}


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (ANALYSIS.format("I add.") + CALL.format("add", '{"a": 1}'), True),
        (CALL.format("add", '{"a": 1}').removeprefix("<|start|>assistant"), True),
        (CALL.format("add", '{"a": 1}').removesuffix("<|call|>"), True),
        ("<|start|>assistant to=functions.add<|channel|>commentary<|message|>" + '{"a": 1}', True),
        (ANALYSIS.format('{"a": 1}') + CALL.format("add", '{"a": 2}'), False),
        (ANALYSIS.format("") + CALL.format("add", '{"a": 1}') + CALL.format("add", '{"a": 2}'), False),
        (ANALYSIS.format("") + CALL.format("now", "{}"), False),
        (ANALYSIS.format("") + CALL.format("add", '{"a": 2}, "arguments": {"a": 1}'), False),
        (ANALYSIS.format("") + CALL.format("add", '{"a": 1'), False),
        (ANALYSIS.format('{"name": "add", "arguments": {"a": 1}}'), False),
        (
            CALL.format("add", '{"a": 1}') + FINAL.format('{"name": "add", "arguments": {"a": 2}}'),
            False,
        ),
        (ANALYSIS.format("") + FINAL.format('{"name": "add", "arguments": {"a": 1}}'), True),
        (
            ANALYSIS.format("")
            + FINAL.format('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'),
            True,
        ),
    ],
)
def test_calls_in_channels(check: Any, text: str, right: bool) -> None:
    verdict = check(text, TOOLS)
    assert (verdict.status is Status.PASS) == right, verdict.detail


@pytest.mark.parametrize(
    ("text", "right"),
    [
        (ANALYSIS.format('{"a": 2}') + FINAL.format('{"a": 1}'), True),
        (ANALYSIS.format('{"a": 2}') + FINAL.format('```json\n{"a": 1}\n```'), True),
        (ANALYSIS.format('{"a": 1}') + FINAL.format('{"a": 2}'), False),
        (ANALYSIS.format('{"a": 1}'), False),
        (FINAL.format('{"a": 1}') + "<|end|>" + FINAL.format('{"a": 2}'), False),
    ],
)
def test_values_in_the_final_channel(check: Any, text: str, right: bool) -> None:
    assert (check(text, {"answer": {"a": 1}}).status is Status.PASS) == right
