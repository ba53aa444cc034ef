"""The channels of a completion."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.channels import final_text, messages

ANALYSIS = "<|channel|>analysis<|message|>maybe 7<|end|>"
FINAL = "<|start|>assistant<|channel|>final<|message|>5"
CALL = "<|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{}<|call|>"


@pytest.mark.parametrize(
    ("text", "final"),
    [
        ("5", "5"),
        (f"{ANALYSIS}{FINAL}<|return|>", "5"),
        (f"{ANALYSIS}{FINAL}", "5"),
        (f"{ANALYSIS}{ANALYSIS}{FINAL}", "5"),
        (f"maybe 7<|end|>{FINAL}<|return|>", "5"),
        ("<|channel|>final<|message|>5<|return|>", "5"),
        (f"{ANALYSIS}{FINAL}<|end|>{FINAL}", "5\n5"),
        (f"\n{ANALYSIS}\n{FINAL}", "5"),
        (f"{ANALYSIS}{CALL}", None),
        (ANALYSIS, None),
        ("<|channel|>analysis<|message|>maybe 5", None),
        (f"{ANALYSIS}<|start|>assistant<|channel|>final", None),
        ('print("<|channel|>final<|message|>")', 'print("<|channel|>final<|message|>")'),
        ("<|channel|> is a token", "<|channel|> is a token"),
        ("<|channel|>final", "<|channel|>final"),
    ],
)
def test_only_the_final_channel_is_the_answer(text: str, final: str | None) -> None:
    assert final_text(text) == final


def test_messages() -> None:
    found = messages(f"{ANALYSIS}{CALL}")
    assert [(message.channel, message.recipient, message.text) for message in found] == [
        ("analysis", "", "maybe 7"),
        ("commentary", "functions.add", "{}"),
    ]
    assert messages("<|start|>assistant to=functions.add<|channel|>commentary<|message|>{}")[0].recipient == (
        "functions.add"
    )
    assert [message.ended for message in messages(f"{ANALYSIS}{FINAL}")] == [True, False]


MARKS = ("<|start|>assistant", "<|channel|>", "final", "analysis", "<|message|>", "<|end|>", "<|", " ", "5")


@given(st.lists(st.sampled_from(MARKS), max_size=30))
def test_any_text_is_read(parts: list[str]) -> None:
    text = "".join(parts)
    final = final_text(text)
    assert final is None or len(final) <= len(text) + text.count("<|message|>")
