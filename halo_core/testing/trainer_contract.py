"""The contract of trainers, as a test class to subclass."""

from __future__ import annotations

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from halo_core.config.options import build
from halo_core.drivers.base import Trainer
from halo_core.errors import DivergedError, Interrupted, TrainingError
from halo_core.model.contexts import TrainingContext
from halo_core.testing.samples import make_samples
from halo_core.testing.tiny import tiny_actor
from halo_core.types import Completion, Sample, TrainStats

if TYPE_CHECKING:
    import torch

    from halo_core.model.actor import Actor


class FakeCheckpoint:
    """Stores a checkpoint after every step, in one directory; see `halo_core.model.contexts.Checkpoint`."""

    due = True

    def __init__(self, directory: Path) -> None:
        self.directory, self.inputs_hash = directory, ""

    def load(self, inputs_hash: str) -> Path | None:
        """Return the directory if it was last saved under `inputs_hash`."""
        return self.directory if inputs_hash == self.inputs_hash else None

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        """Write into the directory."""
        self.inputs_hash = inputs_hash
        self.directory.mkdir(exist_ok=True)
        write(self.directory)


class TrainerContract(ABC):
    """Tests of the contract of `halo_core.drivers.Trainer`. Subclass it and define the fixture `trainer`.

    The trainer must take three optimizer steps or more on `samples`: give it a small batch size.
    """

    lr = 1e-3
    """Learning rate of the tests."""

    @pytest.fixture
    @abstractmethod
    def trainer(self) -> Trainer:
        """The trainer to test."""

    @pytest.fixture
    def samples(self) -> list[Sample]:
        """The samples to train on: six prompts, each with two completions of weight 1 and two of weight -1.

        The log-probabilities are those of the model that is trained. Override it if these do not suit.
        """
        samples = make_samples({f"p{number}": [1.0, 0.0, 1.0, 0.0] for number in range(6)})
        rows = self.actor().logprobs([sample.completion for sample in samples])
        return [
            replace(s, weight=2 * (s.reward or 0.0) - 1, completion=replace(s.completion, logprobs=row))
            for s, row in zip(samples, rows, strict=True)
        ]

    @pytest.fixture(autouse=True)
    def one_thread(self) -> Iterator[None]:
        """Use one thread: more make such small matrices slower."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(threads)

    def actor(self) -> Actor:
        """Return a new actor with the weights from before any training."""
        return tiny_actor()

    def train(self, trainer: Trainer, samples: Sequence[Sample], actor: Actor, **context: Any) -> TrainStats:
        """Train `actor` on `samples`; `context` has fields of the `TrainingContext`."""
        fields = {"lr": self.lr, "seed": 0} | context
        return trainer.train(samples, TrainingContext(actor=actor, **fields))

    def trained(
        self, trainer: Trainer, samples: Sequence[Sample], **context: Any
    ) -> tuple[TrainStats, str, Actor]:
        """Train a new actor; return the statistics, the hash of its weights, and the actor."""
        actor = self.actor()
        stats = self.train(trainer, samples, actor, **context)
        return stats, actor.weights_hash(), actor

    def test_preflight_passes_here(self, trainer: Trainer) -> None:
        """Check that the test machine has what the trainer needs."""
        trainer.preflight()

    def test_the_statistics_are_those_of_the_steps(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check the counts, the losses, and the learning rates that optimizers of torch were given."""
        with _optimizer_steps() as lrs:
            stats, _, _ = self.trained(trainer, samples)
        assert stats.steps >= 3, "give the trainer options with which it takes three steps or more"
        assert stats.lr == self.lr, "`lr` is the learning rate of the context"
        assert 0 < stats.samples <= len(samples)
        assert stats.tokens > 0
        assert 0 < stats.lr_peak <= self.lr * 1.000001, "no step may exceed the learning rate of the context"
        assert stats.lr_peak <= stats.lr_sum * 1.000001 <= stats.steps * stats.lr_peak * 1.000002
        assert 0 <= stats.clipped_fraction <= 1
        assert stats.retries == 0, "the loop counts the retries"
        assert stats.kl is None, "the loop measures the divergence"
        _assert_finite(stats)
        for series in (stats.losses, stats.grad_norms):
            assert len(series) in (0, stats.steps)
        if stats.losses:
            assert (stats.loss_first, stats.loss_last) == (stats.losses[0], stats.losses[-1])
        if lrs:
            assert len(lrs) == stats.steps, "`steps` counts optimizer steps"
            assert stats.lr_peak == pytest.approx(max(lrs), rel=1e-6)
            assert stats.lr_sum == pytest.approx(sum(lrs), rel=1e-6)

    def test_the_update_norm_is_that_of_the_change(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check a second cycle, which trains the weights of the first further, and changes no other weight."""
        _, _, actor = self.trained(trainer, samples)
        before = {name: weight.detach().clone() for name, weight in _weights(actor).items()}
        names = set(actor.trainable())
        stats = self.train(trainer, samples, actor, seed=1, cycle=2)
        assert set(actor.trainable()) == names, "a second cycle trains the same weights"
        after = _weights(actor)
        frozen = before.keys() - names
        assert all(_equal(before[name], after[name]) for name in frozen), "frozen weights changed"
        squares = [(after[name].detach() - before[name]).double().square().sum().item() for name in names]
        assert 0 < stats.update_norm == pytest.approx(math.sqrt(sum(squares)), rel=1e-3)

    def test_positive_weights_become_likelier_than_negative_ones(
        self, trainer: Trainer, samples: list[Sample]
    ) -> None:
        """Check the direction of training by the mean log-probability of each kind of sample."""

        def gap(actor: Actor) -> float:
            return _mean_logprob(actor, samples, 1) - _mean_logprob(actor, samples, -1)

        _, _, actor = self.trained(trainer, samples)
        assert gap(actor) > gap(self.actor()), "training made the samples of positive weight less likely"

    def test_each_step_is_reported(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that `progress` and `interrupt` are called once after each step."""
        calls: list[tuple[int, int, float]] = []
        asked: list[None] = []
        stats, _, _ = self.trained(
            trainer,
            samples,
            progress=lambda *call: calls.append(call),
            interrupt=lambda: asked.append(None),
        )
        assert [call[:2] for call in calls] == [(n, stats.steps) for n in range(1, stats.steps + 1)]
        assert all(math.isfinite(call[2]) for call in calls)
        assert len(asked) == stats.steps, "call `context.interrupt` after each step"

    def test_an_interruption_ends_the_training(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that `Interrupted` is passed on, and that the model is left in evaluation mode."""
        actor = self.actor()
        with pytest.raises(Interrupted):
            self.train(trainer, samples, actor, interrupt=_stop_after(1))
        assert not any(module.training for module in actor.model.modules()), "dropout is still on"

    def test_resumes_exactly(self, trainer: Trainer, samples: list[Sample], tmp_path: Path) -> None:
        """Check that a training that was interrupted twice ends like one that was not."""
        wanted = self.trained(trainer, samples)[:2]
        checkpoint = FakeCheckpoint(tmp_path / "checkpoint")
        for _ in range(2):
            with pytest.raises(Interrupted):
                self.trained(trainer, samples, checkpoint=checkpoint, interrupt=_stop_after(1))
        assert self.trained(trainer, samples, checkpoint=checkpoint)[:2] == wanted

    def test_a_checkpoint_belongs_to_one_training(
        self, trainer: Trainer, samples: list[Sample], tmp_path: Path
    ) -> None:
        """Check that another seed, learning rate or choice of samples does not resume from a checkpoint."""
        first = samples[0].prompt.id
        rest = [sample for sample in samples if sample.prompt.id != first]
        trainings: list[tuple[list[Sample], dict[str, Any]]] = [
            (samples, {"seed": 1}),
            (samples, {"lr": self.lr / 2}),
            (rest, {}),
        ]
        for number, (others, context) in enumerate(trainings):
            checkpoint = FakeCheckpoint(tmp_path / str(number))
            self.trained(trainer, samples, checkpoint=checkpoint)
            wanted = self.trained(trainer, others, **context)[:2]
            assert self.trained(trainer, others, checkpoint=checkpoint, **context)[:2] == wanted

    def test_depends_on_the_seed_alone(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that global random numbers are neither used nor changed, and that the seed has an effect."""
        import numpy as np
        import torch

        hashes = []
        for noise in (1, 2):
            random.seed(noise)
            np.random.seed(noise)
            torch.manual_seed(noise)
            states = random.getstate(), repr(np.random.get_state()), torch.get_rng_state()
            hashes.append(self.trained(trainer, samples)[1])
            assert random.getstate() == states[0], "the state of `random` changed"
            assert repr(np.random.get_state()) == states[1], "the state of `numpy.random` changed"
            assert torch.equal(torch.get_rng_state(), states[2]), "the state of `torch.random` changed"
        assert hashes[0] == hashes[1]
        assert self.trained(trainer, samples, seed=1)[1] != hashes[0]

    def test_the_learning_rate_has_an_effect(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that a tenth of the learning rate changes the weights less."""
        stats, _, _ = self.trained(trainer, samples)
        smaller, _, _ = self.trained(trainer, samples, lr=self.lr / 10)
        assert 0 < smaller.update_norm < stats.update_norm

    def test_trains_on_the_tokens(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that the text, which may not tokenize to the sampled tokens, has no effect."""
        renamed = [replace(s, completion=replace(s.completion, text="another text")) for s in samples]
        assert self.trained(trainer, renamed)[:2] == self.trained(trainer, samples)[:2]

    def test_tokens_that_the_model_did_not_write_carry_no_loss(
        self, trainer: Trainer, samples: list[Sample]
    ) -> None:
        """Check that tokens after the model's own, marked by `loss_mask`, have no effect."""
        inserted = [[_with_inserted(sample, ids) for sample in samples] for ids in ((5, 6), (7, 8))]
        one, other = (self.trained(trainer, each)[:2] for each in inserted)
        assert one == other

    def test_saved_weights_can_be_loaded(
        self, trainer: Trainer, samples: list[Sample], tmp_path: Path
    ) -> None:
        """Check that a new actor that loads the saved weights has the same weights and the same predictions."""
        _, wanted, actor = self.trained(trainer, samples)
        actor.save(tmp_path / "saved")
        loaded = self.actor()
        loaded.load(tmp_path / "saved")
        assert loaded.weights_hash() == wanted
        completions = [sample.completion for sample in samples]
        assert loaded.logprobs(completions) == actor.logprobs(completions)

    def test_leaves_the_model_ready_for_sampling(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that dropout is off, and that no gradient is left."""
        _, _, actor = self.trained(trainer, samples)
        assert not any(module.training for module in actor.model.modules()), "dropout is still on"
        assert all(weight.grad is None or not weight.grad.any() for weight in actor.trainable().values())

    def test_training_on_nothing_is_an_error(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that nothing, weights of 0 and a learning rate of 0 raise a `TrainingError`."""
        with pytest.raises(TrainingError):
            self.trained(trainer, [])
        with pytest.raises(TrainingError):
            self.trained(trainer, [replace(sample, weight=0.0) for sample in samples])
        with pytest.raises(TrainingError):
            self.trained(trainer, samples, lr=0.0)

    def test_samples_without_token_ids_are_an_error(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that completions without the tokens that were sampled raise a `TrainingError`."""
        for missing in ({"token_ids": (), "logprobs": None}, {"prompt_token_ids": ()}):
            bare = [replace(s, completion=replace(s.completion, **missing)) for s in samples]
            with pytest.raises(TrainingError):
                self.trained(trainer, bare)

    def test_a_loss_that_is_not_finite_is_a_divergence(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that NaN in the model raises a `DivergedError`, so that the loop can retry."""
        actor = self.actor()
        next(actor.model.parameters()).data.fill_(math.nan)
        with pytest.raises(DivergedError):
            self.train(trainer, samples, actor)
        assert not any(module.training for module in actor.model.modules()), "dropout is still on"

    def test_options_round_trip(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that a trainer rebuilt from its options trains the same."""
        rebuilt = build(type(trainer), asdict(trainer), where="trainer")  # type: ignore[call-overload]
        assert self.trained(rebuilt, samples)[:2] == self.trained(trainer, samples)[:2]

    def test_leaves_the_working_directory_alone(self, trainer: Trainer, samples: list[Sample]) -> None:
        """Check that the trainer leaves no files in the working directory."""
        before = sorted(Path.cwd().iterdir())
        self.trained(trainer, samples)
        assert sorted(Path.cwd().iterdir()) == before


@contextmanager
def _optimizer_steps() -> Iterator[list[float]]:
    """Record the learning rate of each optimizer step of torch."""
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    lrs: list[float] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: lrs.append(max(float(group["lr"]) for group in optimizer.param_groups))
    )
    try:
        yield lrs
    finally:
        handle.remove()


def _stop_after(steps: int) -> Callable[[], None]:
    left = steps

    def interrupt() -> None:
        nonlocal left
        left -= 1
        assert left >= 0, "the training continued after `interrupt` raised `Interrupted`"
        if left == 0:
            raise Interrupted("stopped")

    return interrupt


def _assert_finite(stats: TrainStats) -> None:
    for name, value in asdict(stats).items():
        values = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else [value]
        for each in values:
            assert not isinstance(each, float) or math.isfinite(each), f"{name} is {each}"


def _mean_logprob(actor: Actor, samples: Sequence[Sample], sign: int) -> float:
    completions = [sample.completion for sample in samples if sample.weight * sign > 0]
    rows = [sum(row) / len(row) for row in actor.logprobs(completions)]
    return sum(rows) / len(rows)


def _with_inserted(sample: Sample, ids: tuple[int, ...]) -> Sample:
    """Return `sample` with `ids` after the model's own tokens, as an environment would insert them."""
    completion = sample.completion
    changed: Completion = replace(
        completion,
        token_ids=completion.token_ids + ids,
        logprobs=None if completion.logprobs is None else completion.logprobs + (0.0,) * len(ids),
        loss_mask=(True,) * len(completion.token_ids) + (False,) * len(ids),
    )
    return replace(sample, completion=changed)


def _weights(actor: Actor) -> dict[str, torch.nn.Parameter]:
    return {**dict(actor.model.named_parameters()), **actor.trainable()}


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    import torch

    return torch.equal(one, other)
