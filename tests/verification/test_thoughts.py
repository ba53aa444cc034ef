"""Completions without their thoughts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.verification.thoughts import without_thoughts

FENCE = "```python\nprint('<think>', '</think> x')\n```"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("12", "12"),
        ("<think>13</think>12", "12"),
        ("<think>\n13\n</think>\n\n12", "\n\n12"),
        ("<THINK>13</Think >12", "12"),
        ("a <think>13</think> b <think>14</think> c", "a  b  c"),
        ("<think>1 <think>2</think> 3</think>4", "4"),
        ("<think>the answer is 12", ""),
        ("so far 11 <think>12", "so far 11 "),
        ("<think>1</think>2<think>3", "2"),
        ("13\n</think>\n12", "\n12"),
        ("13</think> 12", " 12"),
        ("13</think>", ""),
        ("13</think>\n14\n</think>\n12", "\n12"),
        ('{"a": "</think>"}', '{"a": "</think>"}'),
        (FENCE, FENCE),
        (f"<think>{FENCE}</think>{FENCE}", FENCE),
        (f"<think>no</think>\n{FENCE}\n<think>{FENCE}", f"\n{FENCE}\n"),
        ("```\nhalf a program\n</think>\n```\nint main;\n```", "\n```\nint main;\n```"),
        ("<thinking>13</thinking>12", "<thinking>13</thinking>12"),
        ("a < think > b", "a < think > b"),
    ],
)
def test_thoughts_are_dropped(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer


def test_other_tags_by_name() -> None:
    assert without_thoughts("<reason>1</reason>2", ("reason", "think")) == "2"
    assert without_thoughts("<think>1</think>2", ("reason",)) == "<think>1</think>2"
    assert without_thoughts("<think>1</think>2", ()) == "<think>1</think>2"


@given(st.text("<>/think`\n a1", max_size=60))
def test_any_text_is_taken_and_never_grows(text: str) -> None:
    answer = without_thoughts(text)
    assert len(answer) <= len(text)


@given(st.text("ab1 \n", max_size=20), st.text("ab1 \n", max_size=20))
def test_a_thought_never_reaches_the_answer(thought: str, answer: str) -> None:
    assert without_thoughts(f"<think>{thought}</think>{answer}") == answer
    assert without_thoughts(f"{answer}<think>{thought}") == answer
    assert without_thoughts(f"{thought}</think>\n{answer}") == f"\n{answer}"
