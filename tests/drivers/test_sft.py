"""Trainer `sft`: the loss and its gradient, the optimizer steps, checkpoints, statistics and errors."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from present import present
from torch.optim.optimizer import register_optimizer_step_pre_hook

from halo_core.config.options import build
from halo_core.drivers.sft import SFT
from halo_core.errors import ConfigError, TrainingError
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext
from halo_core.model.memory import recomputes
from halo_core.model.weights import tensors_hash
from halo_core.testing import FakeCheckpoint
from halo_core.types import Sample, TrainStats

Make = Callable[..., Actor]
Disturb = Callable[..., Actor]
Schedule = Literal["constant", "linear", "cosine", "cosine_with_restarts"]
PLAIN: dict[str, Any] = {"lora_dropout": 0.0, "max_grad_norm": 0.0}
"""Options under which a step's gradient is that of the loss."""


class Steps:
    """Records the gradients and learning rates of the optimizer steps."""

    def __init__(self) -> None:
        self.gradients: list[list[torch.Tensor]] = []
        self.lrs: list[float] = []

    def __call__(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        (group,) = optimizer.param_groups
        self.gradients.append([weight.grad.clone() for weight in group["params"]])
        self.lrs.append(group["lr"])

    @property
    def norms(self) -> list[float]:
        return [norm(gradients) for gradients in self.gradients]


@pytest.fixture
def steps() -> Iterator[Steps]:
    found = Steps()
    handle = register_optimizer_step_pre_hook(found)
    yield found
    handle.remove()


def norm(tensors: Sequence[torch.Tensor]) -> float:
    return math.sqrt(sum(tensor.double().square().sum().item() for tensor in tensors))


def train(
    actor: Actor,
    samples: Sequence[Sample],
    lr: float = 1e-3,
    seed: int = 0,
    *,
    context: dict[str, Any] | None = None,
    **options: Any,
) -> TrainStats:
    """Train with `sft`; `context` contains further fields of the `TrainingContext`."""
    return SFT(**options).train(samples, TrainingContext(actor=actor, lr=lr, seed=seed, **(context or {})))


def prepared(actor: Actor, disturb: Disturb, full: bool) -> Actor:
    """Make all weights trainable, or add an adapter whose gradients are not zero."""
    if full:
        actor.train_all()
        return actor
    return disturb(actor)


def reference(actor: Actor, samples: Sequence[Sample]) -> tuple[float, list[torch.Tensor]]:
    """Return loss and gradients computed with plain transformers, one sequence at a time, without padding."""
    total = sum(abs(sample.weight) * sample.completion.written for sample in samples)
    loss = 0.0
    for sample in samples:
        prompt, answer = sample.completion.prompt_token_ids, sample.completion.token_ids
        ids = torch.tensor([prompt + answer])
        carries = torch.tensor(
            (False,) * len(prompt) + (sample.completion.loss_mask or (True,) * len(answer))
        )
        labels = ids.masked_fill(~carries, -100)
        mean = actor.model(input_ids=ids, labels=labels).loss
        part = mean * sample.completion.written * sample.weight / total
        part.backward()
        loss += part.item()
    return loss, [present(weight.grad) for weight in actor.trainable().values()]


def masked(sample: Sample, mask: Sequence[bool]) -> Sample:
    return replace(sample, completion=replace(sample.completion, loss_mask=tuple(mask)))


def assert_close(got: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> None:
    assert len(got) == len(wanted)
    assert norm(wanted) > 0
    assert norm([a - b for a, b in zip(got, wanted, strict=True)]) <= 1e-5 * max(1.0, norm(wanted))


# The loss and its gradient


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2"])
def test_loss_and_gradient_equal_a_plain_reference(
    kind: str, full: bool, make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps
) -> None:
    samples = [replace(sample, weight=[1.0, 3.0, -0.5][n % 3]) for n, sample in enumerate(samples)]
    _, gradients = reference(prepared(make_actor(kind), disturb, full), samples)
    stats = train(prepared(make_actor(kind), disturb, full), samples, full=full, **PLAIN)
    assert stats.steps == len(steps.gradients) == 1
    assert_close(steps.gradients[0], gradients)
    assert stats.grad_norm_median == pytest.approx(norm(gradients), rel=1e-5)


def test_the_loss_reported_is_the_mean_over_completion_tokens(
    make_actor: Make, disturb: Disturb, samples: list[Sample]
) -> None:
    samples = [replace(sample, weight=1.0 + n % 2) for n, sample in enumerate(samples)]
    loss, _ = reference(disturb(make_actor()), samples)
    stats = train(disturb(make_actor()), samples, **PLAIN)
    assert stats.loss_first == stats.loss_last == pytest.approx(loss, abs=1e-5)
    assert stats.tokens == sum(len(sample.completion.token_ids) for sample in samples)


def test_only_completion_tokens_carry_loss_the_end_token_included(
    make_actor: Make, monkeypatch: pytest.MonkeyPatch, samples: list[Sample]
) -> None:
    seen: list[int] = []
    real = torch.nn.functional.cross_entropy

    def spy(logits: torch.Tensor, targets: torch.Tensor, **options: Any) -> torch.Tensor:
        assert len(logits) == len(targets), "only logits with loss are computed"
        seen.extend(targets.tolist())
        return real(logits, targets, **options)

    monkeypatch.setattr("torch.nn.functional.cross_entropy", spy)
    train(make_actor(), samples)
    assert sorted(seen) == sorted(token for sample in samples for token in sample.completion.token_ids)
    assert seen.count(0) == len(samples), "the end tokens"


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_masked_tokens_carry_neither_loss_nor_gradient(
    kind: str, full: bool, make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps
) -> None:
    """The masks start, end or alternate within a completion; the first completion has none."""
    lengths = [len(sample.completion.token_ids) for sample in samples]
    masks = [[(k + n) % 3 > 0 for k in range(length)] for n, length in enumerate(lengths)]
    samples = [samples[0], *map(masked, samples[1:], masks[1:])]
    samples = [replace(sample, weight=1.0 + n % 2) for n, sample in enumerate(samples)]
    loss, gradients = reference(prepared(make_actor(kind), disturb, full), samples)
    stats = train(prepared(make_actor(kind), disturb, full), samples, full=full, epochs=1, **PLAIN)
    assert_close(steps.gradients[0], gradients)
    assert stats.loss_first == pytest.approx(loss, abs=1e-5)
    assert stats.tokens == lengths[0] + sum(map(sum, masks[1:]))


def test_masked_tokens_are_still_context(make_actor: Make, disturb: Disturb, samples: list[Sample]) -> None:
    """Replacing a masked token changes the loss of the tokens after it."""
    first = samples[1]
    mask = [False] + [True] * (len(first.completion.token_ids) - 1)
    other = (first.completion.token_ids[0] % 200 + 7, *first.completion.token_ids[1:])
    changed = replace(first, completion=replace(first.completion, token_ids=other))
    losses = [train(disturb(make_actor()), [masked(s, mask)], **PLAIN).loss_first for s in (first, changed)]
    assert losses[0] != pytest.approx(losses[1], abs=1e-6)


def test_a_completion_whose_tokens_are_all_masked_is_skipped(
    make_actor: Make, disturb: Disturb, samples: list[Sample]
) -> None:
    """It counts neither as a sample nor as tokens, and it does not change the result."""
    first, *rest = samples
    none = masked(first, [False] * len(first.completion.token_ids))
    with_it, without_it = disturb(make_actor()), disturb(make_actor())
    stats = train(with_it, [none, *rest], **PLAIN)
    assert stats == train(without_it, rest, **PLAIN)
    assert stats.samples == len(rest)
    assert with_it.weights_hash() == without_it.weights_hash()


def test_a_mask_without_false_equals_no_mask(
    make_actor: Make, disturb: Disturb, samples: list[Sample]
) -> None:
    complete = [masked(s, [True] * len(s.completion.token_ids)) for s in samples]
    assert train(disturb(make_actor()), complete, **PLAIN) == train(disturb(make_actor()), samples, **PLAIN)


def test_only_the_ids_matter(make_actor: Make, samples: list[Sample]) -> None:
    one, other = make_actor(), make_actor()
    train(one, samples)
    renamed = [replace(s, completion=replace(s.completion, text="int main() {}")) for s in samples]
    train(other, renamed)
    assert one.weights_hash() == other.weights_hash()
    assert "tokenizer" not in vars(one), "the trainer tokenizes nothing"


def test_a_weight_of_three_equals_three_equal_samples(
    make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps
) -> None:
    first, *rest = samples
    _, gradients = reference(disturb(make_actor()), [first, first, first, *rest])
    heavy = train(disturb(make_actor()), [replace(first, weight=3.0), *rest], **PLAIN)
    thrice = train(disturb(make_actor()), [first, *rest, first, first], **PLAIN)
    assert heavy.samples == thrice.samples == len(samples), "duplicates are computed once"
    assert_close(steps.gradients[0], gradients)
    assert_close(steps.gradients[1], gradients)


def test_a_negative_weight_lowers_the_likelihood(
    make_actor: Make, disturb: Disturb, samples: list[Sample]
) -> None:
    def likelihood(actor: Actor) -> float:
        return -reference(actor, samples[:1])[0]  # leaves gradients that training must ignore

    for weight, grows in ((1.0, True), (-1.0, False)):
        actor = disturb(make_actor())
        before = likelihood(actor)
        train(actor, [replace(samples[0], weight=weight)], lr=1e-3)
        assert (likelihood(actor) > before) == grows


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_splitting_a_step_does_not_change_its_gradient(
    full: bool, make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps
) -> None:
    unsplit = train(prepared(make_actor(), disturb, full), samples, full=full, **PLAIN)
    for budget in (1, 30):
        split = train(prepared(make_actor(), disturb, full), samples, full=full, batch_tokens=budget, **PLAIN)
        assert_close(steps.gradients[-1], steps.gradients[0])
        assert (split.steps, split.tokens) == (unsplit.steps, unsplit.tokens)
        assert split.loss_first == pytest.approx(unsplit.loss_first, abs=1e-5)


def test_recomputing_activations_does_not_change_the_gradient(
    make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps
) -> None:
    train(disturb(make_actor()), samples, **PLAIN)
    actor = disturb(make_actor())
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # a deprecated name of transformers
        train(actor, samples, gradient_checkpointing=True, **PLAIN)
    assert_close(steps.gradients[1], steps.gradients[0])
    assert not recomputes(actor.model)


# The steps


def test_gradients_are_clipped_to_the_norm(make_actor: Make, disturb: Disturb, samples: list[Sample]) -> None:
    free, tight = Steps(), Steps()
    for found, limit in ((free, 0.0), (tight, 0.01)):
        handle = register_optimizer_step_pre_hook(found)
        stats = train(disturb(make_actor()), samples, max_grad_norm=limit, lora_dropout=0.0)
        handle.remove()
        assert stats.clipped_fraction == (1.0 if limit else 0.0)
        assert stats.grad_norm_median == pytest.approx(free.norms[0], rel=1e-5), "before clipping"
    assert tight.norms == [pytest.approx(0.01, rel=1e-3)]


def test_the_share_of_clipped_steps(
    make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps
) -> None:
    tiny: dict[str, Any] = {"lr": 1e-6, "batch_size": 2, "lora_dropout": 0.0}
    free = train(disturb(make_actor()), samples, max_grad_norm=0.0, **tiny)
    norms = sorted(steps.norms)
    assert free.steps == len(norms) == 4
    assert free.grad_norm_median == pytest.approx((norms[1] + norms[2]) / 2, rel=1e-5)
    assert free.clipped_fraction == 0.0
    limited = train(disturb(make_actor()), samples, max_grad_norm=(norms[0] + norms[1]) / 2, **tiny)
    assert limited.clipped_fraction == 0.75


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, [1, 1, 1, 1]),
        ({"schedule": "linear"}, [1, 3 / 4, 2 / 4, 1 / 4]),
        ({"schedule": "cosine"}, [(1 + math.cos(math.pi * p / 4)) / 2 for p in range(4)]),
        ({"schedule": "cosine_with_restarts"}, [1, 0.5, 1, 0.5]),
        ({"schedule": "cosine_with_restarts", "restarts": 3}, [1, 1, 1, 1]),
        ({"warmup_steps": 1}, [1 / 2, 1, 1, 1]),
        ({"warmup_ratio": 0.5}, [1 / 3, 2 / 3, 1, 1]),
        ({"warmup_ratio": 0.2}, [1, 1, 1, 1]),
        ({"warmup_steps": 2, "schedule": "linear"}, [1 / 3, 2 / 3, 1, 1 / 2]),
        ({"warmup_steps": 9}, [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_the_learning_rate_within_a_cycle(
    options: dict[str, Any], wanted: list[float], make_actor: Make, samples: list[Sample], steps: Steps
) -> None:
    stats = train(make_actor(), samples, lr=2e-3, batch_size=2, **options)
    assert steps.lrs == [pytest.approx(2e-3 * share, rel=1e-12) for share in wanted]
    assert stats.lr_peak == max(steps.lrs)
    assert stats.lr_sum == sum(steps.lrs)


def test_the_warmup_ratio_is_not_affected_by_float_rounding() -> None:
    assert 0.29 * 100 < 29
    assert SFT(warmup_ratio=0.29).warmup(100) == 29


@given(
    steps=st.integers(1, 300),
    schedule=st.sampled_from(get_args(Schedule)),
    restarts=st.integers(1, 60),
    warmup=st.one_of(
        st.fixed_dictionaries({"warmup_steps": st.integers(0, 40)}),
        st.fixed_dictionaries({"warmup_ratio": st.floats(0, 0.99)}),
    ),
)
def test_every_learning_rate_is_positive_and_at_most_the_peak(
    steps: int, schedule: Schedule, restarts: int, warmup: dict[str, Any]
) -> None:
    trainer = SFT(schedule=schedule, restarts=restarts, **warmup)
    shares = [trainer.multiplier(step, steps) for step in range(steps)]
    assert all(1e-6 < share <= 1.0 for share in shares)


def test_a_restart_is_exactly_at_the_peak() -> None:
    trainer = SFT(schedule="cosine_with_restarts", restarts=48)  # 1 / 49 * 49 is below 1 in floating point
    assert [trainer.multiplier(step, 49) for step in range(49)] == [1.0] * 49


def test_two_warmup_options_are_rejected() -> None:
    with pytest.raises(ConfigError, match="warmup_steps or warmup_ratio"):
        build(SFT, {"warmup_steps": 1, "warmup_ratio": 0.1}, where="trainer 'sft'")


# Checkpoints within a cycle


def stop_after(step: int) -> Callable[..., None]:
    def progress(done: int, *_: object) -> None:
        if done == step:
            raise KeyboardInterrupt

    return progress


STEPS: dict[str, Any] = {"batch_size": 3, "epochs": 2, "warmup_ratio": 0.2, "schedule": "cosine"}
"""Options that give six steps."""


@pytest.mark.parametrize("options", [{}, {"full": True}, {"optimizer": "carry"}], ids=str)
def test_a_training_resumes_bit_for_bit_from_any_step(
    make_actor: Make, samples: list[Sample], tmp_path: Path, options: dict[str, Any]
) -> None:
    uninterrupted = make_actor()
    wanted = [train(uninterrupted, samples, lr=1e-2, seed=seed, **STEPS, **options) for seed in (0, 1)]
    actor = make_actor()
    train(actor, samples, lr=1e-2, seed=0, **STEPS, **options)
    actor.save(tmp_path / "before")
    checkpoint = FakeCheckpoint(tmp_path / "checkpoint")
    for step in (2, 3, 6):  # three interruptions, the last one after the last step
        actor = make_actor()
        actor.load(tmp_path / "before")
        context = {"checkpoint": checkpoint, "progress": stop_after(step)}
        with pytest.raises(KeyboardInterrupt):
            train(actor, samples, lr=1e-2, seed=1, context=context, **STEPS, **options)
    actor = make_actor()
    actor.load(tmp_path / "before")
    seen: list[tuple[Any, ...]] = []
    context = {"checkpoint": checkpoint, "progress": lambda *call: seen.append(call)}
    assert train(actor, samples, lr=1e-2, seed=1, context=context, **STEPS, **options) == wanted[1]
    assert seen == [], "no step remained"
    assert actor.weights_hash() == uninterrupted.weights_hash()
    assert tensors_hash(actor.optimizer_state) == tensors_hash(uninterrupted.optimizer_state)


def test_a_checkpoint_belongs_to_one_training(
    make_actor: Make, samples: list[Sample], tmp_path: Path
) -> None:
    checkpoint = FakeCheckpoint(tmp_path / "checkpoint")
    inputs_hashes: set[str] = set()
    others: list[dict[str, Any]] = [
        {},
        {"lr": 2e-3},
        {"seed": 1},
        {"batch_size": 2},
        {"samples": samples[1:]},
    ]
    for other in others:
        actor = make_actor()
        train(actor, context={"checkpoint": checkpoint}, **{"samples": samples, **PLAIN, **other})
        inputs_hashes.add(checkpoint.inputs_hash)
    # the same as the first, except for the initial weights
    train(actor, samples, context={"checkpoint": checkpoint}, **PLAIN)
    assert len({*inputs_hashes, checkpoint.inputs_hash}) == len(others) + 1


# Statistics and results


def test_the_statistics(make_actor: Make, disturb: Disturb, samples: list[Sample], steps: Steps) -> None:
    actor = disturb(make_actor())
    before = {name: weight.detach().clone() for name, weight in actor.model.named_parameters()}
    calls: list[tuple[int, int, float]] = []
    context = {"progress": lambda *call: calls.append(call)}
    stats = train(actor, samples, lr=3e-4, batch_size=3, epochs=2, context=context, **PLAIN)
    assert (stats.lr, stats.steps, stats.samples) == (3e-4, 6, 7)
    assert stats.tokens == 2 * sum(len(sample.completion.token_ids) for sample in samples)
    assert [call[:2] for call in calls] == [(n, 6) for n in range(1, 7)]
    assert (stats.loss_first, stats.loss_last) == (calls[0][2], calls[-1][2])
    trained = actor.trainable()
    changes = [weight.detach() - before[name] for name, weight in trained.items()]
    assert stats.update_norm == pytest.approx(norm(changes), rel=1e-6)
    untouched = {name for name in before if name not in trained}
    assert untouched
    assert all(torch.equal(dict(actor.model.named_parameters())[name], before[name]) for name in untouched)
    assert not any(module.training for module in actor.model.modules()), "dropout is off"


def test_the_recorded_learning_rate_is_the_given_one_even_during_warmup(
    make_actor: Make, samples: list[Sample]
) -> None:
    stats = train(make_actor(), samples, lr=1e-3, warmup_steps=9)
    assert stats.lr == 1e-3
    assert stats.lr_peak < 1e-3


def test_training_lowers_the_loss(make_actor: Make, samples: list[Sample]) -> None:
    for kind, full in (("llama", False), ("gpt2", False), ("qwen2", True)):
        stats = train(make_actor(kind), samples, lr=1e-2, epochs=15, full=full)
        assert stats.loss_last < 0.7 * stats.loss_first, (kind, full)


def test_full_training_changes_every_weight(make_actor: Make, samples: list[Sample]) -> None:
    actor = make_actor()
    before = {name: weight.detach().clone() for name, weight in actor.model.named_parameters()}
    train(actor, samples, full=True)
    assert not actor.has_adapter
    assert not any(torch.equal(weight, before[name]) for name, weight in actor.trainable().items())


def test_the_result_depends_on_the_seed_alone(make_actor: Make, samples: list[Sample]) -> None:
    def trained_hash(noise: int, seed: int) -> str:
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        actor = make_actor()
        train(actor, samples, seed=seed, batch_size=3, lora_dropout=0.3)
        assert torch.equal(torch.get_rng_state(), state)
        return actor.weights_hash()

    assert trained_hash(1, seed=0) == trained_hash(2, seed=0) != trained_hash(1, seed=1)


def test_dropout_is_on_during_training(make_actor: Make, disturb: Disturb, samples: list[Sample]) -> None:
    def loss(dropout: float) -> float:
        actor = make_actor()
        actor.add_lora(rank=4, alpha=8.0, dropout=dropout, seed=0)
        for name, weight in actor.trainable().items():
            if "lora_B" in name:
                torch.nn.init.ones_(weight)
        return train(actor, samples).loss_first

    assert loss(0.5) != pytest.approx(loss(0.0), abs=1e-3)


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_training_continues_identically_after_saving_and_loading(
    full: bool, make_actor: Make, samples: list[Sample], tmp_path: Path
) -> None:
    actor = make_actor()
    train(actor, samples, seed=1, full=full)
    actor.save(tmp_path / "cycle-1")
    loaded = make_actor()
    loaded.load(tmp_path / "cycle-1")
    assert loaded.weights_hash() == actor.weights_hash()
    stats = [train(it, samples, seed=2, full=full, batch_size=3) for it in (actor, loaded)]
    assert stats[0] == stats[1]
    assert loaded.weights_hash() == actor.weights_hash()


def test_the_adapter_of_the_configuration_is_trained_further(
    make_actor: Make, samples: list[Sample], tmp_path: Path
) -> None:
    first = make_actor()
    train(first, samples, lora_rank=3)
    first.save(tmp_path / "adapter")
    second = make_actor(adapter=tmp_path / "adapter")
    before = second.weights_hash()
    assert before == first.weights_hash()
    train(second, samples, lora_rank=5)
    assert second.weights_hash() != before
    assert {min(weight.shape) for weight in second.trainable().values()} == {3}, (
        "the rank of the loaded adapter"
    )


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_trained_weights_are_float32_in_half_precision(
    full: bool, make_actor: Make, samples: list[Sample]
) -> None:
    exact = train(make_actor(), samples, full=full, **PLAIN)
    half = Actor(replace(make_actor().config, dtype="bfloat16"))
    stats = train(half, samples, full=full, **PLAIN)
    assert {weight.dtype for weight in half.trainable().values()} == {torch.float32}
    assert stats.loss_first == pytest.approx(exact.loss_first, rel=0.02)
    assert stats.loss_first != exact.loss_first, "the forward pass is in half precision"
    assert train(make_actor(), samples, full=full, **PLAIN) == exact, (
        "the precision of an earlier training does not persist"
    )


# Errors


def test_training_without_weight_or_loss_is_rejected(make_actor: Make, samples: list[Sample]) -> None:
    weightless = [replace(sample, weight=0.0) for sample in samples]
    cancelled = [samples[0], replace(samples[0], weight=-1.0)]
    all_masked = [masked(sample, [False] * len(sample.completion.token_ids)) for sample in samples]
    for unusable in ([], weightless, cancelled, all_masked):
        with pytest.raises(TrainingError, match="no completion to train on") as caught:
            train(make_actor(), unusable)
        assert caught.value.hint


@pytest.mark.parametrize("lr", [0.0, -1e-4, math.nan, math.inf])
def test_an_invalid_learning_rate_is_rejected(lr: float, make_actor: Make, samples: list[Sample]) -> None:
    with pytest.raises(TrainingError, match="learning rate"):
        train(make_actor(), samples, lr=lr)


@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_unchanged_weights_are_an_error(full: bool, make_actor: Make, samples: list[Sample]) -> None:
    with pytest.raises(TrainingError, match="did not change the weights"):
        train(make_actor(), samples, lr=1e-45 if not full else 1e-30, full=full)


def test_diverging_weights_are_an_error(make_actor: Make, samples: list[Sample]) -> None:
    for count in (1, 2):
        with pytest.raises(TrainingError, match=r"the loss became|no longer finite"):
            train(make_actor(), samples, lr=1e38, full=True, batch_size=7 // count)


def test_initial_weights_that_are_not_finite_are_an_error(make_actor: Make, samples: list[Sample]) -> None:
    actor = make_actor()
    next(actor.model.parameters()).data.fill_(math.nan)
    with pytest.raises(TrainingError, match="the loss became nan"):
        train(actor, samples)
    assert not any(module.training for module in actor.model.modules())


def test_completions_without_token_ids_are_rejected(
    make_actor: Make, sample_of: Callable[..., Sample]
) -> None:
    for sample in (sample_of((), (1, 0)), sample_of((1,), ())):
        with pytest.raises(TrainingError, match="has no token ids"):
            train(make_actor(), [sample])
