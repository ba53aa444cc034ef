"""The contract of trainers: `sft` satisfies it, and it catches trainers that violate it."""

from __future__ import annotations

import inspect
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import one_thread

from halo_core.config.options import driver
from halo_core.drivers.base import Trainer
from halo_core.drivers.sft import SFT
from halo_core.errors import DivergedError, Interrupted, TrainingError
from halo_core.model.contexts import TrainingContext, ignore_step
from halo_core.testing import TrainerContract, make_stats
from halo_core.types import Sample, TrainStats

__all__ = ["one_thread"]
FEW_AT_A_TIME: dict[str, Any] = {"batch_size": 6, "lora_rank": 4}


class TestSFT(TrainerContract):
    @pytest.fixture
    def trainer(self) -> Trainer:
        return SFT(**FEW_AT_A_TIME)


class TestFullSFT(TrainerContract):
    @pytest.fixture
    def trainer(self) -> Trainer:
        return SFT(**FEW_AT_A_TIME, full=True, epochs=2, schedule="cosine", warmup_ratio=0.2)


class TestCarriedSFT(TrainerContract):
    @pytest.fixture
    def trainer(self) -> Trainer:
        return SFT(**FEW_AT_A_TIME, optimizer="carry", batch_tokens=40)


def broken(name: str = "train", **options: Any) -> Callable[[Callable[..., Any]], Trainer]:
    """Return a decorator that makes a trainer of a function, as the method `name` of a subclass of `sft`."""

    def decorate(function: Callable[..., Any]) -> Trainer:
        cls: type[SFT] = type("Broken", (SFT,), {name: function})
        return driver(cls)(**FEW_AT_A_TIME | options)

    return decorate


def with_stats(**changes: Any) -> Trainer:
    """Return a trainer that reports wrong statistics."""

    def train(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        return replace(SFT.train(self, samples, context), **changes)

    return broken()(train)


def with_context(**changes: Any) -> Trainer:
    """Return a trainer that changes its context; a function is called with the field's value."""

    def train(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        changed = {
            name: change(getattr(context, name)) if callable(change) else change
            for name, change in changes.items()
        }
        stats = SFT.train(self, samples, replace(context, **changed))
        return replace(stats, lr=context.lr)

    return broken()(train)


def with_samples(change: Callable[[Sample], Sample]) -> Trainer:
    def train(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        return SFT.train(self, [change(sample) for sample in samples], context)

    return broken()(train)


def with_effect(effect: Callable[[TrainingContext], object], *, before: bool = False) -> Trainer:
    """Return a trainer that does something else, too."""

    def train(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        if before:
            effect(context)
        stats = SFT.train(self, samples, context)
        if not before:
            effect(context)
        return stats

    return broken()(train)


def ignoring(error: type[Exception]) -> Trainer:
    """Return a trainer that ends quietly instead of raising `error`."""

    def train(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        try:
            return SFT.train(self, samples, context)
        except error:
            return STATS

    return broken()(train)


def tokenizing(sample: Sample) -> Sample:
    text = f"{sample.completion.text}{sample.completion.index}{sample.prompt.id}"
    ids = (*map(ord, text[-20:]), 0)
    return replace(sample, completion=replace(sample.completion, token_ids=ids, loss_mask=None))


def unmasked(sample: Sample) -> Sample:
    return replace(sample, completion=replace(sample.completion, loss_mask=None))


def negated(sample: Sample) -> Sample:
    return replace(sample, weight=-sample.weight)


def spoil_a_frozen_weight(context: TrainingContext) -> None:
    frozen = (weight for weight in context.actor.model.parameters() if not weight.requires_grad)
    next(frozen).data.add_(0.01)


def leave_a_gradient(context: TrainingContext) -> None:
    weight = next(iter(context.actor.trainable().values()))
    weight.grad = torch.ones_like(weight)


def add_a_second_adapter(context: TrainingContext) -> None:
    next(p for p in context.actor.model.parameters() if not p.requires_grad).requires_grad_(True)


class Persistent:
    """A checkpoint that is loaded whatever it belongs to."""

    def __init__(self, checkpoint: Any) -> None:
        self.checkpoint = checkpoint
        self.due = True

    def load(self, inputs_hash: str) -> Path | None:
        found: Path | None = self.checkpoint.load(self.checkpoint.inputs_hash)
        return found if self.checkpoint.inputs_hash else None

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        self.checkpoint.save(inputs_hash, write)


@broken()
def restarting(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
    """Resume a training from the weights of its checkpoint, but from the first step."""
    checkpoint = context.checkpoint
    if checkpoint and (directory := checkpoint.load("weights")):
        context.actor.load(directory)
    if checkpoint:
        store, interrupt = checkpoint, context.interrupt

        def save_and_continue() -> None:
            store.save("weights", context.actor.save)
            interrupt()

        return SFT.train(self, samples, replace(context, checkpoint=None, interrupt=save_and_continue))
    return SFT.train(self, samples, context)


@broken()
def drawing(self: SFT, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
    """Shuffle with global random numbers."""
    return SFT.train(self, samples, replace(context, seed=context.seed + random.randrange(1 << 30)))


NUMBERS = itertools.count()


@driver
class Numbered(SFT):
    """Depends on something besides its options."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", next(NUMBERS))

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        return super().train(samples, replace(context, seed=self.number))  # type: ignore[attr-defined]


STATS = make_stats(samples=24, tokens=99, loss_last=1.0, grad_norm_median=1.0, update_norm=1.0)
VIOLATIONS: list[tuple[str, str, Trainer]] = [
    ("preflight fails", "preflight_passes_here", broken("preflight")(lambda self: 1 / 0)),
    ("one step", "the_statistics_are_those_of_the_steps", SFT(batch_size=32)),
    ("another learning rate", "the_statistics_are_those_of_the_steps", with_stats(lr=1.0)),
    ("too many samples", "the_statistics_are_those_of_the_steps", with_stats(samples=10_000)),
    ("no tokens", "the_statistics_are_those_of_the_steps", with_stats(tokens=0)),
    ("above the learning rate", "the_statistics_are_those_of_the_steps", with_context(lr=lambda lr: 2 * lr)),
    ("more steps than taken", "the_statistics_are_those_of_the_steps", with_stats(steps=5, losses=(), grad_norms=())),
    ("a wrong sum of learning rates", "the_statistics_are_those_of_the_steps", with_stats(lr_sum=2e-3)),
    ("a wrong peak", "the_statistics_are_those_of_the_steps", with_stats(lr_peak=9e-4)),
    ("a share above 1", "the_statistics_are_those_of_the_steps", with_stats(clipped_fraction=2.0)),
    ("own retries", "the_statistics_are_those_of_the_steps", with_stats(retries=1)),
    ("own divergence", "the_statistics_are_those_of_the_steps", with_stats(kl=0.1)),
    ("nan", "the_statistics_are_those_of_the_steps", with_stats(grad_norm_median=math.nan)),
    ("too few losses", "the_statistics_are_those_of_the_steps", with_stats(losses=(1.0,))),
    ("another first loss", "the_statistics_are_those_of_the_steps", with_stats(loss_first=9.0)),
    ("a wrong update norm", "the_update_norm_is_that_of_the_change", with_stats(update_norm=1.0)),
    ("changes frozen weights", "the_update_norm_is_that_of_the_change", with_effect(spoil_a_frozen_weight)),
    ("more weights each cycle", "the_update_norm_is_that_of_the_change",
     with_effect(add_a_second_adapter)),
    ("a wrong sign", "positive_weights_become_likelier_than_negative_ones", with_samples(negated)),
    ("no progress", "each_step_is_reported", with_context(progress=lambda _: ignore_step)),
    ("no interrupt", "each_step_is_reported", with_context(interrupt=lambda _: lambda: None)),
    ("ignores interruptions", "an_interruption_ends_the_training", ignoring(Interrupted)),
    ("resumes from the first step", "resumes_exactly", restarting),
    ("resumes another training", "a_checkpoint_belongs_to_one_training",
     with_context(checkpoint=lambda it: it and Persistent(it))),
    ("global random numbers", "depends_on_the_seed_alone", drawing),
    ("changes random", "depends_on_the_seed_alone", with_effect(lambda _: random.random())),
    ("changes numpy", "depends_on_the_seed_alone", with_effect(lambda _: np.random.random())),
    ("changes torch", "depends_on_the_seed_alone", with_effect(lambda _: torch.rand(1))),
    ("ignores the seed", "depends_on_the_seed_alone", with_context(seed=0)),
    ("ignores the learning rate", "the_learning_rate_has_an_effect", with_context(lr=1e-3)),
    ("tokenizes", "trains_on_the_tokens", with_samples(tokenizing)),
    ("ignores masks", "tokens_that_the_model_did_not_write_carry_no_loss", with_samples(unmasked)),
    ("unsaved weights", "saved_weights_can_be_loaded", with_effect(spoil_a_frozen_weight)),
    ("dropout", "leaves_the_model_ready_for_sampling", with_effect(lambda it: it.actor.model.train())),
    ("gradients", "leaves_the_model_ready_for_sampling", with_effect(leave_a_gradient)),
    ("trains on nothing", "training_on_nothing_is_an_error", ignoring(TrainingError)),
    ("trains without tokens", "samples_without_token_ids_are_an_error", ignoring(TrainingError)),
    ("ignores nan", "a_loss_that_is_not_finite_is_a_divergence", ignoring(DivergedError)),
    ("options from outside", "options_round_trip", Numbered(**FEW_AT_A_TIME)),
    ("leaves files", "leaves_the_working_directory_alone",
     with_effect(lambda _: Path("log.txt").write_text("x"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "trainer"), [row[1:] for row in VIOLATIONS], ids=[row[0] for row in VIOLATIONS]
)
def test_a_trainer_that_violates_the_contract_is_caught(
    name: str, trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    samples = TestSFT.samples.__wrapped__(TestSFT())  # type: ignore[attr-defined]
    test = getattr(TestSFT(), f"test_{name}")
    given = {"trainer": trainer, "samples": samples, "tmp_path": tmp_path / "files"}
    (tmp_path / "files").mkdir()
    with pytest.raises((AssertionError, pytest.fail.Exception, ZeroDivisionError)):
        test(**{key: given[key] for key in inspect.signature(test).parameters})


def test_every_test_of_the_contract_is_violated_above() -> None:
    tests = {name for name in vars(TrainerContract) if name.startswith("test_")}
    assert tests == {f"test_{row[1]}" for row in VIOLATIONS}
