"""The contract of rewards, as a test class to subclass."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path

import pytest

from halo_core.config.options import build
from halo_core.drivers.base import Reward
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

__all__ = ["RewardContract"]

_TEXTS = ("", "\0", "\ud800", "é" * 10, "a" * 100_000)


class RewardContract(ABC):
    """Tests of the contract of `halo_core.drivers.Reward`. Subclass it and define the fixtures."""

    @pytest.fixture
    @abstractmethod
    def reward(self) -> Reward:
        """The reward to test."""

    @pytest.fixture
    def signals(self) -> dict[str, float]:
        """The signals of every verdict that the reward is given; override it for a reward that needs some."""
        return {}

    @pytest.fixture
    def better(self, signals: dict[str, float]) -> Sample:
        """A sample that must get a higher reward than `worse`; by default one that passed."""
        return make_sample(Stage.CORRECT, signals=signals)

    @pytest.fixture
    def worse(self, signals: dict[str, float]) -> Sample:
        """A sample that must get a lower reward than `better`; by default one that is not well-formed."""
        return make_sample(Stage.INVALID, signals=signals)

    @pytest.fixture
    def samples(self, signals: dict[str, float], better: Sample, worse: Sample) -> list[Sample]:
        """Samples of every stage, with odd texts, with and without token ids."""
        made = [
            make_sample(stage, text, score=score, warnings=warnings, signals=signals)
            for stage, text, score, warnings in product(Stage, _TEXTS, (0.0, 0.5), (0, 3))
        ]
        bare = [replace(each, completion=Completion("p", 0, each.completion.text)) for each in made[::7]]
        return [*made, *bare, better, worse]

    def test_preflight_passes_here(self, reward: Reward) -> None:
        """Check that the test machine has what the reward needs."""
        reward.preflight()

    def test_rewards_are_finite_numbers_or_none(self, reward: Reward, samples: Sequence[Sample]) -> None:
        """Check every stage, with odd texts: a reward is a finite number, or None for a sample that is not eligible."""
        for each in samples:
            value = reward.reward(each)
            assert value is None or type(value) in (int, float), f"{value!r} is not a number"
            assert value is None or math.isfinite(value)

    def test_better_gets_more_than_worse(self, reward: Reward, better: Sample, worse: Sample) -> None:
        """Check that `better` gets more than `worse`."""
        more, less = reward.reward(better), reward.reward(worse)
        assert more is not None
        assert less is not None
        assert more > less

    def test_depends_on_the_sample_alone(self, reward: Reward, samples: Sequence[Sample]) -> None:
        """Check that neither the order of the calls nor threads have an effect."""
        forward = [reward.reward(each) for each in samples]
        backward = [reward.reward(each) for each in reversed(samples)]
        with ThreadPoolExecutor(8) as pool:
            threaded = list(pool.map(reward.reward, samples))
        assert backward[::-1] == forward
        assert threaded == forward

    def test_ignores_the_reward_before(self, reward: Reward, samples: Sequence[Sample]) -> None:
        """Check that a sample's own reward, weight and times have no effect: stored samples are rewarded again."""
        for each in samples:
            verdict = replace(each.verdict, cpu_seconds=9.0, wall_seconds=9.0)
            again = replace(each, verdict=verdict, reward=0.25, weight=3.0)
            assert reward.reward(again) == reward.reward(each)

    def test_options_round_trip(self, reward: Reward, samples: Sequence[Sample]) -> None:
        """Check that a reward rebuilt from its options gives the same rewards."""
        rebuilt = build(type(reward), asdict(reward), where="reward")  # type: ignore[call-overload]
        assert rebuilt == reward
        assert [rebuilt.reward(each) for each in samples] == [reward.reward(each) for each in samples]

    def test_leaves_the_working_directory_alone(self, reward: Reward, samples: Sequence[Sample]) -> None:
        """Check that the reward leaves no files in the working directory."""
        before = sorted(Path.cwd().iterdir())
        for each in samples:
            reward.reward(each)
        assert sorted(Path.cwd().iterdir()) == before


def make_sample(
    stage: Stage,
    text: str = "an answer",
    *,
    score: float = 0.0,
    warnings: int = 0,
    signals: dict[str, float] | None = None,
) -> Sample:
    """Return a sample whose completion reached `stage`: a pass with a score of 1 if that is `CORRECT`, else a fail."""
    passed = stage is Stage.CORRECT
    verdict = Verdict(
        Status.PASS if passed else Status.FAIL,
        stage,
        score=1.0 if passed else score,
        warnings=warnings,
        signals=signals or {},
    )
    completion = Completion("p", 0, text, (1, 2), (3, 4, 5), logprobs=(-1.0, -2.0, -0.5))
    return Sample(Prompt("p", "task"), completion, verdict)
