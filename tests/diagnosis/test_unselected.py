"""Why a cycle selects nothing, in the words of its verdicts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from halo_core.diagnosis.unselected import why_unselected
from halo_core.types import Sample, Stage, Status

Make = Callable[..., Sample]


def samples(
    make_sample: Make, number: int, reward: float, *, text: str = "", detail: str = "", **settings: Any
) -> list[Sample]:
    """Return failed samples with one reward."""
    made = [make_sample("p", index, status=Status.FAIL, **settings) for index in range(number)]
    return [
        replace(
            each,
            reward=reward,
            completion=replace(each.completion, text=text or each.completion.text),
            verdict=replace(each.verdict, detail=detail),
        )
        for each in made
    ]


def test_truncation_comes_first(make_sample: Make) -> None:
    cut = samples(make_sample, 3, 0.0, stage=Stage.INVALID, finish="length")
    whole = samples(make_sample, 1, 0.7, stage=Stage.WRONG)
    causes, remedy = why_unselected([*cut, *whole], 1.0)
    assert causes.startswith(
        "the best reward was 0.7, below the threshold of 1; 75% were cut short by max_new_tokens; "
    )
    assert remedy == "raise max_new_tokens first"
    assert why_unselected(cut, 1.0)[1].endswith("name texts to stop at (-G stop=TEXT)")


def test_unfinished_thoughts_are_told_from_other_truncation(make_sample: Make) -> None:
    thinking = samples(make_sample, 3, 0.0, stage=Stage.INVALID, finish="length", text="<think>hm, 3?")
    other = samples(make_sample, 1, 0.0, stage=Stage.INVALID, finish="length", text="int main(")
    causes, remedy = why_unselected([*thinking, *other])
    assert "100% were cut short by max_new_tokens, 75% within their reasoning" in causes
    assert "enable_thinking=false" in remedy
    assert "enable_thinking" not in why_unselected([*thinking[:1], *other * 3])[1]


def test_a_sufficient_reward_that_was_cut_short_is_counted(make_sample: Make) -> None:
    good = samples(make_sample, 2, 1.0, stage=Stage.WRONG, finish="length")
    causes, _ = why_unselected(good, 0.5)
    assert "2 of them with a sufficient reward" in causes
    assert "below the threshold" not in causes


def test_the_form_of_the_answer(make_sample: Make) -> None:
    lost = samples(make_sample, 3, 0.0, stage=Stage.INVALID, detail="no program found\nsecond line")
    causes, remedy = why_unselected([*lost, *samples(make_sample, 2, 0.5, stage=Stage.CRASHED)])
    assert "60% do not get past the first stage, most often for 'no program found'" in causes
    assert causes.endswith("the furthest stage was 'crashed', of 40%")
    assert "name the form of the answer" in remedy


def test_wrong_answers_and_no_answers(make_sample: Make) -> None:
    causes, remedy = why_unselected(samples(make_sample, 4, 0.7, stage=Stage.WRONG), 1.0)
    assert (
        causes == "the best reward was 0.7, below the threshold of 1; the furthest stage was 'wrong', of 100%"
    )
    assert "stronger model" in remedy
    assert why_unselected([])[1] == "check the verifier first (halo audit)"


def test_solved_prompts_that_are_left_out_need_harder_ones(make_sample: Make) -> None:
    solved = [make_sample("p", index, status=Status.PASS, reward=1.0) for index in range(4)]
    causes, remedy = why_unselected(solved, 0.5)
    assert causes.endswith("100% pass; the furthest stage was 'correct', of 100%")
    assert remedy == "use harder prompts, or leave selector.solved_at unset"
    assert "harder" not in why_unselected(solved, 1.5)[1], "the threshold is out of reach"
