from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from present import present

from halo_core.drivers.raft import RAFT
from halo_core.drivers.rewards import Binary
from halo_core.errors import ConfigError
from halo_core.loop import run_cycles
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.testing import FakeActor, FakeGenerator, FakePolicy, FakeTrainer, FakeVerifier, fake_run
from halo_core.types import Completion, Prompt, SamplingRequest, Stage, Status

PROMPTS = tuple(Prompt(f"p{n}", "task") for n in range(10))
REQUEST = SamplingRequest(cycle=1, split="train", prompts=PROMPTS, samples_per_prompt=5, seed=3)


def sampled(request: SamplingRequest, skill: float = 0.5, batch: int = 7) -> list[list[Completion]]:
    context = SamplingContext(actor=FakeActor(skill))
    return [list(completions) for completions in FakeGenerator(batch=batch).generate(request, context)]


def test_the_generator_respects_the_request() -> None:
    batches = sampled(REQUEST)
    assert [len(batch) for batch in batches] == [7] * 7 + [1]
    jobs = [(c.prompt_id, c.index) for batch in batches for c in batch]
    assert jobs == [(p.id, i) for p in PROMPTS for i in range(5)]
    assert sampled(REQUEST) == batches
    assert sampled(replace(REQUEST, seed=4)) != batches
    for done in range(9):
        assert sampled(replace(REQUEST, done=done)) == batches[done:]


@pytest.mark.parametrize("skill", [0.0, 0.3, 1.0])
def test_the_skill_is_the_share_of_right_answers(skill: float) -> None:
    texts = [c.text for batch in sampled(replace(REQUEST, samples_per_prompt=100), skill) for c in batch]
    assert sum(text.startswith("right") for text in texts) / 1000 == pytest.approx(skill, abs=0.05)


@pytest.mark.parametrize(
    ("text", "status", "stage"),
    [
        ("right 1", Status.PASS, Stage.CORRECT),
        ("wrong 1", Status.FAIL, Stage.WRONG),
        ("crash", Status.FAIL, Stage.CRASHED),
        ("", Status.FAIL, Stage.INVALID),
        ("error", Status.ERROR, Stage.INVALID),
    ],
)
def test_the_first_word_determines_the_verdict(text: str, status: Status, stage: Stage) -> None:
    verdict = FakeVerifier().check(PROMPTS[0], Completion("p0", 0, text))
    assert (verdict.status, verdict.stage) == (status, stage)


def test_training_raises_the_skill_and_reports_the_change() -> None:
    actor = FakeActor(0.95)
    stats = FakeTrainer().train([], TrainingContext(actor=actor, lr=0.2, seed=0))
    assert actor.skill == 1.0
    assert stats.update_norm == pytest.approx(0.05)
    assert stats.lr_peak == 0.2


def test_the_actor_is_saved_and_loaded(tmp_path: Path) -> None:
    FakeActor(0.75).save(tmp_path)
    actor = FakeActor()
    actor.load(tmp_path)
    assert actor.skill == 0.75


def test_a_fake_run_accepts_settings_and_drivers(tmp_path: Path) -> None:
    run, hooks = fake_run(
        tmp_path,
        prompts=3,
        heldout=2,
        cycles=1,
        samples_per_prompt=10,
        seed=5,
        reward=Binary(),
        selector=RAFT(keep_top=1.0),
        lr_policy=FakePolicy(base_lr=0.5),
    )
    assert (len(run.prompts), len(run.heldout), run.seed) == (3, 2, 5)
    report = run_cycles(run, hooks)[1]
    assert report.lr == 0.5
    passed = present(report.sampled).passed
    assert report.reward_mean == passed
    assert report.selected == round(30 * passed)


def test_a_fake_run_rejects_a_misspelt_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cylces"):
        fake_run(tmp_path, cylces=3)
