"""Samples that a cycle trains on besides its own selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from halo_core.config.mix import Mix
from halo_core.config.options import build
from halo_core.errors import ConfigError
from halo_core.run.mixing import mixed
from halo_core.types import Sample

Make = Callable[..., Sample]


def names(samples: list[Sample]) -> set[str]:
    return {sample.completion.text for sample in samples}


@pytest.fixture
def past(make_sample: Make) -> list[Sample]:
    """Six completions of each of two prompts, oldest first."""
    return [make_sample(prompt, n) for n in range(6) for prompt in ("a", "b")]


def test_replace_trains_on_the_selection_only(make_sample: Make, past: list[Sample]) -> None:
    chosen = [make_sample("a", 9)]
    assert mixed(chosen, past, Mix(), seed=0) == chosen


def test_accumulate_adds_the_newest_of_each_prompt(make_sample: Make, past: list[Sample]) -> None:
    chosen = [make_sample("a", 9), make_sample("a", 8)]
    kept = mixed(chosen, past, Mix(mode="accumulate", cap=4), seed=0)
    assert names(kept) == {"a/9", "a/8", "a/5", "a/4", "b/5", "b/4", "b/3", "b/2"}


def test_the_last_selection_of_a_completion_counts(make_sample: Make, past: list[Sample]) -> None:
    again = replace(past[0], weight=5.0)
    kept = mixed([again], past, Mix(mode="accumulate"), seed=0)
    assert [sample.weight for sample in kept if sample.completion.text == "a/0"] == [5.0]
    assert len(kept) == 12


@pytest.mark.parametrize("again", [0, 2])
def test_a_completion_selected_again_is_as_new_as_its_last_selection(make_sample: Make, again: int) -> None:
    past = [make_sample("a", n) for n in range(4)] + [make_sample("a", again)]
    kept = mixed([make_sample("a", 9)], past, Mix(mode="accumulate", cap=2), seed=0)
    assert names(kept) == {"a/9", f"a/{again}"}
    kept = mixed([make_sample("a", 9)], past, Mix(mode="accumulate", cap=3), seed=0)
    assert names(kept) == {"a/9", f"a/{again}", "a/3"}


def test_the_cycles_own_selection_is_not_cut(make_sample: Make, past: list[Sample]) -> None:
    chosen = [make_sample("a", n) for n in range(10, 22)]
    kept = mixed(chosen, past, Mix(mode="accumulate", cap=10), seed=0)
    assert kept[:12] == chosen
    assert {sample.prompt.id for sample in kept[12:]} == {"b"}, "no room for older ones of the same prompt"


def test_replay_adds_a_random_share(make_sample: Make, past: list[Sample]) -> None:
    chosen = [make_sample("c", n) for n in range(12)]
    kept = mixed(chosen, past, Mix(mode="replay", share=0.25), seed=0)
    assert len(kept) == 16
    assert names(kept) - names(chosen) < names(past)
    assert kept == mixed(chosen, past, Mix(mode="replay", share=0.25), seed=0)
    assert names(kept) != names(mixed(chosen, past, Mix(mode="replay", share=0.25), seed=1))
    assert len(mixed(chosen, past, Mix(mode="replay", share=0.9), seed=0)) == 24, "there are not more"


def test_pairs_need_replay() -> None:
    with pytest.raises(ConfigError, match="pairs need mode"):
        build(Mix, {"pairs": "x.jsonl"}, where="mix")
