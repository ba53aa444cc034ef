"""Sampling in rounds: what solved prompts save goes to unsolved ones, and the reported rates stay unbiased."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from halo_core.config.rounds import Rounds
from halo_core.config.schema import read_config
from halo_core.drivers import Generator, driver
from halo_core.errors import ConfigError
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model.contexts import SamplingContext
from halo_core.run.pipeline import sample_and_verify
from halo_core.run.rounds import round_request
from halo_core.seeds import derive_seed
from halo_core.testing import fake_run, make_samples
from halo_core.types import Completion, CycleReport, Prompt, Sample, SamplingRequest

CHANCES = [1.0, 1.0, 1.0, 1.0, 0.5, 0.2, 0.1, 0.0]
"""Probability that a completion of prompt t0, t1, ... is right."""
ROUNDS: dict[str, Any] = {"size": 2, "most": 8, "enough": 2}


@driver
class Uneven(Generator):
    """Answers some prompts always, some sometimes and one never; every answer is another text."""

    batch: int = 3

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Sequence[Completion]]:
        jobs = [(p, i) for p in request.prompts for i in range(request.samples_per_prompt)]
        for number in range(request.done, -(-len(jobs) // self.batch)):
            rng = random.Random(derive_seed(request.seed, number))
            yield [
                self._complete(prompt, index, rng)
                for prompt, index in jobs[number * self.batch : (number + 1) * self.batch]
            ]

    def _complete(self, prompt: Prompt, index: int, rng: random.Random) -> Completion:
        chance = CHANCES[int(prompt.id[1:])] if prompt.id.startswith("t") else 0.5
        word = "right" if rng.random() < chance else "wrong"
        return Completion(prompt.id, index, f"{word} {rng.random()}", (1,), (2, 3, 4))


def run_in(place: Path, **settings: Any) -> list[CycleReport]:
    settings = {"rounds": ROUNDS, "samples_per_prompt": 6, "generator": Uneven(), **settings}
    run, hooks = fake_run(place, **settings)
    return run_cycles(run, hooks)


def sampled(place: Path, cycle: int = 1) -> list[Sample]:
    ledger = Ledger(place)
    return [s for batch in ledger.batches(cycle, "train", ledger.prompts("train")) for s in batch]


def test_what_solved_prompts_save_goes_to_the_others(tmp_path: Path) -> None:
    reports = run_in(tmp_path)
    for cycle in (1, 2):
        samples = sampled(tmp_path, cycle)
        counts = Counter(s.prompt.id for s in samples)
        passes = Counter(s.prompt.id for s in samples if s.verdict.score == 1)
        assert len(samples) == sum(counts.values()) <= 8 * 6, "the budget"
        assert all(counts[f"t{number}"] == 2 for number in range(4)), "two distinct passes are enough"
        assert counts["t7"] == 8, "at most"
        for name in ("t4", "t5", "t6"):
            assert passes[name] >= 2 or counts[name] == 8
            assert [s.completion.index for s in samples if s.prompt.id == name] == list(range(counts[name]))
        assert sum(reports[cycle].rounds) == len(samples)
        assert reports[cycle].rounds[0] == 16


def test_equal_passes_count_once(tmp_path: Path) -> None:
    """A prompt whose passes are all the same text is sampled further."""
    run, hooks = fake_run(tmp_path, rounds=ROUNDS, samples_per_prompt=6)
    run.actor.skill = 1.0  # type: ignore[attr-defined]
    samples = sample_and_verify(run, hooks, run.request(1, "train"))
    assert len(samples) == 16
    same = [replace(s, completion=replace(s.completion, text="right  1")) for s in samples]
    request = round_request(Rounds(**ROUNDS), run.request(1, "train"), 1, same)
    assert request
    assert len(request.prompts) == 8


def test_those_without_any_pass_come_first() -> None:
    samples = make_samples({"a": [1.0, 0.0], "b": [0.0, 0.0], "c": [0.0, 1.0], "d": [0.0, 0.0]})
    prompts = tuple({s.prompt.id: s.prompt for s in samples}.values())
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=3, seed=0)
    found = round_request(Rounds(size=2), request, 1, samples)
    assert found
    assert [prompt.id for prompt in found.prompts] == ["b", "d"]
    assert found.seed != request.seed
    assert found.samples_per_prompt == 2


def test_no_pass_among_many_precedes_a_pass_among_few() -> None:
    samples = make_samples({"a": [1.0, 0.0], "b": [0.0, 0.0, 0.0, 0.0]})
    prompts = tuple({s.prompt.id: s.prompt for s in samples}.values())
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=4, seed=0)
    found = round_request(Rounds(size=2), request, 2, samples)
    assert found
    assert [prompt.id for prompt in found.prompts] == ["b"]


def test_a_budget_of_tokens_limits_a_round() -> None:
    samples = make_samples({name: [0.0, 0.0] for name in "abcdef"})
    prompts = tuple({s.prompt.id: s.prompt for s in samples}.values())
    request = SamplingRequest(cycle=1, split="train", prompts=prompts, samples_per_prompt=99, seed=0)
    used = sum(s.completion.written for s in samples)
    for more, count in ((0, 0), (used / 6 + 1, 1), (used / 2 + 1, 3), (99 * used, 6)):
        found = round_request(Rounds(size=2, tokens=int(used + more)), request, 1, samples)
        assert (len(found.prompts) if found else 0) == count


def test_reported_rates_are_those_of_the_first_round(tmp_path: Path) -> None:
    (_, report, _) = run_in(tmp_path)
    samples = sampled(tmp_path)
    first = [s for s in samples if s.completion.index < 2]
    assert report.sampled
    assert report.sampled.samples == 16
    assert report.sampled.passed == sum(s.verdict.score for s in first) / 16
    assert report.sampled.passed != sum(s.verdict.score for s in samples) / len(samples), "it is biased"
    assert set(report.sampled.pass_at) == {"1", "2"}
    assert report.heldout
    assert report.heldout.samples == 4 * 8, "held-out prompts are not sampled in rounds"
    assert any("first round" in text for _, _, text in Ledger(tmp_path).events())


def test_difficulty_is_estimated_from_the_first_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(tmp_path)
    passes = Ledger(tmp_path).passes("train", 1, 1, below=2)
    assert all(total == 2 for _, total in passes.values())
    assert Ledger(tmp_path).passes("train", 1, 1)["t7"] == (0, 8)
    asked: list[Any] = []
    run, _ = fake_run(
        tmp_path, rounds=ROUNDS, samples_per_prompt=6, curriculum={"order": "easy_first"}, cycles=4
    )
    real = run.ledger.passes

    def recorded(*arguments: Any, **options: Any) -> Any:
        asked.append(options)
        return real(*arguments, **options)

    monkeypatch.setattr(run.ledger, "passes", recorded)
    run.request(3, "train")
    assert asked == [{"below": 2}]


class Killed(BaseException):
    """A simulated kill; nothing catches it."""


def test_a_run_that_is_killed_and_resumed_is_identical(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(tmp_path / "uninterrupted")
    real, remaining, kills = Ledger.append, 0, 0

    def append(*arguments: Any) -> None:
        nonlocal remaining
        remaining -= 1
        if remaining < 0:
            raise Killed
        real(*arguments)

    monkeypatch.setattr(Ledger, "append", append)
    for attempt in range(60):
        remaining = 1 + attempt % 3
        try:
            run_in(tmp_path / "killed")
            break
        except Killed:
            kills += 1
    assert kills > 10
    parts = compare(Ledger(tmp_path / "killed"), Ledger(tmp_path / "uninterrupted"))
    assert [part for part in parts if not part.same] == []


@pytest.mark.parametrize(
    ("rounds", "message"),
    [
        ({"size": 0}, "rounds.size"),
        ({"size": 4, "most": 2}, "most must be at least size"),
        ({"size": 5}, "rounds.size must be at most samples_per_prompt"),
        ({"sise": 2}, "unknown key 'rounds.sise'"),
    ],
    ids=str,
)
def test_invalid_rounds(rounds: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_config({"verifier": ["fake"], "samples_per_prompt": 4, "rounds": rounds})
