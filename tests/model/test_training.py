"""The training loop: units, losses of several kinds, statistics, and the errors of a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from present import present
from torch.optim.optimizer import register_optimizer_step_pre_hook

from halo_core.config.training import TrainingOptions
from halo_core.errors import ModelError, TrainingError
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext
from halo_core.testing import FakeActor, FakeCheckpoint
from halo_core.training import Batch, Example, Loss, LossFunction, Per, Unit, fit
from halo_core.types import Completion, Prompt, Sample, Stage, Status, TrainStats, Verdict

Make = Callable[..., Actor]
Disturb = Callable[..., Actor]
PLAIN: dict[str, Any] = {"lora_dropout": 0.0, "max_grad_norm": 0.0}


def example(number: int, *, weight: float = 1.0, mask: bool = False) -> Example:
    """Return a sequence of its own length, with the column "place": the place of each token in the completion."""
    generator = torch.Generator().manual_seed(number)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, 256, (length,), generator=generator).tolist())

    completion = ids(3 + 7 * number % 11)
    loss_mask = tuple(place % 3 != 1 for place in range(len(completion))) if mask else None
    place = tuple(map(float, range(len(completion))))
    return Example(ids(2 + 5 * number % 7), completion, weight, loss_mask, {"place": place})


def units_of(size: int, count: int = 6) -> list[Unit]:
    """Return units of `size` sequences with weights 1, -2, 1, ... and some masked tokens."""
    return [
        tuple(
            example(size * n + k, weight=(-2.0) ** (k % 2), mask=(size * n + k) % 3 == 0) for k in range(size)
        )
        for n in range(count)
    ]


def train(
    actor: Actor,
    units: Sequence[Unit],
    loss: LossFunction,
    *,
    per: Per = "unit",
    entropies: bool = False,
    context: dict[str, Any] | None = None,
    **options: Any,
) -> TrainStats:
    where = TrainingContext(actor=actor, **({"lr": 1e-3, "seed": 0} | (context or {})))
    return fit(units, loss, TrainingOptions(**PLAIN | options), where, per=per, entropies=entropies)


def gradients_of(call: Callable[[], TrainStats]) -> tuple[list[torch.Tensor], TrainStats]:
    """Return the gradients of the only optimizer step that `call` takes, and its statistics."""
    found: list[list[torch.Tensor]] = []
    handle = register_optimizer_step_pre_hook(
        lambda optimizer, *_: found.append([w.grad.clone() for w in optimizer.param_groups[0]["params"]])
    )
    try:
        stats = call()
    finally:
        handle.remove()
    (gradients,) = found
    return gradients, stats


def plain_logprobs(actor: Actor, it: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """Return log-probabilities and entropies of the tokens with loss, from plain transformers without padding."""
    logits = actor.model(input_ids=torch.tensor([it.prompt_ids + it.completion_ids])).logits[0]
    rows = logits[len(it.prompt_ids) - 1 : -1].log_softmax(-1)
    carries = torch.tensor(it.loss_mask or (True,) * len(it.completion_ids))
    logprobs = rows[torch.arange(len(rows)), torch.tensor(it.completion_ids)]
    return logprobs[carries], -(rows.exp() * rows).sum(-1)[carries]


def assert_close(got: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor]) -> None:
    one, other = (torch.cat([tensor.flatten() for tensor in tensors]) for tensors in (got, wanted))
    assert other.norm() > 1e-2
    assert (one - other).norm() <= 1e-5 * other.norm()


def product(batch: Batch, logprobs: torch.Tensor) -> torch.Tensor:
    """Couple the two sequences of each unit: neither is a sum over tokens nor over sequences."""
    first, second = batch.sums(logprobs).view(-1, 2).unbind(1)
    return (first * second).sum() / 100


def likelihood(batch: Batch, logprobs: torch.Tensor) -> torch.Tensor:
    return (-logprobs * batch.by_token(batch.weights)).sum()


# The loss


@pytest.mark.parametrize("budget", [1, 60, 4096])
@pytest.mark.parametrize("full", [False, True], ids=["lora", "full"])
def test_the_gradient_of_a_loss_over_pairs(
    make_actor: Make, disturb: Disturb, full: bool, budget: int
) -> None:
    """A pair is never split, even if it exceeds the budget."""

    def prepared() -> Actor:
        actor = make_actor()
        if not full:
            return disturb(actor)
        actor.train_all()
        return actor

    units = units_of(2)
    actor = prepared()
    wanted: Any = torch.stack(
        [plain_logprobs(actor, a)[0].sum() * plain_logprobs(actor, b)[0].sum() / 100 for a, b in units]
    ).mean()
    wanted.backward()
    got, _ = gradients_of(lambda: train(prepared(), units, product, full=full, batch_tokens=budget))
    assert_close(got, [present(weight.grad) for weight in actor.trainable().values()])


@pytest.mark.parametrize(
    ("per", "denominator"),
    [
        ("unit", lambda units: len(units)),
        ("sequence", lambda units: sum(len(unit) for unit in units)),
        ("token", lambda units: sum(it.loss_tokens for unit in units for it in unit)),
        (lambda units: 7.0 * len(units), lambda units: 7.0 * len(units)),
        (lambda units: 1.0, lambda units: 1.0),
    ],
    ids=["unit", "sequence", "token", "function", "sum"],
)
def test_what_the_loss_is_a_mean_over(
    make_actor: Make, disturb: Disturb, per: Any, denominator: Callable[..., float]
) -> None:
    """Units of different sizes; however a step is split, it has one denominator."""
    units = [*units_of(2, 4), *units_of(3, 3), *units_of(1, 2)]
    actor = disturb(make_actor())
    total: Any = sum(-it.weight * plain_logprobs(actor, it)[0].sum() for unit in units for it in unit)
    (total / denominator(units)).backward()
    for budget in (1, 100, 4096):
        call = partial(
            train, disturb(make_actor()), units, likelihood, per=per, batch_size=16, batch_tokens=budget
        )
        got, stats = gradients_of(call)
        assert_close(got, [present(weight.grad) for weight in actor.trainable().values()])
        assert stats.loss_first == pytest.approx(total.item() / denominator(units), rel=1e-4)
        assert stats.samples == 19
        assert stats.tokens == sum(it.loss_tokens for unit in units for it in unit)


def test_steps_have_their_own_denominator(make_actor: Make, disturb: Disturb) -> None:
    units = units_of(1, 6)
    sizes: list[int] = []

    def per(units: Sequence[Unit]) -> float:
        sizes.append(len(units))
        return float(len(units))

    stats = train(disturb(make_actor()), units, likelihood, per=per, batch_size=4, epochs=2)
    assert sizes == [3, 3, 3, 3]
    assert stats.steps == 4


def test_a_batch(make_actor: Make) -> None:
    """Units are complete and in order, and every tensor of the batch describes the same tokens."""
    units = units_of(3, 4)
    seen: list[tuple[float, ...]] = []

    def loss(batch: Batch, logprobs: torch.Tensor) -> torch.Tensor:
        count = len(batch.lengths)
        assert len(logprobs) == len(batch.targets) == sum(batch.lengths) == len(batch.positions)
        assert batch.units.tolist() == [number for number in range(count // 3) for _ in range(3)]
        rows = batch.by_token(torch.arange(count))
        assert [rows.tolist().count(row) for row in range(count)] == list(batch.lengths)
        assert batch.sums(torch.ones(len(rows))).tolist() == list(map(float, batch.lengths))
        assert batch.means(batch.by_token(torch.arange(float(count)))).tolist() == list(
            map(float, range(count))
        )
        assert (batch.ids.flatten()[batch.positions + 1] == batch.targets)[: batch.lengths[0] - 1].all()
        parts = zip(
            torch.split(batch.targets, list(batch.lengths)),
            torch.split(batch.columns["place"], list(batch.lengths)),
            batch.weights.tolist(),
            strict=True,
        )
        seen.extend((*targets.tolist(), *places.tolist(), weight) for targets, places, weight in parts)
        assert batch.entropies is None
        return -logprobs.sum()

    train(make_actor(), units, loss, batch_tokens=90)
    wanted = [
        (
            *(
                it.completion_ids[k]
                for k in range(len(it.completion_ids))
                if (it.loss_mask or it.completion_ids)[k]
            ),
            *(float(k) for k in range(len(it.completion_ids)) if (it.loss_mask or it.completion_ids)[k]),
            it.weight,
        )
        for unit in units
        for it in unit
    ]
    assert sorted(seen) == sorted(wanted)
    groups = [tuple(seen[start : start + 3]) for start in range(0, len(seen), 3)]
    assert sorted(groups) == sorted(tuple(wanted[start : start + 3]) for start in range(0, len(wanted), 3))


def test_a_sequence_without_loss_stays_in_its_unit(make_actor: Make) -> None:
    """A unit without any is left out."""
    first, second = units_of(2, 1)[0]
    silent = replace(second, loss_mask=(False,) * len(second.completion_ids))
    shapes: list[tuple[int, ...]] = []

    def loss(batch: Batch, logprobs: torch.Tensor) -> torch.Tensor:
        shapes.append(batch.lengths)
        assert batch.means(logprobs)[1] == batch.sums(logprobs)[1] == 0
        return -logprobs.sum()

    stats = train(make_actor(), [(first, silent), (silent, silent)], loss)
    assert shapes == [(first.loss_tokens, 0)]
    assert stats.samples == 2


def test_a_loss_of_the_entropies(make_actor: Make, disturb: Disturb) -> None:
    """Entropies, and the log-probabilities beside them, have the values and the gradient of plain transformers."""
    units = units_of(1)
    actor = disturb(make_actor())
    parts = [plain_logprobs(actor, it) for (it,) in units]
    total: Any = sum(entropy.sum() - 2 * logprobs.sum() for logprobs, entropy in parts)
    (total / len(units)).backward()

    def loss(batch: Batch, logprobs: torch.Tensor) -> Loss:
        entropies = present(batch.entropies)
        return Loss(entropies.sum() - 2 * logprobs.sum(), {"entropy": entropies})

    got, stats = gradients_of(
        lambda: train(disturb(make_actor()), units, loss, entropies=True, batch_tokens=60)
    )
    assert_close(got, [present(weight.grad) for weight in actor.trainable().values()])
    mean = torch.cat([entropy for _, entropy in parts]).mean().item()
    assert stats.metrics == {"entropy": pytest.approx(mean, rel=1e-5)}


# Statistics


def test_metrics_are_means_over_all_elements(make_actor: Make, tmp_path: Path) -> None:
    """By token, by pair and by batch, over all batches, steps and epochs; a resumed training has the same."""
    units = units_of(2, 5)

    def loss(batch: Batch, logprobs: torch.Tensor) -> Loss:
        place = batch.columns["place"]
        pairs = batch.sums(place).view(-1, 2).sum(1)
        found = {"place": place, "pair": pairs, "batch": torch.tensor(3.0), "none": place[:0]}
        return Loss(-logprobs.sum(), found)

    options: dict[str, Any] = {"batch_size": 2, "batch_tokens": 60, "epochs": 2}
    stats = train(make_actor(), units, loss, **options)
    places = [
        [k for k in range(len(it.completion_ids)) if (it.loss_mask or it.completion_ids)[k]]
        for unit in units
        for it in unit
    ]
    total, count = sum(map(sum, places)), sum(map(len, places))
    assert stats.metrics == {
        "place": pytest.approx(total / count),
        "pair": pytest.approx(total / len(units)),
        "batch": 3.0,
    }
    checkpoint = FakeCheckpoint(tmp_path / "checkpoint")

    def stop(done: int, *_: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(make_actor(), units, loss, context={"checkpoint": checkpoint, "progress": stop}, **options)
    assert train(make_actor(), units, loss, context={"checkpoint": checkpoint}, **options) == stats


def test_the_loss_to_report_may_be_another(make_actor: Make) -> None:
    def loss(batch: Batch, logprobs: torch.Tensor) -> Loss:
        return Loss(-logprobs.sum(), reported=torch.tensor(float(len(batch.lengths))))

    assert train(make_actor(), units_of(1), loss).losses == (1.0,)


# Errors


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda batch, logprobs: -logprobs, r"the loss has shape \[\d+\]; it must be a scalar"),
        (lambda batch, logprobs: -logprobs.detach().sum(), "does not depend on the log-probabilities"),
        (lambda batch, logprobs: torch.zeros(()), "does not depend on the log-probabilities"),
        (lambda batch, logprobs: logprobs.sum() / 0, "the loss became -inf"),
    ],
    ids=["not a scalar", "detached", "constant", "infinite"],
)
def test_an_unusable_loss_is_an_error(make_actor: Make, loss: LossFunction, message: str) -> None:
    actor = make_actor()
    with pytest.raises(TrainingError, match=message) as caught:
        train(actor, units_of(1), loss)
    assert caught.value.hint
    assert not any(module.training for module in actor.model.modules())


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_an_unusable_denominator_is_an_error(make_actor: Make, value: float) -> None:
    with pytest.raises(TrainingError, match="the denominator of a step's loss is"):
        train(make_actor(), units_of(1), likelihood, per=lambda units: value)


def test_columns_must_fit(make_actor: Make) -> None:
    with pytest.raises(TrainingError, match="column 'old' has 1 values for 2 tokens"):
        Example((1,), (2, 3), columns={"old": (0.0,)})
    with pytest.raises(TrainingError, match="a sequence has no column 'place'"):
        train(make_actor(), [(example(1), replace(example(2), columns={}))], likelihood)


def test_examples_of_samples() -> None:
    completion = Completion("p", 3, "text", (1, 2), (3, 4), logprobs=(-0.5, -1.5), loss_mask=(True, False))
    sample = Sample(Prompt("p"), completion, Verdict(Status.PASS, Stage.CORRECT), 1.0, 2.0)
    wanted = Example((1, 2), (3, 4), 2.0, (True, False), {"old": (-0.5, -1.5)})
    assert Example.of(sample, old=completion.logprobs) == wanted
    with pytest.raises(TrainingError, match="completion 3 of prompt 'p' has no old"):
        Example.of(sample, old=None)
    for bare in (replace(completion, prompt_token_ids=()), replace(completion, token_ids=(), logprobs=None)):
        with pytest.raises(TrainingError, match="has no token ids"):
            Example.of(replace(sample, completion=bare))


# References


def trained(actor: Actor, seed: int, *, full: bool = False) -> Actor:
    train(actor, units_of(1), likelihood, full=full, context={"lr": 1e-2, "seed": seed})
    return actor


def completions() -> list[Completion]:
    return [Completion("p", n, "", it.prompt_ids, it.completion_ids) for n, (it,) in enumerate(units_of(1))]


@pytest.mark.parametrize(
    ("full", "adapter"),
    [(False, False), (True, False), (False, True)],
    ids=["lora", "full", "an adapter to start from"],
)
def test_references(make_actor: Make, tmp_path: Path, full: bool, adapter: bool) -> None:
    """The log-probabilities inside the block are those of the other weights; afterwards nothing has changed."""
    if adapter:
        trained(make_actor(), 9).save(tmp_path / "first")

    def new() -> Actor:
        return make_actor(adapter=tmp_path / "first" if adapter else None)

    rows = {"base": new().logprobs(completions())}
    actor = new()
    actor.directory_of = lambda cycle: tmp_path / f"cycle-{cycle}"
    for cycle in (1, 2):
        trained(actor, cycle, full=full).save(tmp_path / f"cycle-{cycle}")
        rows[str(cycle)] = actor.logprobs(completions())
    assert len(set(map(tuple, rows.values()))) == 3
    trained(actor, 3, full=full)
    before, now = actor.weights_hash(), actor.logprobs(completions())
    weights = {name: id(weight) for name, weight in actor.trainable().items()}
    for source in ("base", 0, 1, 2):
        with actor.reference(source):
            got = actor.logprobs(completions())
        assert got == rows[str(source or "base")], source
        assert actor.logprobs(completions()) == now
    assert actor.weights_hash() == before
    assert {name: id(weight) for name, weight in actor.trainable().items()} == weights
    uninterrupted = new()
    for seed in (1, 2, 3, 4):
        trained(uninterrupted, seed, full=full)
    assert trained(actor, 4, full=full).weights_hash() == uninterrupted.weights_hash()


def test_references_before_any_training(make_actor: Make, tmp_path: Path) -> None:
    for full in (False, True):
        saved = trained(make_actor(), 1, full=full)
        saved.save(tmp_path / f"{full}")
        actor = make_actor()
        actor.directory_of = lambda cycle, full=full: tmp_path / f"{full}"
        base = actor.logprobs(completions())
        with actor.reference("base"):
            assert actor.logprobs(completions()) == base
        with actor.reference(1):
            assert actor.logprobs(completions()) == saved.logprobs(completions())
        assert actor.logprobs(completions()) == base
        assert not actor.trainable()
        assert not actor.has_adapter


def test_the_weights_return_after_an_exception(make_actor: Make, tmp_path: Path) -> None:
    for full in (False, True):
        actor = trained(make_actor(), 1, full=full)
        before = actor.logprobs(completions())
        with pytest.raises(KeyboardInterrupt), actor.reference("base"):
            raise KeyboardInterrupt
        assert actor.logprobs(completions()) == before


def test_a_reference_without_stored_weights_is_an_error(make_actor: Make) -> None:
    actor = make_actor()
    for source in (1, "bse"):
        with pytest.raises(ModelError, match="there are no stored weights of"), actor.reference(source):  # type: ignore[arg-type]
            pass


def test_only_a_model_of_transformers_can_be_trained() -> None:
    context = TrainingContext(actor=FakeActor(), lr=1e-3, seed=0)
    with pytest.raises(ModelError, match="a FakeActor is not a model of transformers"):
        fit(units_of(1), likelihood, TrainingOptions(), context)
