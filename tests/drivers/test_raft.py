from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from present import present
from pydantic import ValidationError

from halo_core.drivers.raft import RAFT
from halo_core.model.contexts import SelectionContext
from halo_core.types import Completion, FinishReason, Prompt, Sample, Stage, Status, Verdict

Make = Callable[..., Sample]


def sample(prompt: str, index: int, reward: float, variant: int, finish: FinishReason = "stop") -> Sample:
    completion = Completion(prompt, index, f"variant {variant}", (1,), (variant,), finish)
    return Sample(Prompt(prompt), completion, Verdict(Status.PASS, Stage.CORRECT), reward)


def summary(chosen: Sequence[Sample]) -> list[tuple[str, int, float]]:
    return [(s.prompt.id, s.completion.index, s.weight) for s in chosen]


FINISH_REASONS: list[FinishReason] = ["stop", "stop", "length"]


@st.composite
def cycles(draw: st.DrawFn) -> list[Sample]:
    """Draw samples of a cycle with few prompts, rewards and texts, so that ties and duplicates are frequent."""
    found = []
    for number in range(draw(st.integers(0, 4))):
        for index in range(draw(st.integers(0, 9))):
            reward = draw(st.sampled_from([0.0, 0.3, 0.5, 0.7, 1.0]))
            finish = draw(st.sampled_from(FINISH_REASONS))
            found.append(sample(f"p{number}", index, reward, draw(st.integers(0, 3)), finish))
    return found


OPTIONS = st.fixed_dictionaries(
    {
        "threshold": st.sampled_from([0.0, 0.5, 0.9]),
        "keep_top": st.sampled_from([0.1, 0.25, 0.5, 1.0]),
        "per": st.sampled_from(["prompt", "run"]),
        "cap": st.sampled_from([None, 1, 2]),
        "truncated": st.booleans(),
    }
)


@given(cycles(), OPTIONS, st.integers(0, 3), st.randoms(use_true_random=False))
def test_the_order_of_the_samples_never_matters(
    samples: list[Sample], options: dict[str, Any], seed: int, rng: random.Random
) -> None:
    shuffled = rng.sample(samples, len(samples))
    assert RAFT(**options).select(samples, SelectionContext(seed=seed)) == RAFT(**options).select(
        shuffled, SelectionContext(seed=seed)
    )


@given(cycles(), OPTIONS, st.integers(0, 3))
def test_the_selection_respects_every_option(
    samples: list[Sample], options: dict[str, Any], seed: int
) -> None:
    raft = RAFT(**options)
    chosen = raft.select(samples, SelectionContext(seed=seed))
    assert len({(s.prompt.id, s.completion.token_ids) for s in chosen}) == len(chosen), "no duplicates"
    assert all(s.reward is not None and s.reward >= raft.threshold for s in chosen)
    assert raft.truncated or all(s.completion.finish_reason == "stop" for s in chosen)
    if raft.cap is not None:
        assert all(count <= raft.cap for count in Counter(s.prompt.id for s in chosen).values())
    else:
        eligible = [
            s
            for s in samples
            if present(s.reward) >= raft.threshold
            and (raft.truncated or s.completion.finish_reason == "stop")
        ]
        groups = Counter(s.prompt.id for s in eligible) if raft.per == "prompt" else {"all": len(eligible)}
        wanted = sum(-(-round(100 * raft.keep_top) * count // 100) for count in groups.values())
        assert sum(s.weight for s in chosen) == wanted, "k merged duplicates have weight k"
    assert {(s.prompt.id, s.completion.index) for s in chosen} <= {
        (s.prompt.id, s.completion.index) for s in samples
    }


@given(cycles(), st.integers(0, 3))
def test_no_better_sample_of_a_prompt_is_left_out(samples: list[Sample], seed: int) -> None:
    chosen = RAFT(threshold=0.0, truncated=True).select(samples, SelectionContext(seed=seed))
    for prompt in {s.prompt.id for s in samples}:
        selected = {s.completion.token_ids for s in chosen if s.prompt.id == prompt}
        worst = min(present(s.reward) for s in chosen if s.prompt.id == prompt)
        rest = [s for s in samples if s.prompt.id == prompt and s.completion.token_ids not in selected]
        assert all(present(s.reward) <= worst for s in rest)


def tied(count: int, prompts: int = 1) -> list[Sample]:
    return [sample(f"p{p}", index, 1.0, index) for p in range(prompts) for index in range(count)]


def test_ties_are_broken_by_the_seed_and_not_by_file_order() -> None:
    chosen = {tuple(summary(RAFT().select(tied(20), SelectionContext(seed=seed)))) for seed in range(30)}
    assert len(chosen) > 25
    first_half = tuple(summary(tied(10)))
    assert first_half not in chosen
    counts = Counter(index for one in chosen for _, index, _ in one)
    assert set(counts) == set(range(20)), "every tied sample can be selected"
    assert max(counts.values()) < 28


def test_the_same_seed_gives_the_same_selection() -> None:
    assert RAFT().select(tied(20), SelectionContext(seed=7)) == RAFT().select(
        tied(20), SelectionContext(seed=7)
    )


def test_ties_are_broken_independently_for_each_prompt() -> None:
    chosen = RAFT().select(tied(8, prompts=6), SelectionContext(seed=0))
    by_prompt = {tuple(s.completion.index for s in chosen if s.prompt.id == f"p{p}") for p in range(6)}
    assert len(by_prompt) > 1


def test_the_threshold_applies_before_the_share() -> None:
    samples = [sample("p", n, reward, n) for n, reward in enumerate([0.0, 0.3, 0.5, 0.7, 1.0, 1.0])]
    chosen = RAFT().select(samples, SelectionContext(seed=0))
    assert [s.completion.index for s in chosen] == [4, 5], "half of the four that reach 0.5"
    assert [s.completion.index for s in RAFT(keep_top=1).select(samples, SelectionContext(seed=0))] == [
        2,
        3,
        4,
        5,
    ]
    assert [
        s.completion.index for s in RAFT(threshold=0.9, keep_top=1).select(samples, SelectionContext(seed=0))
    ] == [4, 5]


@pytest.mark.parametrize(
    ("share", "count", "kept"),
    [
        (0.5, 1, 1),
        (0.5, 3, 2),
        (0.5, 4, 2),
        (0.1, 5, 1),
        (0.07, 100, 7),
        (0.28, 25, 7),
        (0.3, 10, 3),
        (1.0, 7, 7),
    ],
)
def test_the_share_is_rounded_up_except_for_float_rounding(share: float, count: int, kept: int) -> None:
    assert len(RAFT(keep_top=share).select(tied(count), SelectionContext(seed=0))) == kept


def test_the_share_is_taken_per_prompt_or_per_run() -> None:
    easy = [sample("easy", n, 1.0, n) for n in range(4)]
    hard = [sample("hard", n, 0.5, n) for n in range(4)]
    per_prompt = Counter(s.prompt.id for s in RAFT().select(easy + hard, SelectionContext(seed=0)))
    assert per_prompt == {"easy": 2, "hard": 2}
    assert Counter(s.prompt.id for s in RAFT(per="run").select(easy + hard, SelectionContext(seed=0))) == {
        "easy": 4
    }


def test_truncated_completions_are_excluded_before_the_share() -> None:
    samples = [sample("p", 0, 1.0, 0, "length"), sample("p", 1, 1.0, 1, "length"), *tied(6)[2:]]
    samples = [
        sample("p", s.completion.index, 1.0, s.completion.index, s.completion.finish_reason) for s in samples
    ]
    chosen = RAFT().select(samples, SelectionContext(seed=0))
    assert len(chosen) == 2
    assert {s.completion.index for s in chosen} <= {2, 3, 4, 5}
    assert len(RAFT(truncated=True, keep_top=1).select(samples, SelectionContext(seed=0))) == 6


def test_duplicates_are_merged_and_weighted() -> None:
    samples = [sample("p", n, 1.0, variant) for n, variant in enumerate([7, 7, 8, 7])]
    chosen = RAFT(keep_top=1).select(samples, SelectionContext(seed=0))
    assert sorted((s.completion.token_ids[0], s.weight) for s in chosen) == [(7, 3.0), (8, 1.0)]


def test_equal_tokens_of_different_prompts_are_not_merged() -> None:
    samples = [sample("p", 0, 1.0, 7), sample("q", 0, 1.0, 7)]
    assert summary(RAFT().select(samples, SelectionContext(seed=0))) == [("p", 0, 1.0), ("q", 0, 1.0)]


def test_different_tokens_of_the_same_text_are_not_merged(make_sample: Make) -> None:
    samples = [make_sample("p", n, text="ab", ids=ids) for n, ids in enumerate([(1, 2), (3,), (1, 2)])]
    assert sorted(s.weight for s in RAFT(keep_top=1).select(samples, SelectionContext(seed=0))) == [
        1.0,
        2.0,
    ], "training uses the sampled tokens"


def test_without_tokens_the_texts_are_compared(make_sample: Make) -> None:
    samples = [make_sample("p", n, text=text, ids=()) for n, text in enumerate(["a", "b", "a"])]
    assert sorted(s.weight for s in RAFT(keep_top=1).select(samples, SelectionContext(seed=0))) == [1.0, 2.0]


def test_the_cap_counts_distinct_completions_and_keeps_the_best() -> None:
    rewards = [(0.5, 1), (1.0, 2), (1.0, 2), (0.7, 3), (0.7, 3)]
    samples = [sample("p", n, reward, variant) for n, (reward, variant) in enumerate(rewards)]
    chosen = RAFT(keep_top=1, cap=2).select(samples, SelectionContext(seed=0))
    assert sorted((s.completion.token_ids[0], s.weight) for s in chosen) == [(2, 2.0), (3, 2.0)]


def test_a_sample_without_a_reward_is_never_selected(make_sample: Make) -> None:
    assert RAFT(threshold=0.0).select([make_sample("p", 0, reward=None)], SelectionContext(seed=0)) == []


@pytest.mark.parametrize("samples", [[], [sample("p", 0, 0.3, 0)]])
def test_the_selection_is_empty_if_no_sample_is_eligible(samples: list[Sample]) -> None:
    assert RAFT().select(samples, SelectionContext(seed=0)) == []


def test_the_given_samples_are_not_changed() -> None:
    samples = [sample("p", 0, 1.0, 7), sample("p", 1, 1.0, 7)]
    RAFT(keep_top=1).select(samples, SelectionContext(seed=0))
    assert [s.weight for s in samples] == [1.0, 1.0]


@pytest.mark.parametrize("options", [{"keep_top": 0}, {"keep_top": 1.01}, {"cap": 0}, {"per": "cycle"}])
def test_options_out_of_range_are_rejected(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RAFT(**options)


def test_ties_belong_to_completions() -> None:
    """Another threshold shares what it can: the ties among the best completions do not change."""
    samples = [sample("p", index, 1.0 if index % 2 else 0.6, index) for index in range(16)]
    other = [sample("q", index, 1.0, index) for index in range(4)]

    def chosen(among: Sequence[Sample], **options: Any) -> set[int]:
        found = RAFT(**options).select(among, SelectionContext(seed=5))
        return {s.completion.index for s in found if s.prompt.id == "p"}

    strict = chosen(samples, threshold=0.9, keep_top=0.5)
    assert len(strict) == 4
    assert chosen(samples, threshold=0.5, keep_top=0.25) == strict
    assert chosen([*other, *samples], threshold=0.9, keep_top=0.5) == strict
    assert chosen(samples, threshold=0.9, keep_top=0.75) > strict
    assert len({frozenset(_indices(samples, seed)) for seed in range(8)}) > 4, "the seed decides"


def _indices(samples: Sequence[Sample], seed: int) -> list[int]:
    return [
        s.completion.index
        for s in RAFT(threshold=0.9, keep_top=0.5).select(samples, SelectionContext(seed=seed))
    ]


def test_solved_prompts_are_left_out_or_count_less() -> None:
    solved = [sample("p", index, 1.0, 0) for index in range(4)]
    failed = Verdict(Status.FAIL, Stage.WRONG)
    half = [replace(s, verdict=failed) if s.completion.index < 2 else s for s in solved]
    mixed = [replace(s, prompt=Prompt("q"), completion=replace(s.completion, prompt_id="q")) for s in half]
    options: dict[str, Any] = {"keep_top": 1.0, "solved_at": 0.75}
    out = RAFT(**options).select([*solved, *mixed], SelectionContext(seed=0))
    assert summary(out) == [("q", out[0].completion.index, 4.0)]
    less = RAFT(**options, solved_weight=0.25).select([*solved, *mixed], SelectionContext(seed=0))
    assert [(s.prompt.id, s.weight) for s in less] == [("p", 1.0), ("q", 4.0)]
    peers = [replace(s, weight=0.0) for s in solved]
    assert (
        RAFT(**options).explain(peers[0], peers)
        == "its prompt is solved: 75% of its completions or more pass"
    )


def test_an_equal_completion_is_named_whatever_its_weight() -> None:
    """Two equal completions of a solved prompt with a weight of a half weigh 1.0 together."""
    equal = [sample("p", index, 1.0, 0) for index in range(2)]
    chosen = RAFT(keep_top=1.0, solved_at=1.0, solved_weight=0.5).select(equal, SelectionContext(seed=0))
    assert [s.weight for s in chosen] == [1.0]
    peers = [
        *chosen,
        *(replace(s, weight=0.0) for s in equal if s.completion.index != chosen[0].completion.index),
    ]
    other = peers[1]
    assert RAFT(keep_top=1.0, solved_at=1.0, solved_weight=0.5).explain(other, peers) == (
        f"it equals completion {chosen[0].completion.index}, whose weight counts it"
    )
