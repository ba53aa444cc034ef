from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.config.options import build
from halo_core.drivers import Reward
from halo_core.drivers.rewards import LADDER, Binary, Fraction, Graduated, Weighted
from halo_core.errors import ConfigError
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

Make = Callable[..., Sample]


def sample_with(stage: Stage, warnings: int = 0, score: float = 0.0, status: Status | None = None) -> Sample:
    status = status or (Status.PASS if stage is Stage.CORRECT else Status.FAIL)
    return Sample(Prompt("p"), Completion("p", 0, "x"), Verdict(status, stage, score, warnings))


@pytest.mark.parametrize(
    ("stage", "clean", "with_warnings", "monotone"),
    [
        (Stage.INVALID, 0.0, 0.0, 0.0),  # syntax error
        (Stage.FLAWED, 0.3, 0.3, 0.3),  # warnings
        (Stage.UNTESTED, 0.5, 0.3, 0.5),  # compiles; the maximum for a prompt without tests
        (Stage.CRASHED, 0.5, 0.3, 0.5),  # compiles, crashes
        (Stage.WRONG, 0.7, 0.3, 0.7),  # runs, wrong output
        (Stage.CORRECT, 1.0, 0.3, 1.0),  # full reward
    ],
)
def test_the_published_and_the_monotone_ladder(
    stage: Stage, clean: float, with_warnings: float, monotone: float
) -> None:
    assert Graduated().reward(sample_with(stage)) == clean
    assert Graduated().reward(sample_with(stage, warnings=2)) == with_warnings
    assert Graduated(monotone=True).reward(sample_with(stage)) == monotone
    assert Graduated(monotone=True).reward(sample_with(stage, warnings=2)) == monotone


def test_every_stage_has_a_reward() -> None:
    assert set(LADDER) == set(Stage)


def test_monotone_never_decreases_with_the_stage() -> None:
    for warnings in (0, 1):
        rewards = [Graduated(monotone=True).reward(sample_with(stage, warnings)) for stage in Stage]
        assert rewards == sorted(rewards)


def test_as_published_a_clean_crash_gets_more_than_a_correct_answer_with_a_warning() -> None:
    graduated = Graduated()
    assert graduated.reward(sample_with(Stage.CRASHED)) > graduated.reward(
        sample_with(Stage.CORRECT, warnings=1)
    )


@pytest.mark.parametrize(("status", "reward"), [(Status.PASS, 1.0), (Status.FAIL, 0.0)])
@pytest.mark.parametrize("stage", Stage)
def test_binary_depends_on_the_status_alone(status: Status, reward: float, stage: Stage) -> None:
    assert Binary().reward(sample_with(stage, 3, 0.5, status)) == reward


def test_fraction_is_the_share_of_checks() -> None:
    assert Fraction().reward(sample_with(Stage.WRONG, score=0.25)) == 0.25


@pytest.mark.parametrize("reward", [Graduated(), Graduated(monotone=True), Binary(), Fraction()], ids=repr)
@given(stage=st.sampled_from(Stage), warnings=st.integers(0, 5), score=st.floats(0, 1))
def test_a_reward_is_from_0_to_1_and_depends_on_the_verdict_alone(
    reward: Reward, stage: Stage, warnings: int, score: float
) -> None:
    sample = sample_with(stage, warnings, score)
    other = Sample(
        Prompt("other", "text"), Completion("other", 5, "y", (1,), (2,), "length"), sample.verdict, 9.0, 3.0
    )
    value = reward.reward(sample)
    assert isinstance(value, float)
    assert 0.0 <= value <= 1.0
    assert reward.reward(other) == value


# weighted


def with_signals(**signals: float) -> Sample:
    verdict = Verdict(Status.FAIL, Stage.WRONG, 0.25, warnings=2, signals={"gcc.score": 0.5, **signals})
    return Sample(Prompt("p"), Completion("p", 0, "x"), verdict)


def test_a_weighted_sum_of_signals_and_fields() -> None:
    weights = {"gcc.score": 2.0, "score": 1.0, "passed": 5.0, "valid": 0.5, "warnings": -0.1, "short": -1.0}
    reward = Weighted(weights=weights).reward(with_signals(short=0.25))
    assert reward == pytest.approx(2 * 0.5 + 0.25 + 0.5 - 0.2 - 0.25)
    assert Weighted(weights={"passed": 1.0}).reward(sample_with(Stage.CORRECT)) == 1.0
    assert Weighted(weights={"score": 1.0}).reward(with_signals(score=0.75)) == 0.75, (
        "the verifier's own signal"
    )


def test_a_missing_signal_is_an_error_unless_it_has_a_value() -> None:
    weights = {"gcc.scor": 1.0, "score": 1.0}
    with pytest.raises(ConfigError, match="a verdict on prompt 'p' has no signal 'gcc") as caught:
        Weighted(weights=weights).reward(with_signals())
    assert "did you mean 'gcc.score'?" in caught.value.hint
    assert Weighted(weights=weights, missing=0.5).reward(with_signals()) == 0.75


def test_weights_are_needed() -> None:
    wrong: list[dict[str, Any]] = [{}, {"weights": {}}, {"weights": {"score": float("nan")}}]
    for options in wrong:
        with pytest.raises(ConfigError, match="weights"):
            build(Weighted, options, where="reward 'weighted'")
    from_command_line = build(Weighted, {"weights": '{"score": 0.5}', "missing": "0"}, where="reward")
    assert from_command_line == Weighted(weights={"score": 0.5}, missing=0.0)
