"""Completions without their thoughts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.verification.thoughts import read_answer

FENCE = "```python\nprint('<think>', '</think> x')\n```"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12", "12"),
        ("<answer>12</answer>", "12"),
        ("<think>13</think>\n<ANSWER>\n12\n</ANSWER>\n", "\n12\n"),
        ("so <answer>12</answer>", "so <answer>12</answer>"),
        ("<answer>12</answer><answer>13</answer>", "<answer>12</answer><answer>13</answer>"),
        ("<think><answer>12</answer>", ""),
        ("<think>13</think>12", "12"),
        ("<think>\n13\n</think>\n\n12", "\n\n12"),
        ("<THINK>13</Think >12", "12"),
        ("a <think>13</think> b <think>14</think> c", "a  b  c"),
        ("<think>1 <think>2</think> 3</think>4", "4"),
        ("<think>the answer is 12", ""),
        ("so far 11 <think>12", ""),
        ("<think>1</think>2<think>3", ""),
        ("13\n</think>\n12", "\n12"),
        ("13</think> 12", " 12"),
        ("13</think>", ""),
        ("13</think>\n14\n</think>\n12", "\n12"),
        ('{"a": "</think>"}', '{"a": "</think>"}'),
        (FENCE, FENCE),
        (f"<think>{FENCE}</think>{FENCE}", FENCE),
        (f"<think>no</think>\n{FENCE}\n<think>yes</think>", f"\n{FENCE}\n"),
        (f"<think>no</think>\n{FENCE}\n<think>{FENCE}", ""),
        ("```\nhalf a program\n</think>\n```\nint main;\n```", "\n```\nint main;\n```"),
        ("<thinking>13</thinking>12", "12"),
        ("<thinker>13</thinker>12", "<thinker>13</thinker>12"),
        ("a < think > b", "a < think > b"),
    ],
)
def test_thoughts_are_dropped(text: str, answer: str) -> None:
    assert read_answer(text).text == answer


PROGRAM = 'int main(void) {\n    puts("<think>");\n    return 0;\n}\n'


@pytest.mark.parametrize(
    "text",
    [
        PROGRAM,
        PROGRAM.replace('"<think>"', '"the tag <think> opens"'),
        PROGRAM.replace('puts("<think>");', "return 0;  // no <think> here"),
        PROGRAM.replace('puts("<think>");', "/* <think> and </think> are tags */"),
        PROGRAM.replace('puts("<think>");', 'const char *end = "</think>";'),
        PROGRAM.replace('puts("<think>");', 'const char *end = "</think> "; // ends a thought'),
        "def f(s):\n    # remove <think> and </think> \n    return s\n",
        "def f(s):\n    return s.split('<think>')[0]  # before <think>\n",
        "def f(s):\n    return re.sub(r'<think>.*?</think> *', '', s)\n",
        "SELECT a -- no <think> needed\nFROM t".replace("SELECT a ", "SELECT a\n"),
        "Models write `<think>` first.\n12",
        'The tag "<think>" starts it.\n12',
    ],
)
def test_tags_in_strings_and_comments_are_code(text: str) -> None:
    assert read_answer(text).text == text
    assert read_answer(f"<think>{text}</think>\n12").text == "\n12"
    assert read_answer(f"<think>a</think>\n{text}").text == f"\n{text}"


@pytest.mark.parametrize(
    ("text", "mark"),
    [
        ("<think>12", "<think>"),
        ("12 <THINK >13", "<think>"),
        ("<thinking>a</thinking>12\n<thinking>", "<thinking>"),
        ("<think>a <think>b</think> 12", "<think>"),
        ("<|channel|>analysis<|message|>12", "the channels before the final one"),
        ('<think>the tag "</think>" and 12', "<think>"),
    ],
)
def test_an_unfinished_thought_is_named(text: str, mark: str) -> None:
    answer = read_answer(text)
    assert answer.text == ""
    assert answer.problem == f"the reasoning never ends: no answer after {mark}"
    assert read_answer("<think>a</think>12") == ("12", "")
    assert read_answer("12").problem == ""


def test_an_open_quote_does_not_hide_the_end_of_a_thought() -> None:
    assert read_answer('<think>the "answer is 5</think>12').text == "12"
    assert read_answer('<think>the answer is "5"</think>12').text == "12"


def test_other_tags_by_name() -> None:
    assert read_answer("<reason>1</reason>2", ("reason", "think")).text == "2"
    assert read_answer("<think>1</think>2", ("reason",)).text == "<think>1</think>2"
    assert read_answer("<think>1</think>2", ()).text == "<think>1</think>2"


@given(st.text("<>/think`\n a1", max_size=60))
def test_any_text_is_taken_and_never_grows(text: str) -> None:
    answer = read_answer(text).text
    assert len(answer) <= len(text)


@given(st.text("ab1 \n", max_size=20), st.text("ab1 \n", max_size=20))
def test_a_thought_never_reaches_the_answer(thought: str, answer: str) -> None:
    assert read_answer(f"<think>{thought}</think>{answer}").text == answer
    assert read_answer(f"{answer}<think>{thought}").text == ""
    assert read_answer(f"{thought}</think>\n{answer}").text == f"\n{answer}"
