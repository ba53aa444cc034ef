"""The contract of selectors, as a test class to subclass."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, replace

import pytest

from halo_core.config.options import build
from halo_core.drivers.base import Selector
from halo_core.model.contexts import SelectionContext
from halo_core.testing.samples import make_samples
from halo_core.types import Sample


class SelectorContract(ABC):
    """Tests of the contract of `halo_core.drivers.Selector`. Subclass it and define the fixture `selector`."""

    @pytest.fixture
    @abstractmethod
    def selector(self) -> Selector:
        """The selector to test."""

    @pytest.fixture
    def samples(self) -> list[Sample]:
        """The samples of a cycle, of which the selector chooses some. Override it if these do not suit."""
        rewards = {
            "mixed": [1.0, 0.7, 0.5, 0.3, 0.0, 1.0, 0.7, 0.0],
            "tied": [1.0, 0.0] * 4,
            "solved": [1.0] * 6,
            "hopeless": [0.0] * 6,
            "single": [1.0],
        }
        samples = make_samples(rewards)
        samples[5] = _like(samples[5], samples[0])
        samples[8] = replace(samples[8], completion=replace(samples[8].completion, finish_reason="length"))
        return samples

    def test_preflight_passes_here(self, selector: Selector) -> None:
        """Check that the test machine has what the selector needs."""
        selector.preflight()

    def test_chooses_some_of_the_given_samples(self, selector: Selector, samples: list[Sample]) -> None:
        """Check that it chooses given samples, each once, changes only weights, and chooses at least one."""
        chosen = _select(selector, samples)
        assert any(sample.weight for sample in chosen), "nothing to train on was chosen"

    def test_the_order_of_the_samples_does_not_matter(
        self, selector: Selector, samples: list[Sample]
    ) -> None:
        """Check that shuffled samples give the same choice in the same order."""
        wanted = _select(selector, samples)
        rng = random.Random(0)
        for _ in range(8):
            assert _select(selector, rng.sample(samples, len(samples))) == wanted

    def test_depends_on_the_seed_alone(self, selector: Selector, samples: list[Sample]) -> None:
        """Check that global random numbers are neither used nor changed."""
        wanted = [_select(selector, samples, seed) for seed in range(4)]
        for noise in range(4):
            random.seed(noise)
            state = random.getstate()
            assert [_select(selector, samples, seed) for seed in range(4)] == wanted
            assert random.getstate() == state, "the state of `random` changed"

    @pytest.mark.parametrize(
        "rewards",
        [
            [],
            [1.0],
            [0.0],
            [0.0] * 5,
            [1.0] * 5,
            [-3.0, -2.0, -1.0],
            [0.0, 1e30],
            [1e-30, 2e-30],
            [0.5, -0.0],
        ],
        ids=str,
    )
    def test_any_rewards_can_be_selected_from(self, selector: Selector, rewards: list[float]) -> None:
        """Check odd rewards: none, one, equal ones, negative ones. The choice may be empty."""
        _select(selector, make_samples({"p": rewards} if rewards else {}))
        _select(selector, make_samples({"p": rewards, "q": rewards} if rewards else {}))

    def test_needs_neither_tokens_nor_logprobs(self, selector: Selector, samples: list[Sample]) -> None:
        """Check completions of which only the text is known, and completions that were all cut short."""
        bare = [
            replace(s, completion=replace(s.completion, prompt_token_ids=(), token_ids=(), logprobs=None))
            for s in samples
        ]
        _select(selector, bare)
        _select(
            selector, [replace(s, completion=replace(s.completion, finish_reason="length")) for s in samples]
        )

    def test_leaves_its_input_alone(self, selector: Selector, samples: list[Sample]) -> None:
        """Check that the list of samples is not changed."""
        before = list(samples)
        selector.select(samples, SelectionContext(seed=0))
        assert samples == before

    def test_options_round_trip(self, selector: Selector, samples: list[Sample]) -> None:
        """Check that a selector rebuilt from its options chooses the same."""
        rebuilt = build(type(selector), asdict(selector), where="selector")  # type: ignore[call-overload]
        assert _select(rebuilt, samples) == _select(selector, samples)


def _select(selector: Selector, samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """Return the choice, and check what every choice must satisfy."""
    chosen = selector.select(samples, SelectionContext(seed=seed))
    assert isinstance(chosen, Sequence), f"select returned {type(chosen).__name__} instead of a list"
    left = {_key(sample): sample for sample in samples}
    for sample in chosen:
        given = left.pop(_key(sample), None)
        assert given is not None, f"{_key(sample)} was chosen twice, or was not among the samples"
        assert replace(sample, weight=given.weight) == given, f"{_key(sample)}: more than the weight changed"
        assert isinstance(sample.weight, int | float)
        assert math.isfinite(sample.weight), f"{_key(sample)} has weight {sample.weight}"
    return list(chosen)


def _key(sample: Sample) -> tuple[str, int]:
    return sample.prompt.id, sample.completion.index


def _like(sample: Sample, other: Sample) -> Sample:
    """Return `sample` with the answer of `other`."""
    return replace(sample, completion=replace(other.completion, index=sample.completion.index))
