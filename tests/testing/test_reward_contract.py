"""The contract of rewards: those of the core satisfy it, and broken ones fail each of its tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import Reward, driver
from halo_core.drivers.rewards import Binary, Fraction, Graduated, Weighted
from halo_core.errors import PluginError
from halo_core.testing import RewardContract, make_sample
from halo_core.types import Sample, Stage


class TestCore(RewardContract):
    @pytest.fixture(
        params=[Graduated(), Graduated(monotone=True), Binary(), Fraction()],
        ids=["graduated", "monotone", "binary", "fraction"],
    )
    def reward(self, request: pytest.FixtureRequest) -> Reward:
        found: Reward = request.param
        return found


def broken(reward: Callable[[Sample], Any], **parts: Any) -> Reward:
    cls: type[Reward] = type("Broken", (Reward,), {"reward": lambda self, sample: reward(sample), **parts})
    return driver(cls)()


def no_server(self: Reward) -> None:
    raise PluginError("no server")


def forgets_its_scale() -> Reward:
    made = broken(lambda it: it.verdict.score)

    def scaled(sample: Sample) -> float:
        return 2 * sample.verdict.score

    vars(made)["reward"] = scaled
    return made


CALLS = count()
VIOLATIONS: dict[str, dict[str, Callable[[], Reward]]] = {
    "preflight_passes_here": {"preflight": lambda: broken(lambda it: 0.0, preflight=no_server)},
    "rewards_are_finite_numbers_or_none": {
        "nan": lambda: broken(lambda it: float("nan")),
        "infinite": lambda: broken(lambda it: 1 / it.verdict.score if it.verdict.score else float("inf")),
        "a bool": lambda: broken(lambda it: it.verdict.valid),
        "a text": lambda: broken(lambda it: "1"),
        "a list": lambda: broken(lambda it: [1.0]),
        "raises on a stage": lambda: broken(lambda it: {Stage.CORRECT: 1, Stage.WRONG: 0}[it.verdict.stage]),
        "raises on an empty text": lambda: broken(lambda it: 1 / len(it.completion.text)),
        "raises on half a character": lambda: broken(lambda it: len(it.completion.text.encode())),
        "raises without tokens": lambda: broken(lambda it: 1 / len(it.completion.token_ids)),
        "raises without log-probabilities": lambda: broken(lambda it: it.completion.logprobs[0]),  # type: ignore[index]
    },
    "better_gets_more_than_worse": {
        "constant": lambda: broken(lambda it: 1.0),
        "reversed": lambda: broken(lambda it: -it.verdict.score),
        "excluded": lambda: broken(lambda it: None),
    },
    "depends_on_the_sample_alone": {"counts calls": lambda: broken(lambda it: next(CALLS))},
    "ignores_the_reward_before": {
        "the reward": lambda: broken(lambda it: (it.reward or 0.0) + it.verdict.score),
        "the weight": lambda: broken(lambda it: it.weight),
        "the time": lambda: broken(lambda it: -it.verdict.wall_seconds),
    },
    "options_round_trip": {"hidden option": forgets_its_scale},
    "leaves_the_working_directory_alone": {
        "a log": lambda: broken(lambda it: Path("log").write_text(it.verdict.stage)),
    },
}


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param(name, make, id=violation)
        for name, makers in VIOLATIONS.items()
        for violation, make in makers.items()
    ],
)
def test_a_reward_that_violates_the_contract_is_caught(
    name: str, make: Callable[[], Reward], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    better, worse = make_sample(Stage.CORRECT), make_sample(Stage.INVALID)
    plain = [make_sample(stage, text) for stage in Stage for text in ("", "a", "\ud800")]
    bare = [replace(each, completion=replace(each.completion, token_ids=(), logprobs=None)) for each in plain]
    fixtures = {"reward": make(), "better": better, "worse": worse, "samples": [*plain, *bare, better, worse]}
    test = getattr(RewardContract, f"test_{name}")
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    with pytest.raises((AssertionError, ValueError, ArithmeticError, LookupError, TypeError, PluginError)):
        test(None, **{each: fixtures[each] for each in names})


def test_every_contract_test_is_violated_above() -> None:
    tests = {name for name in vars(RewardContract) if name.startswith("test_")}
    assert tests == {f"test_{name}" for name in VIOLATIONS}


@driver
class NeedsASignal(Reward):
    """Rewards a signal of the verifier."""

    def reward(self, sample: Sample) -> float:
        return sample.verdict.signals["format"] if sample.verdict.valid else -1.0


class TestSignals(RewardContract):
    """A reward that needs a signal gets it through the fixture `signals`."""

    @pytest.fixture
    def reward(self) -> Reward:
        return NeedsASignal()

    @pytest.fixture
    def signals(self) -> dict[str, float]:
        return {"format": 0.5}


class TestWeighted(RewardContract):
    @pytest.fixture
    def reward(self) -> Reward:
        return Weighted(weights={"score": 1.0, "valid": 0.25, "gcc.score": 0.5, "length": -0.1}, missing=0.5)

    @pytest.fixture
    def signals(self) -> dict[str, float]:
        return {"gcc.score": 0.5}
