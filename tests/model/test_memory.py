"""Running out of memory in training: smaller batches with the same result, and an error when nothing helps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from halo_core.config.options import build
from halo_core.drivers.sft import SFT
from halo_core.errors import TrainingError
from halo_core.model import steps
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext
from halo_core.model.logprobs import Scorer
from halo_core.model.memory import Batching, is_out_of_memory, recomputes
from halo_core.model.units import Batch
from halo_core.types import Sample, TrainStats

Make = Callable[..., Actor]
Disturb = Callable[..., Actor]


class Memory:
    """Room for a number of tokens in a batch; a larger one runs out of memory after its gradients were added."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, room: int, *, saved: int = 1) -> None:
        self.room, self.saved, self.sizes = room, saved, list[int]()
        score = Scorer.score

        def limited(scorer: Scorer, batch: Batch, **options: Any) -> tuple[torch.Tensor, Batch]:
            size = batch.ids.numel()
            logprobs, batch = score(scorer, batch, **options)
            if not logprobs.requires_grad:
                return logprobs, batch
            self.sizes.append(size)
            if size > self.room * (self.saved if recomputes(scorer.model) else 1):
                torch.autograd.backward(logprobs.sum())
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
            return logprobs, batch

        monkeypatch.setattr(Scorer, "score", limited)


def train(actor: Actor, samples: list[Sample], **options: Any) -> TrainStats:
    given = {"lora_dropout": 0.0, "share_prefixes": False, "batch_size": 4} | options
    context = TrainingContext(actor=actor, lr=1e-3, seed=0)
    return build(SFT, given, where="trainer").train(samples, context)


def weights(actor: Actor) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in actor.trainable().values()])


def out_of_memory(stats: TrainStats) -> list[str]:
    return [note for note in stats.notes if "out of memory" in note]


def test_the_batch_is_halved_with_the_same_result(
    make_actor: Make, disturb: Disturb, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, tight = disturb(make_actor()), disturb(make_actor())
    wanted = train(roomy, samples)
    memory = Memory(monkeypatch, 40)
    stats = train(tight, samples)
    assert torch.allclose(weights(tight), weights(roomy), atol=1e-6)
    assert stats.losses == pytest.approx(wanted.losses, rel=1e-5)
    assert stats.grad_norms == pytest.approx(wanted.grad_norms, rel=1e-4)
    assert "the result is the same" in out_of_memory(stats)[0]
    assert not out_of_memory(wanted)
    memory.sizes.clear()
    assert not out_of_memory(train(tight, samples)), "the next cycle knows"
    assert max(memory.sizes) <= 40


def test_activations_are_recomputed_once_a_sequence_does_not_fit(
    make_actor: Make, disturb: Disturb, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    roomy, tight = disturb(make_actor()), disturb(make_actor())
    train(roomy, samples)
    Memory(monkeypatch, 15, saved=3)
    stats = train(tight, samples)
    assert "gradient checkpointing" in out_of_memory(stats)[-1]
    assert torch.allclose(weights(tight), weights(roomy), atol=1e-6)
    assert not recomputes(tight.unwrapped_model)
    assert not out_of_memory(train(tight, samples))


@pytest.mark.parametrize(("room", "checkpointing"), [(15, False), (3, "auto")])
def test_a_sequence_that_never_fits_is_an_error(
    room: int,
    checkpointing: object,
    make_actor: Make,
    samples: list[Sample],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Memory(monkeypatch, room, saved=3)
    with pytest.raises(TrainingError, match=r"a batch of \d+ tokens, the smallest possible") as caught:
        train(make_actor(), samples, gradient_checkpointing=checkpointing)
    assert "max_new_tokens" in str(caught.value.hint)


def test_dropout_is_the_same_after_a_failed_attempt(
    make_actor: Make, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, repeated = make_actor(), make_actor()
    train(plain, samples, lora_dropout=0.5, batch_tokens=10**6)
    memory, reduce = Memory(monkeypatch, 0), Batching.reduce

    def make_room(batching: Batching, *args: Any, **options: Any) -> str:
        memory.room = 10**6
        note = reduce(batching, *args, **options)
        batching.budget = 10**6
        return note

    monkeypatch.setattr(Batching, "reduce", make_room)
    assert out_of_memory(train(repeated, samples, lora_dropout=0.5, batch_tokens=10**6))
    assert torch.equal(weights(repeated), weights(plain))


def test_the_largest_batch_is_tried_first_on_an_accelerator(
    make_actor: Make, disturb: Disturb, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, tried = disturb(make_actor()), disturb(make_actor())
    train(plain, samples, batch_tokens=90)
    monkeypatch.setattr(steps, "_BUDGETS", {})
    memory = Memory(monkeypatch, 60)
    stats = train(tried, samples, batch_tokens=90)
    assert len(out_of_memory(stats)) == 1
    fitting = [size for size in memory.sizes if size <= 60]
    assert memory.sizes.index(fitting[0]) == len(memory.sizes) - len(fitting) == 1
    assert fitting[0] == max(fitting)
    assert torch.allclose(weights(tried), weights(plain), atol=1e-6), "the trial leaves nothing behind"
    count = len(memory.sizes)
    train(tried, samples, batch_tokens=90)
    assert len(memory.sizes) - count == count - 2, "tried once"


def test_other_errors_are_not_hidden(
    make_actor: Make, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Scorer, "score", fail)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(make_actor(), samples)
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(ValueError("out of memory"))
