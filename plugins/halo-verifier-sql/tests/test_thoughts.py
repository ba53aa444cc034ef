"""Reasoning before an answer is not part of it."""

from collections.abc import Callable

import pytest

from halo_core.types import Prompt, Stage, Status, Verdict
from halo_verifier_sql import SQL

Check = Callable[..., Verdict]
RIGHT = "SELECT name FROM item WHERE price > 4"
WRONG = "SELECT name FROM item"


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n{WRONG};\n</think>\n{RIGHT}",
        f"<think>{WRONG}</think>{RIGHT}",
        f"<think>\n```sql\n{WRONG}\n```\n</think>\n```sql\n{RIGHT}\n```",
        f"<think>\n```sql\n{WRONG}\n```\n</think>\n{RIGHT}",
        f"Let me draft.\n```sql\n{WRONG}\n```\n</think>\n\n{RIGHT}",
        f"{WRONG}\n</think>\n```sql\n{RIGHT}\n```",
        f"<THINK>{WRONG};\n</THINK>\n{RIGHT};",
        f"<think>a <think>{WRONG};</think> b</think>\n{RIGHT}",
        f"```sql\n{RIGHT}\n```\n<think>\n```sql\n{WRONG}\n```\n</think>",
        f"<think></think>\n\n{RIGHT}",
        f"<think>DROP TABLE item;</think>The query:\n{RIGHT}",
    ],
)
def test_the_answer_is_outside_of_thoughts(check: Check, text: str) -> None:
    assert check(RIGHT, text).status is Status.PASS


@pytest.mark.parametrize(
    "text",
    [
        f"<think>\n```sql\n{RIGHT}\n```",
        f"<think>\n{RIGHT}",
        f"<think>{RIGHT};",
        f"Well. <think>So {RIGHT}\n\n```sql\n{RIGHT}\n```",
        f"<think>no</think><think>```sql\n{RIGHT}\n```",
        f"<THINK>\n{RIGHT}",
        f"<think>one <think>two</think>\n{RIGHT}",
        f"<think>`{RIGHT}`",
        f"```sql\n{RIGHT}\n```\n<think>\n```sql\n{WRONG}\n```",
    ],
)
def test_an_unfinished_thought_has_no_answer(check: Check, text: str) -> None:
    verdict = check(RIGHT, text)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.INVALID)
    assert verdict.detail.lower() == "the reasoning never ends: no answer after <think>"


@pytest.mark.parametrize(
    "text",
    [f"<think>{RIGHT}</think>", f"{RIGHT}\n</think>", f"<think>```sql\n{RIGHT}\n```</think>\nI am done."],
)
def test_a_finished_thought_is_not_an_answer(check: Check, text: str) -> None:
    verdict = check(RIGHT, text)
    assert (verdict.status, verdict.stage, verdict.detail) == (
        Status.FAIL,
        Stage.INVALID,
        "contains no query",
    )


def test_tags_are_an_option(check: Check) -> None:
    text = f"<reason>{WRONG};\n</reason>\n{RIGHT}"
    assert check(RIGHT, text).status is Status.FAIL
    assert check(RIGHT, text, thought_tags=("reason", "think")).status is Status.PASS
    assert check(RIGHT, f"<think>{RIGHT}</think>", thought_tags=()).status is Status.FAIL
    unfinished = check(RIGHT, f"<reason>{RIGHT}", thought_tags=("reason",))
    assert unfinished.detail == "the reasoning never ends: no answer after <reason>"


def test_fingerprint_names_the_tags(prompt: Callable[..., Prompt]) -> None:
    assert SQL().fingerprint() != SQL(thought_tags=("reason",)).fingerprint()
