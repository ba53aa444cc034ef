"""Options, statistics and errors of the trainers; the losses are compared in `test_against_trl.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from halo_core import (
    ConfigError,
    Sample,
    SelectionContext,
    Trainer,
    TrainingContext,
    TrainingError,
    TrainStats,
)
from halo_core.config.options import build
from halo_core.model.actor import Actor
from halo_core.testing import make_samples, tiny_actor
from halo_trainers.comparison import Groups, Pairs
from halo_trainers.dpo import DPO
from halo_trainers.grpo import GRPO
from halo_trainers.ppo import PPO

SMALL: dict[str, Any] = {"lora_rank": 4, "lora_dropout": 0.0, "batch_size": 6}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Use one thread: more make such small matrices slower."""
    torch.set_num_threads(1)


def sampled(actor: Actor) -> list[Sample]:
    """Return samples with the log-probabilities that `actor` gives them."""
    samples = make_samples({f"p{n}": [1.0, 0.0, 0.5, 0.0] for n in range(3)})
    rows = actor.logprobs([sample.completion for sample in samples])
    return [
        replace(sample, completion=replace(sample.completion, logprobs=row))
        for sample, row in zip(samples, rows, strict=True)
    ]


def train(trainer: Trainer, samples: Sequence[Sample], actor: Actor, lr: float = 1e-3) -> TrainStats:
    return trainer.train(samples, TrainingContext(actor=actor, lr=lr, seed=0))


def test_pairs_and_dpo() -> None:
    actor = tiny_actor()
    chosen = Pairs().select(sampled(actor), SelectionContext(seed=0))
    stats = [train(DPO(**SMALL, beta=1.0), chosen, actor, lr=1e-2) for _ in range(4)]
    assert list(stats[0].losses) == pytest.approx([0.6931], abs=1e-4), "log 2: the model is its reference"
    assert stats[-1].loss_last < stats[0].loss_first
    assert stats[-1].metrics["accuracy"] == 1.0
    assert stats[-1].metrics["margin"] > 0
    found = stats[-1].metrics
    assert found["margin"] == pytest.approx(found["reward_chosen"] - found["reward_rejected"], abs=1e-5)


def test_the_previous_weights_are_another_reference() -> None:
    actor = tiny_actor()
    chosen = Pairs().select(sampled(actor), SelectionContext(seed=0))
    train(DPO(**SMALL), chosen, actor, lr=1e-2)
    stats = train(DPO(**SMALL, reference="previous"), chosen, actor)
    assert stats.loss_first == pytest.approx(0.6931, abs=1e-4), "log 2: training starts at its reference"


def test_groups_and_grpo() -> None:
    """Sampled from the trained model itself, every ratio of the first step is 1."""
    actor = tiny_actor()
    chosen = Groups().select(sampled(actor), SelectionContext(seed=0))
    assert sum(sample.weight for sample in chosen) == pytest.approx(0.0, abs=1e-6)
    stats = train(GRPO(**SMALL | {"batch_size": 99}), chosen, actor)
    assert stats.steps == 1
    assert stats.metrics == {
        "ratio": pytest.approx(1.0, abs=1e-4),
        "clip_share": 0.0,
        "kl_to_sampler": pytest.approx(0.0, abs=1e-6),
        "entropy": pytest.approx(stats.metrics["entropy"]),
    }
    assert 0 < stats.metrics["entropy"] < 5.61, "at most log(272)"
    later = train(GRPO(**SMALL, epochs=8, kl=0.1), chosen, actor, lr=2e-2)
    assert later.metrics["clip_share"] > 0
    assert later.metrics["kl_to_reference"] > 0


def test_a_sampler_with_other_probabilities_is_corrected() -> None:
    """With `old=model` the ratios start at 1, and the loss is weighted by the truncated mismatch."""
    actor = tiny_actor()
    samples = [
        replace(
            s, completion=replace(s.completion, logprobs=tuple(p - 0.5 for p in s.completion.logprobs or ()))
        )
        for s in sampled(actor)
    ]
    chosen = Groups().select(samples, SelectionContext(seed=0))
    whole = SMALL | {"batch_size": 99}
    stats = train(GRPO(**whole, old="model"), chosen, tiny_actor())
    assert stats.metrics["ratio"] == pytest.approx(1.0, abs=1e-4)
    assert stats.metrics["mismatch"] == pytest.approx(1.6487, rel=1e-3), "exp(0.5)"
    capped = train(GRPO(**whole, old="model", mismatch_cap=1.25), chosen, tiny_actor())
    assert capped.metrics["mismatch"] == 1.25
    plain = train(GRPO(**whole), chosen, tiny_actor())
    assert plain.metrics["ratio"] == pytest.approx(1.6487, rel=1e-3)


def test_without_a_clip_there_is_no_limit() -> None:
    actor = tiny_actor()
    chosen = Groups().select(sampled(actor), SelectionContext(seed=0))
    stats = train(GRPO(**SMALL, epochs=8, clip_low=None, clip_high=None), chosen, actor, lr=2e-2)
    assert stats.metrics["clip_share"] == 0.0
    assert abs(stats.metrics["ratio"] - 1) > 0.01


@pytest.mark.parametrize("lr", [9e-5, 2e-4])
@pytest.mark.parametrize("trainer", [DPO(), GRPO(), PPO()], ids=["dpo", "grpo", "ppo"])
def test_a_learning_rate_for_sft_is_warned_about(
    trainer: Trainer, lr: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not trainer.check_lr(lr, tiny_actor()), "a tiny model"
    monkeypatch.setattr("halo_trainers.rates.TINY", 1000)
    warning = trainer.check_lr(lr, tiny_actor())
    assert ("2.0e-04 is one for sft; this trainer usually needs" in warning) == (lr > 1e-4)


def test_dpo_needs_pairs() -> None:
    with pytest.raises(TrainingError, match="positive and of negative weight") as caught:
        train(DPO(), make_samples({"p": [1.0, 1.0]}), tiny_actor())
    assert "--selector pairs" in caught.value.hint


def test_grpo_needs_advantages() -> None:
    samples = [replace(sample, weight=0.0) for sample in make_samples({"p": [1.0, 1.0]})]
    with pytest.raises(TrainingError, match="no completion has an advantage"):
        train(GRPO(kl=0.1), samples, tiny_actor())


@pytest.mark.parametrize("options", [{}, {"old": "model"}], ids=str)
def test_grpo_needs_log_probabilities(options: dict[str, Any]) -> None:
    samples = [
        replace(s, completion=replace(s.completion, logprobs=None)) for s in make_samples({"p": [1.0, 0.0]})
    ]
    with pytest.raises(TrainingError, match="has no logprobs"):
        train(GRPO(**options), samples, tiny_actor())


def test_options_that_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="ratio=sequence needs average=sequence"):
        build(GRPO, {"ratio": "sequence", "average": "token"}, where="trainer 'grpo'")
