"""Log-probabilities from a few logits at a time: equal to those from all logits, and so are their gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_families import CHANGED_LOGITS, Make, trained, with_value_head

from halo_core.model import heads
from halo_core.model.actor import VALUE_HEAD, Actor
from halo_core.model.logprobs import Scorer
from halo_core.model.packing import pack
from halo_core.model.units import Example

UNITS = [
    (Example((5, 6, 7), (8, 9, 10, 11)),),
    (Example((5,), (12, 13)),),
    (Example((9, 8), tuple(range(20, 50)), loss_mask=(True, False) * 15),),
]
FAMILIES = sorted({"llama", "gpt2", "opt", "phi", "gemma3_text", "mamba", "mixtral", *CHANGED_LOGITS})


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a chunk have 16 tokens."""
    monkeypatch.setattr(heads, "_CHUNK", {})
    monkeypatch.setattr(heads, "_LARGE_CHUNK", 1)


def gradients(
    actor: Actor, *, chunked: bool, entropies: bool = False
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Return the log-probabilities, and the gradients of a loss that weighs each token differently."""
    scorer = Scorer(actor.unwrapped_model, actor.value_head)
    if not chunked:
        scorer.head = None
    else:
        assert scorer.head
    logprobs, batch = scorer.score(pack(UNITS, actor.device), entropies=entropies)
    loss = (logprobs * torch.linspace(-1, 2, len(logprobs))).sum()
    if batch.entropies is not None:
        loss = loss + (batch.entropies * torch.linspace(1, 3, len(logprobs))).sum()
    assert (batch.values is None) == (actor.value_head is None)
    if batch.values is not None:
        loss = loss + (batch.values * torch.linspace(-2, 1, len(logprobs))).sum()
    found = torch.autograd.grad(loss, list(actor.trainable().values()), allow_unused=True)
    return logprobs.detach(), [it for it in found if it is not None]


def assert_equal(actor: Actor, *, entropies: bool = False) -> None:
    logprobs, found = gradients(actor, chunked=True, entropies=entropies)
    plain, wanted = gradients(actor, chunked=False, entropies=entropies)
    assert torch.allclose(logprobs, plain, rtol=1e-5, atol=1e-5)
    assert len(found) == len(wanted) > 0
    for mine, other in zip(found, wanted, strict=True):
        assert (mine - other).abs().max() <= 1e-5 * other.abs().max() + 1e-6


@pytest.mark.parametrize("family", FAMILIES)
def test_logprobs_and_gradients_equal_those_of_all_logits(family: str, family_actor: Make) -> None:
    assert_equal(trained(family_actor(family)))


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_entropies_and_trainable_heads(family: str, family_actor: Make) -> None:
    assert_equal(trained(family_actor(family)), entropies=True)
    full = family_actor(family)
    full.train_all()
    assert_equal(full)


@pytest.mark.parametrize("entropies", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2", "opt", "gemma2", "mamba"])
def test_values_read_the_states_that_reach_the_head(family: str, entropies: bool, family_actor: Make) -> None:
    actor = with_value_head(trained(family_actor(family)))
    assert {name for name in actor.trainable() if name.startswith(VALUE_HEAD)} == {
        f"{VALUE_HEAD}weight",
        f"{VALUE_HEAD}bias",
    }
    assert_equal(actor, entropies=entropies)
    scorer = Scorer(actor.unwrapped_model, actor.value_head)
    batch = pack(UNITS, actor.device)
    with torch.no_grad():
        found = scorer.values(batch)
        values = scorer.score(batch)[1].values
        assert values is not None
        assert torch.allclose(found, values, atol=1e-6)
        scorer.head = None
        assert torch.allclose(found, scorer.values(batch), atol=1e-5)
    assert found.std() > 0.01, "they depend on the tokens"


def test_a_head_with_an_adapter(family_actor: Make) -> None:
    actor = trained(family_actor("llama"), target_modules=("q_proj", "lm_head"))
    assert any("lm_head" in name for name in actor.trainable())
    assert_equal(actor)


def test_dropout_before_the_head_is_the_same_in_the_backward_pass(family_actor: Make) -> None:
    """With a loss that is linear in one weight, a finite difference gives its gradient under the same dropout."""
    actor = trained(family_actor("llama"), target_modules=("lm_head",), dropout=0.5)
    actor.model.train()
    scorer, batch = Scorer(actor.unwrapped_model), pack(UNITS, actor.device)
    (weight,) = (it for name, it in actor.trainable().items() if "lora_B" in name)

    def loss() -> torch.Tensor:
        torch.manual_seed(5)
        return scorer.score(batch)[0].sum()

    (gradient,) = torch.autograd.grad(loss(), weight)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        weight.add_(direction, alpha=1e-2)
        above = loss()
        weight.sub_(direction, alpha=2e-2)
        below = loss()
    assert float((above - below) / 2e-2) == pytest.approx(float(gradient.norm()), rel=2e-2)


def test_no_logits_of_the_whole_batch_are_kept(family_actor: Make) -> None:
    actor = trained(family_actor("llama"))
    vocabulary, width = actor.model.get_input_embeddings().weight.shape
    sizes: list[int] = []

    def record(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[1:] == (vocabulary,) and len(tensor) != width:  # the others are weights
            sizes.append(len(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        gradients(actor, chunked=True)
    assert max(sizes) <= 16
    with torch.autograd.graph.saved_tensors_hooks(record, lambda tensor: tensor):
        gradients(actor, chunked=False)
    assert max(sizes) == sum(example.loss_tokens for (example,) in UNITS)


def test_a_model_that_changes_its_logits_otherwise_computes_all_of_them(
    family_actor: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = trained(family_actor("llama"))
    model = actor.unwrapped_model
    forward = type(model).forward

    def changed(self: Any, *args: Any, **kwargs: Any) -> Any:
        output = forward(self, *args, **kwargs)
        output.logits = output.logits.sort(-1).values
        return output

    monkeypatch.setattr(type(model), "forward", changed)
    scorer = Scorer(model)
    assert scorer.head is None
    assert len(scorer.score(pack(UNITS, actor.device))[0]) == 21
