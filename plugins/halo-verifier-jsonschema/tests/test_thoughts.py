"""Thoughts, tags within strings, and fences: what counts as the answer, in verdicts."""

import json
from typing import Any

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_jsonschema import JSONSchema

CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OSLO, ROME = '{"city": "Oslo"}', '{"city": "Rome"}'
VALUE = {"schema": CITY, "answer": {"city": "Oslo"}}
TOOLS = [{"name": "weather", "parameters": CITY}, {"name": "now"}]
CALL = {"name": "weather", "arguments": {"city": "Oslo"}}
CALLS = {"tools": TOOLS, "calls": [CALL]}
GOOD, BAD = json.dumps(CALL), json.dumps({"name": "weather", "arguments": {"city": "Rome"}})
TAGS = [
    "<think>", "</think>", "<tool_call>", "</tool_call>", "<think>x</think>", "</think><think>",
    "</tool_call><tool_call>", "```", "```json",
    "[THINK]", "<THINKING>", "◁/think▷", "</think>\n", '"</think>"', "\\</think>", "\\",
]  # fmt: skip


def fenced(text: str, tag: str = "json") -> str:
    return f"```{tag}\n{text}\n```"


def tagged(text: str) -> str:
    return f"<tool_call>\n{text}\n</tool_call>"


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{ROME}</think>{OSLO}",
        f"<think>\n{fenced(ROME)}\n</think>\n\n{fenced(OSLO)}",
        f"<THINK >{ROME}</Think>{OSLO}",
        f"<think>a</think>\n<think>b</think>\n{OSLO}",
        f"<think>a</think><reflection>{ROME}</reflection>{OSLO}",
        f"<think></think>{OSLO}",
        f"<think>a <think>{ROME}</think> b</think>{OSLO}",
        f"<think>Shall I use <scratchpad>? No.</think>{OSLO}",
        f"{ROME}\n</think>\n{OSLO}",
        f"{ROME}</think>{OSLO}",
        f"{ROME} or\n{fenced(ROME)}\n</think>\n{OSLO}",
        f"```json\n{ROME}\n</think>\n{OSLO}",
        f"```json\n{ROME} </think>{OSLO}",
        f'{{"city": "Ro </think>{OSLO}',
        f"Rome?</think>Bergen?</think>{OSLO}",
        f"```python\n{ROME}\n```</think>\n{OSLO}",
        f"```html\n<b> </think>{OSLO}",
        f"Hm\n```</think>{OSLO}",
        f'"Rome" is it. </think>{OSLO}',
        f"<think>x</think>```json\n{OSLO}\n```<think>y</think>",
        f"no</think><think>{ROME}</think>{fenced(OSLO)}",
        f"I think first. <think>{ROME}</think>{OSLO}",
        f"Let me see.\n<think>{ROME}</think>\nHere it is:\n{fenced(OSLO)}",
        f"{fenced(OSLO)}\n<think>Done?</think>",
        f"{OSLO}\n<think>Is it {ROME}?</think>\n",
        f"{fenced('<think></think>', 'html')}\n{fenced(OSLO)}",
        fenced("<think>\n</think>", "html") + "\n" + fenced(OSLO),
    ],
)
def test_an_answer_after_thoughts_passes(check: Any, text: str) -> None:
    assert check(text, VALUE).status is Status.PASS, check(text, VALUE).detail


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{OSLO}",
        f"<think>\n{fenced(OSLO)}",
        f"<think>{OSLO}</think>",
        f"<think>a</think><think>{OSLO}",
        f"<think>a <think>b</think> {OSLO}",
        f"<Reasoning>{OSLO}",
        f"{OSLO}<think>Or is it Rome?",
        f"{fenced(OSLO)}\n<think>\nOr",
        f"{OSLO}</think>",
        f"{OSLO}\n</think>\nI do not know.",
        f"{ROME}</think>{OSLO}</think>{ROME}",
        f"{ROME}<think></think>{OSLO}",
        f"<think></think>{ROME}<think></think>{OSLO}",
        f"{fenced(ROME)}<think></think>{fenced(OSLO)}",
        '{"city": <think>Rome?</think> "Oslo"}',
        '{"city": "Os<think>?</think>lo"',
        f"5 <think>x</think> {OSLO}",
        f'"Rome" <think>x</think> {OSLO}',
    ],
)
def test_an_answer_in_a_thought_or_beside_another_fails(check: Any, text: str) -> None:
    assert check(text, VALUE).status is Status.FAIL
    assert check(text, VALUE, trailing_text=True).status is Status.FAIL


@pytest.mark.parametrize(
    ("text", "options", "tag"),
    [
        (f"<think>{OSLO}", {}, "<think>"),
        (f"a <Thinking>{OSLO}", {}, "<Thinking>"),
        (f"<plan>{OSLO}", {"thought_tags": ("plan",)}, "<plan>"),
        (OSLO, {"thinking": "open"}, "its start"),
    ],
)
def test_the_detail_names_a_thought_that_never_ends(check: Any, text: str, options: Any, tag: str) -> None:
    verdict = check(text, VALUE, **options)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert verdict.detail == f"the reasoning never ends: no answer after {tag}"


def test_other_tags_by_option(check: Any) -> None:
    text = f"<plan>{ROME}</plan>{OSLO}"
    assert check(text, VALUE).stage is Stage.INVALID
    assert check(text, VALUE, thought_tags=("plan",)).stage is Stage.CORRECT
    assert check(text, VALUE, thought_tags=("think", "plan")).stage is Stage.CORRECT
    assert check(f"{ROME}</plan>{OSLO}", VALUE, thought_tags=("plan",)).stage is Stage.CORRECT
    assert check(f"<|a.b|>x</|a.b|>{OSLO}", VALUE, thought_tags=("|a.b|",)).stage is Stage.CORRECT
    assert JSONSchema(thought_tags=("plan",)).fingerprint() != JSONSchema().fingerprint()


# Calls


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{BAD}</think>{GOOD}",
        f"<think>{tagged(BAD)}</think>{tagged(GOOD)}",
        f"I think first. <think>{tagged(BAD)}</think>\nI call:\n{tagged(GOOD)}",
        f"Maybe {tagged(BAD)}? </think>{tagged(GOOD)}",
        f"Maybe <tool_call> \"hmm </think>{tagged(GOOD)}",
        f"Maybe <tool_call> </think>{tagged(GOOD)}",
        f"{tagged(GOOD)}<think>Done.</think>",
        f"<tool_call>{GOOD}</tool_call>",
        f"{tagged(GOOD)}\nDone.",
        f"<think>a</think><think>b</think>{tagged(GOOD)}",
    ],
)  # fmt: skip
def test_calls_after_thoughts_pass(check: Any, text: str) -> None:
    assert check(text, CALLS).status is Status.PASS, check(text, CALLS).detail


@pytest.mark.parametrize(
    "text",
    [
        f"<think>{tagged(GOOD)}",
        f"<think>{tagged(GOOD)}</think>",
        f"{tagged(GOOD)}</think>",
        f"{tagged(GOOD)}<think>",
        f"{tagged(GOOD)}<think></think>{tagged(GOOD)}",
        f"{tagged(BAD)}<think></think>{tagged(GOOD)}",
        f"{tagged(GOOD)}{tagged(BAD)}",
        f"{BAD}\n{tagged(GOOD)}",
        f"{tagged(GOOD)}\n{BAD}",
        f"<tool_call>{GOOD}",
        f"<tool_call>{tagged(GOOD)}",
        f"{tagged(GOOD)}</tool_call>",
        fenced(tagged(GOOD)),
        f"{fenced(GOOD)}\n{tagged(GOOD)}",
        f'<tool_call>{{"name": "weather", "arguments": {{"city": "</tool_call>{tagged(GOOD)}',
    ],
)
def test_calls_in_thoughts_or_beside_others_fail(check: Any, text: str) -> None:
    assert check(text, CALLS).status is Status.FAIL
    assert check(text, CALLS, trailing_text=True).status is Status.FAIL


# Tags within strings


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_tags_within_strings_are_data(check: Any, tag: str, ascii_only: bool) -> None:
    city = {"city": f"a {tag} b {tag}", tag: tag}
    schema = {**CITY, "additionalProperties": True}
    value = json.dumps(city, ensure_ascii=ascii_only)
    lines = json.dumps(city, indent=1, ensure_ascii=ascii_only)
    reference = {"schema": schema, "answer": city}
    for text in (
        value,
        lines,
        fenced(value),
        fenced(lines),
        fenced(value, ""),
        f"Here:\n\n{fenced(lines)}\nDone.",
    ):
        for thought in ("", "<think>x</think>\n", "x</think>\n", f"<think>{tag[:0]}</think><think>y</think>"):
            assert check(thought + text, reference).status is Status.PASS, thought + text
    tools = [{"name": "weather", "parameters": schema}]
    reference = {"tools": tools, "calls": [{"name": "weather", "arguments": city}] * 2}
    plain = json.dumps({"name": "weather", "arguments": city}, ensure_ascii=ascii_only)
    openai = {"type": "function", "function": {"name": "weather", "arguments": value}}
    message = json.dumps(
        {"role": "assistant", "content": tag, "tool_calls": [openai] * 2}, ensure_ascii=ascii_only
    )
    for text in (
        f"[{plain}, {plain}]",
        message,
        fenced(message),
        f"Both:\n{tagged(plain)}\n<tool_call>{plain}</tool_call>",
    ):
        for thought in ("", "<think>x</think>", "x</think>\n"):
            verdict = check(thought + text, reference)
            assert verdict.status is Status.PASS, (verdict.detail, thought + text)


@given(
    st.lists(st.sampled_from([*TAGS, "a", " ", "\n", '"', "{", "}", "[", "<", ">"]), max_size=8).map("".join)
)
def test_any_string_is_data(text: str) -> None:
    verifier, prompt = JSONSchema(), Prompt("p", "t", reference={"answer": {"a": text}})
    call = {"name": "f", "arguments": {"a": text}}
    tools = [{"name": "f", "parameters": {"properties": {"a": {"type": "string"}}}}]
    calls = Prompt("p", "t", reference={"tools": tools, "calls": [call]})
    value, content = json.dumps({"a": text}), json.dumps(call)
    for before in ("", "<think>b</think>", "b\n</think>\n", "<think>[1</think>So:\n"):
        for each in ([] if before.endswith("So:\n") else [value]) + [fenced(value)]:
            assert verifier.check(prompt, Completion("p", 0, before + each)).status is Status.PASS
        assert verifier.check(calls, Completion("p", 0, before + tagged(content))).status is Status.PASS


# Fences


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{OSLO}```",
        f"```json\n{OSLO}``` ",
        f"```json\n{OSLO}```\n\nDone.",
        f"```\n{OSLO}```",
        f"~~~json\n{OSLO}~~~",
        f"````json\n{OSLO}````",
        f"```json\n{OSLO}````",
        f"```json {OSLO}```",
        f"```json {OSLO} ```",
        f"``` {OSLO} ```",
        f"```{OSLO}```",
        f"Here it is:```json\n{OSLO}\n```",
        f"1. The city:\n\n   ```json\n   {OSLO}\n   ```\n2. Done.",
        f"- The city:\n\t```json\n\t{OSLO}\n\t```",
        f"1. ```json\n   {OSLO}\n   ```",
        f"- ```json\n  {OSLO}\n  ```",
        '```json\n{"city":\n"Oslo"}```',
        f"```json\r\n{OSLO}\r\n```\r\n",
        f"Use `city` and ```json``` here.\n```json\n{OSLO}\n```",
    ],
)
def test_forms_of_fences(check: Any, text: str) -> None:
    assert check(text, VALUE).status is Status.PASS, check(text, VALUE).detail


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{OSLO}```\n```json\n{ROME}\n```",
        f"```json\n{OSLO}\n```json\n{ROME}\n```",
        f"```json {OSLO}```\n```json {ROME}```",
        f"```json\n{OSLO}``` or ```json\n{ROME}\n```",
        f"Not ```json {OSLO}``` today.",
        f"{ROME}\n```json\n{OSLO}\n```",
        f"```json {OSLO}``` or\n{fenced(ROME)}",
    ],
)
def test_two_blocks_fail(check: Any, text: str) -> None:
    assert check(text, VALUE).status is Status.FAIL


@pytest.mark.parametrize(
    "piece",
    [
        "```x\n</think>\n", '```json\n"</think>"\n', "<think></think>", "</think>{", '</think>{"', '</think>["a",',
        '<tool_call>"', '<tool_call>"</tool_call>', "<tool_call></think>", "</tool_call>", "<think><analysis>",
        "</think>", "`", "```json {", ">```json {", "[[", '{"a":[', '["', '1,"', "<tool_call>{</think>", "\\", '\\"',
        "```a`\n", "\n- ```json\n", " ", "~~~ >", "```a```  ",
    ],
)  # fmt: skip
def test_reading_takes_linear_time(piece: str) -> None:
    verifier = JSONSchema(trailing_text=True, max_bytes=1 << 30)
    prompts = [Prompt("p", "t", reference=reference) for reference in (VALUE, CALLS)]

    def check_all(size: int) -> None:
        for head in ("", "<think>", f'{OSLO} "', f"{GOOD} ", "```json\n"):
            for tail in ("</tool_call>", "\n```\n"):
                text = head + piece * (size // len(piece)) + tail
                for prompt in prompts:
                    verifier.check(prompt, Completion("p", 0, text))

    assert grows_linearly(check_all, 40_000)
