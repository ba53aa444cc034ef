"""Losses and gradients of `ppo` equal those of a calculation in numpy; its value head is kept with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook

from halo_core import ModelError, Sample, TrainingContext, TrainingError
from halo_core.drivers.sft import SFT
from halo_core.model.actor import Actor
from halo_core.testing import make_samples, tiny_actor
from halo_trainers.ppo import PPO

SMALL: dict[str, Any] = {"lora_rank": 4, "lora_dropout": 0.0, "batch_size": 6}
WHOLE: dict[str, Any] = {"full": True, "max_grad_norm": 0.0, "batch_size": 99}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Use one thread: more make such small matrices slower."""
    torch.set_num_threads(1)


def actor_with_head() -> Actor:
    """Return an actor whose weights are not those of its reference, with a value head that is not 0."""
    actor = tiny_actor()
    actor.train_all()
    actor.add_value_head()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.add_(0.02 * torch.randn(weight.shape, generator=generator))
    return actor


def noisy(rows: Sequence[Sequence[float]], seed: int) -> list[tuple[float, ...]]:
    generator = np.random.default_rng(seed)
    return [tuple((np.array(row) + 0.3 * generator.normal(size=len(row))).tolist()) for row in rows]


def sampled() -> list[Sample]:
    """Return samples with other log-probabilities than the model's; one has a token that the model did not write."""
    samples = make_samples({f"p{n}": [1.0, 0.0, 0.5, 0.0] for n in range(3)})
    rows = noisy(tiny_actor().logprobs([s.completion for s in samples]), 0)
    found = [
        replace(s, completion=replace(s.completion, logprobs=row))
        for s, row in zip(samples, rows, strict=True)
    ]
    first = found[0].completion
    mask = tuple(index != 1 for index in range(len(first.token_ids)))
    return [
        replace(found[0], completion=replace(first, loss_mask=mask)),
        replace(found[1], weight=0.5),
        *found[2:],
    ]


class Written:
    """The loss of PPO and its derivatives by each log-probability and each value, in float64."""

    def __init__(self, trainer: PPO, samples: Sequence[Sample], actor: Actor, old_values: Any) -> None:
        completions = [sample.completion for sample in samples]
        self.masks = [np.array(c.loss_mask or [True] * len(c.token_ids)) for c in completions]
        new, values = (self.rows(rows) for rows in (actor.logprobs(completions), actor.values(completions)))
        old, before = self.rows([c.logprobs or () for c in completions]), self.rows(old_values)
        reference = self.rows(tiny_actor().logprobs(completions))
        advantages = []
        for sample, log_p, log_ref, v in zip(samples, old, reference, before, strict=True):
            rewards = -trainer.kl * (log_p - log_ref)
            rewards[-1] += sample.reward
            following = np.append(v[1:], 0.0)
            delta = rewards + trainer.gamma * following - v
            discount = trainer.gamma * trainer.gae_lambda
            steps = range(len(delta))
            advantages.append(
                np.array([sum(discount ** (k - t) * delta[k] for k in steps[t:]) for t in steps])
            )
        returns = [a + v for a, v in zip(advantages, before, strict=True)]
        flat = np.concatenate(advantages)
        if trainer.normalize:
            advantages = [(a - flat.mean()) / flat.std() for a in advantages]
        self.loss = 0.0
        self.by_logprob: list[Any] = []
        self.by_value: list[Any] = []
        for sample, *row in zip(samples, new, old, values, before, advantages, returns, strict=True):
            self.add(trainer, abs(sample.weight) / len(flat), *row)
        both = np.concatenate(returns), np.concatenate(before)
        self.explained = 1 - (both[0] - both[1]).var() / both[0].var()

    def rows(self, rows: Sequence[Sequence[float]]) -> list[Any]:
        return [np.array(row, dtype=np.float64)[mask] for row, mask in zip(rows, self.masks, strict=True)]

    def add(
        self, trainer: PPO, share: float, new: Any, old: Any, v: Any, before: Any, a: Any, r: Any
    ) -> None:
        ratio = np.exp(new - old)
        low = -np.inf if trainer.clip_low is None else 1 - trainer.clip_low
        high = np.inf if trainer.clip_high is None else 1 + trainer.clip_high
        free, held = ratio * a, np.clip(ratio, low, high) * a
        self.loss -= share * np.minimum(free, held).sum()
        self.by_logprob.append(np.where(free <= held, -share * free, 0.0))
        width = np.inf if trainer.value_clip is None else trainer.value_clip
        near = np.clip(v, before - width, before + width)
        error, held_error = (v - r) ** 2, (near - r) ** 2
        weight = share * trainer.value_weight
        self.loss += weight / 2 * np.maximum(error, held_error).sum()
        self.by_value.append(np.where(error >= held_error, weight * (v - r), 0.0))


def gradients_of(written: Written, samples: Sequence[Sample]) -> torch.Tensor:
    """Carry the derivatives by log-probabilities and values to all weights."""
    actor = actor_with_head()
    assert actor.value_head is not None
    total = torch.zeros(())
    for sample, mask, *rows in zip(samples, written.masks, written.by_logprob, written.by_value, strict=True):
        completion = sample.completion
        ids = torch.tensor([completion.prompt_token_ids + completion.token_ids])
        out = actor.model(input_ids=ids, output_hidden_states=True, use_cache=False)
        places = slice(len(completion.prompt_token_ids) - 1, -1)
        logprobs = out.logits[0, places].log_softmax(-1)
        chosen = logprobs.gather(1, torch.tensor(completion.token_ids)[:, None]).squeeze(1)
        values = actor.value_head(out.hidden_states[-1][0, places]).squeeze(1)
        for numbers, row in zip((chosen, values), rows, strict=True):
            total = total + (numbers[torch.tensor(mask)] * torch.tensor(row, dtype=torch.float32)).sum()
    total.backward()  # type: ignore[no-untyped-call]
    return torch.cat([weight.grad.flatten() for _, weight in sorted(actor.trainable().items())])  # type: ignore[union-attr]


@pytest.mark.parametrize("budget", [100_000, 60], ids=["one batch", "several batches"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"clip_low": None, "clip_high": None, "value_clip": None, "normalize": False},
        {"kl": 0.3, "gamma": 0.9, "gae_lambda": 0.7, "clip_high": 0.3, "value_weight": 1.0},
        {"gae_lambda": 0.0, "value_clip": 0.05, "normalize": False},
        {"gae_lambda": 1.0, "kl": 0.1, "clip_low": 0.1},
    ],
    ids=repr,
)
def test_losses_and_gradients(options: dict[str, Any], budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, actor = sampled(), actor_with_head()
    old_values = noisy(actor.values([sample.completion for sample in samples]), 2)
    trainer = PPO(**WHOLE, **options, batch_tokens=budget)
    written = Written(trainer, samples, actor, old_values)
    monkeypatch.setattr(actor, "values", lambda completions: old_values)
    names, found = list(actor.trainable()), dict[str, torch.Tensor]()
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: found.update(
            zip(names, [w.grad.clone() for w in optimizer.param_groups[0]["params"]], strict=True)
        )
    )
    try:
        stats = trainer.train(samples, TrainingContext(actor=actor, lr=1e-6, seed=0))
    finally:
        handle.remove()
    assert stats.loss_first == pytest.approx(written.loss, rel=1e-5)
    assert stats.metrics["explained_variance"] == pytest.approx(written.explained, rel=1e-5)
    wanted = gradients_of(written, samples)
    got = torch.cat([found[name].flatten() for name in sorted(found)])
    assert wanted.norm() > 1e-3
    assert (got - wanted).norm() <= 1e-5 * wanted.norm()


def own_samples(actor: Actor) -> list[Sample]:
    samples = make_samples({f"p{n}": [1.0, 0.0, 0.5, 0.0] for n in range(4)})
    rows = actor.logprobs([sample.completion for sample in samples])
    return [
        replace(s, completion=replace(s.completion, logprobs=row))
        for s, row in zip(samples, rows, strict=True)
    ]


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_the_value_head_learns_and_is_kept(full: bool, tmp_path: Path) -> None:
    actor, trainer = tiny_actor(), PPO(**SMALL, full=full, epochs=6, value_weight=1.0)
    samples, explained = own_samples(actor), []
    for cycle in (1, 2, 3, 4):
        context = TrainingContext(actor=actor, lr=3e-3, seed=0, cycle=cycle)
        explained.append(trainer.train(samples, context).metrics["explained_variance"])
        if cycle == 2:  # as if the run had been stopped and resumed
            actor.save(tmp_path / "saved")
            before = actor.values([sample.completion for sample in samples])
            actor = tiny_actor()
            actor.load(tmp_path / "saved")
            assert actor.values([sample.completion for sample in samples]) == before
    assert explained[0] == 0.0, "a new head estimates 0"
    assert explained[-1] > 0.15
    assert explained[-1] > explained[1]


def test_the_value_head_belongs_to_the_training(tmp_path: Path) -> None:
    actor = tiny_actor()
    samples, context = own_samples(actor), TrainingContext(actor=actor, lr=1e-3, seed=0)
    completions = [sample.completion for sample in samples]
    PPO(**SMALL).train(samples, context)
    assert any(map(any, actor.values(completions)))
    SFT(**SMALL).train(samples, context)
    actor.save(tmp_path / "saved")
    assert not any(map(any, actor.values(completions))), "its estimates were those of another policy"
    PPO(**SMALL).train(samples, context)
    actor.load(tmp_path / "saved")
    assert not any(map(any, actor.values(completions)))
    PPO(**SMALL).train(samples, context)
    actor.reset()
    assert not any(map(any, actor.values(completions)))
    assert not actor.trainable()


def test_the_optimizer_state_of_another_trainer_is_continued() -> None:
    actor = tiny_actor()
    samples, context = own_samples(actor), TrainingContext(actor=actor, lr=1e-3, seed=0)
    for trainer in (SFT(**SMALL, optimizer="carry"), PPO(**SMALL, optimizer="carry")):
        trainer.train(samples, context)
    steps = {name: float(value) for name, value in actor.optimizer_state.items() if name.endswith("/step")}
    assert steps.pop("value_head.weight/step") == steps.pop("value_head.bias/step") == 3
    assert set(steps.values()) == {6.0}


def test_equal_rewards_are_an_error() -> None:
    samples = own_samples(tiny_actor())
    equal = [replace(sample, reward=1.0) for sample in samples]
    with pytest.raises(TrainingError, match="all 16 completions have the same reward"):
        PPO().train(equal, TrainingContext(actor=tiny_actor(), lr=1e-3, seed=0))


def test_a_model_without_an_output_head_cannot_have_a_value_head(monkeypatch: pytest.MonkeyPatch) -> None:
    actor = tiny_actor()
    monkeypatch.setattr(actor.model, "get_output_embeddings", lambda: None)
    with pytest.raises(ModelError, match="no output head"):
        PPO(**SMALL, full=True).train(own_samples(actor), TrainingContext(actor=actor, lr=1e-3, seed=0))
