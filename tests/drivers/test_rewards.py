from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.drivers import Reward
from halo_core.drivers.rewards import LADDER, Binary, Fraction, Graduated
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

Make = Callable[..., Sample]


def judged(stage: Stage, warnings: int = 0, score: float = 0.0, status: Status | None = None) -> Sample:
    status = status or (Status.PASS if stage is Stage.CORRECT else Status.FAIL)
    return Sample(Prompt("p"), Completion("p", 0, "x"), Verdict(status, stage, score, warnings))


@pytest.mark.parametrize(
    ("stage", "clean", "with_warnings", "monotone"),
    [
        (Stage.INVALID, 0.0, 0.0, 0.0),  # syntax error
        (Stage.FLAWED, 0.3, 0.3, 0.3),  # warnings
        (Stage.UNTESTED, 0.5, 0.3, 0.5),  # compiles; the most that a prompt without tests can reach
        (Stage.CRASHED, 0.5, 0.3, 0.5),  # compiles but crashes
        (Stage.WRONG, 0.7, 0.3, 0.7),  # runs but incorrect
        (Stage.CORRECT, 1.0, 0.3, 1.0),  # full reward
    ],
)
def test_the_ladder_as_published_and_monotone(
    stage: Stage, clean: float, with_warnings: float, monotone: float
) -> None:
    assert Graduated().reward(judged(stage)) == clean
    assert Graduated().reward(judged(stage, warnings=2)) == with_warnings
    assert Graduated(monotone=True).reward(judged(stage)) == monotone
    assert Graduated(monotone=True).reward(judged(stage, warnings=2)) == monotone


def test_every_stage_has_a_rung() -> None:
    assert set(LADDER) == set(Stage)


def test_monotone_never_pays_less_for_getting_further() -> None:
    for warnings in (0, 1):
        paid = [Graduated(monotone=True).reward(judged(stage, warnings)) for stage in Stage]
        assert paid == sorted(paid)


def test_as_published_a_clean_crash_pays_more_than_a_right_answer_with_a_warning() -> None:
    graduated = Graduated()
    assert graduated.reward(judged(Stage.CRASHED)) > graduated.reward(judged(Stage.CORRECT, warnings=1))


@pytest.mark.parametrize(("status", "reward"), [(Status.PASS, 1.0), (Status.FAIL, 0.0)])
@pytest.mark.parametrize("stage", Stage)
def test_binary_looks_at_the_status_alone(status: Status, reward: float, stage: Stage) -> None:
    assert Binary().reward(judged(stage, 3, 0.5, status)) == reward


def test_fraction_is_the_share_of_checks() -> None:
    assert Fraction().reward(judged(Stage.WRONG, score=0.25)) == 0.25


@pytest.mark.parametrize("reward", [Graduated(), Graduated(monotone=True), Binary(), Fraction()], ids=repr)
@given(stage=st.sampled_from(Stage), warnings=st.integers(0, 5), score=st.floats(0, 1))
def test_a_reward_is_a_float_from_0_to_1_that_reads_the_verdict_alone(
    reward: Reward, stage: Stage, warnings: int, score: float
) -> None:
    sample = judged(stage, warnings, score)
    other = Sample(
        Prompt("other", "text"), Completion("other", 5, "y", (1,), (2,), "length"), sample.verdict, 9.0, 3.0
    )
    paid = reward.reward(sample)
    assert isinstance(paid, float)
    assert 0.0 <= paid <= 1.0
    assert reward.reward(other) == paid
