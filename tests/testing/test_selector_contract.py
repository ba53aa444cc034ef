"""The contract of selectors: `raft` satisfies it, and it catches selectors that violate it."""

from __future__ import annotations

import inspect
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from present import present

from halo_core.config.options import driver
from halo_core.drivers.base import Selector
from halo_core.drivers.raft import RAFT
from halo_core.model.contexts import SelectionContext
from halo_core.testing import SelectorContract, make_samples
from halo_core.types import Sample


class TestRAFT(SelectorContract):
    @pytest.fixture
    def selector(self) -> Selector:
        return RAFT()


class TestBestOfRun(SelectorContract):
    @pytest.fixture
    def selector(self) -> Selector:
        return RAFT(per="run", keep_top=0.3, cap=1, truncated=True, threshold=0.0)


def selector(select: Callable[..., Any], **methods: Any) -> Selector:
    """Return a selector whose choice is `select(samples, seed)`."""

    def method(self: Selector, samples: Sequence[Sample], context: SelectionContext) -> Any:
        return select(samples, context.seed)

    cls: type[Selector] = type("Broken", (Selector,), {"select": method, **methods})
    return driver(cls)()


def best(samples: Sequence[Sample], seed: int = 0) -> list[Sample]:
    """Return what deserves training, in a fixed order."""
    chosen = [sample for sample in samples if present(sample.reward) >= 0.5]
    return sorted(chosen, key=lambda s: (s.prompt.id, s.completion.index))


def weighted(samples: Sequence[Sample], weight: float) -> list[Sample]:
    return [replace(sample, weight=weight) for sample in best(samples)]


def standardized(samples: Sequence[Sample], seed: int) -> list[Sample]:
    """Divide by a spread that may be 0."""
    rewards = [present(sample.reward) for sample in samples]
    return weighted(samples, (max(rewards) - rewards[0]) / (max(rewards) - min(rewards)))


def drained(samples: list[Sample], seed: int) -> list[Sample]:
    chosen = best(samples)
    samples.clear()
    return chosen


@driver
class Sized(Selector):
    """Reads an option from outside the options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", next(SIZES))

    def select(self, samples: Sequence[Sample], context: SelectionContext) -> Sequence[Sample]:
        return best(samples)[: self.size]  # type: ignore[attr-defined]


SIZES = itertools.count(1)
VIOLATIONS: list[tuple[str, str, Selector]] = [
    ("preflight fails", "preflight_passes_here", selector(best, preflight=lambda self: 1 / 0)),
    ("chooses nothing", "chooses_some_of_the_given_samples", selector(lambda samples, _: [])),
    ("chooses only weights of 0", "chooses_some_of_the_given_samples", selector(lambda s, _: weighted(s, 0.0))),
    ("None", "chooses_some_of_the_given_samples", selector(lambda *_: None)),
    ("an iterator", "chooses_some_of_the_given_samples", selector(lambda s, _: iter(best(s)))),
    ("chooses one twice", "chooses_some_of_the_given_samples", selector(lambda s, _: [*best(s), best(s)[0]])),
    ("invents a sample", "chooses_some_of_the_given_samples",
     selector(lambda s, _: [*best(s), *make_samples({"new": [1.0]})])),
    ("changes a reward", "chooses_some_of_the_given_samples",
     selector(lambda s, _: [replace(each, reward=2.0) for each in best(s)])),
    ("changes a completion", "chooses_some_of_the_given_samples",
     selector(lambda s, _: [replace(each, completion=replace(each.completion, text="x")) for each in best(s)])),
    ("a weight of nan", "chooses_some_of_the_given_samples", selector(lambda s, _: weighted(s, math.nan))),
    ("a weight of None", "chooses_some_of_the_given_samples", selector(lambda s, _: weighted(s, None))),  # type: ignore[arg-type]
    ("the first ones", "the_order_of_the_samples_does_not_matter", selector(lambda s, _: s[:8])),
    ("keeps the order", "the_order_of_the_samples_does_not_matter",
     selector(lambda s, _: [each for each in s if each.reward == 1.0])),
    ("ties by order", "the_order_of_the_samples_does_not_matter",
     selector(lambda s, _: best(sorted(s, key=lambda each: -present(each.reward))[:4]))),
    ("global random numbers", "depends_on_the_seed_alone",
     selector(lambda s, _: random.sample(best(s), 3) if s else [])),
    ("seeds the global generator", "depends_on_the_seed_alone",
     selector(lambda s, seed: random.seed(seed) or best(s))),
    ("needs a sample", "any_rewards_can_be_selected_from", selector(lambda s, _: [max(s, key=lambda x: x.reward)])),
    ("divides by the spread", "any_rewards_can_be_selected_from", selector(standardized)),
    ("needs tokens", "needs_neither_tokens_nor_logprobs",
     selector(lambda s, _: [x for x in best(s) if x.completion.token_ids[-1] == 0])),
    ("needs log-probabilities", "needs_neither_tokens_nor_logprobs",
     selector(lambda s, _: [x for x in best(s) if len(present(x.completion.logprobs))])),
    ("empties the list", "leaves_its_input_alone", selector(drained)),
    ("options from outside", "options_round_trip", Sized()),
]  # fmt: skip
ODD = [[], [1.0], [1.0] * 5]


@pytest.mark.parametrize(
    ("name", "selector"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS]
)
def test_a_selector_that_violates_the_contract_is_caught(name: str, selector: Selector) -> None:
    samples = TestRAFT.samples.__wrapped__(TestRAFT())  # type: ignore[attr-defined]
    test = getattr(TestRAFT(), f"test_{name}")
    parameters = inspect.signature(test).parameters
    given = [{"rewards": rewards} for rewards in ODD] if "rewards" in parameters else [{"samples": samples}]

    def call_all() -> None:
        for each in given:
            arguments = {"selector": selector, **each}
            test(**{key: arguments[key] for key in parameters})

    with pytest.raises((AssertionError, ZeroDivisionError, ValueError, TypeError, IndexError)):
        call_all()


def test_every_test_of_the_contract_is_violated_above() -> None:
    tests = {name for name in vars(SelectorContract) if name.startswith("test_")}
    assert tests == {f"test_{row[1]}" for row in VIOLATIONS}
