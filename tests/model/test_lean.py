"""Layers that keep less for the backward pass: the same gradients, less memory, and nothing left behind."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from tiny_families import Make, trained

from halo_core.model.actor import Actor
from halo_core.model.lean import lean

IDS = torch.arange(5, 29)[None]


def gradients(actor: Actor, *, keeps_less: bool) -> tuple[list[torch.Tensor], int]:
    """Return the gradients of a loss under dropout, and the bytes kept for the backward pass."""
    model = actor.unwrapped_model
    kept: dict[int, int] = {}
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    alive: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    model.train()
    torch.manual_seed(3)
    context: Any = lean(model) if keeps_less else nullcontext()
    with context, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = model(IDS, labels=IDS).loss
        found = torch.autograd.grad(loss, list(actor.trainable().values()), allow_unused=True)
    return [tensor for tensor in found if tensor is not None], sum(kept.values())


@pytest.mark.parametrize("family", ["llama", "qwen3", "gemma2", "gpt2", "phi3", "mixtral", "cohere", "mamba"])
def test_the_gradients_are_the_same_without_dropout(family: str, family_actor: Make) -> None:
    actor = trained(family_actor(family))
    (mine, small), (plain, large) = (gradients(actor, keeps_less=less) for less in (True, False))
    for one, other in zip(mine, plain, strict=True):
        assert (one - other).abs().max() <= 1e-5 * other.abs().max() + 1e-7
    assert small <= large
    assert not any("forward" in vars(module) for module in actor.model.modules()), "restored"


@pytest.mark.parametrize("dropout", [0.0, 1e-7])
def test_the_inputs_of_layers_of_16_bits_are_not_copied(dropout: float, family_actor: Make) -> None:
    actor = trained(family_actor("llama"), dropout=dropout)
    for name, weight in actor.model.named_parameters():
        if "lora" not in name:
            weight.data = weight.data.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        (mine, small), (plain, large) = (gradients(actor, keeps_less=less) for less in (True, False))
    for one, other in zip(mine, plain, strict=True):
        assert (one - other).abs().max() <= 0.02 * other.abs().max() + 1e-6
    assert small < 0.85 * large
    assert all(
        module.cast_input_dtype_enabled for module in actor.model.modules() if hasattr(module, "lora_A")
    )


@pytest.mark.parametrize(
    ("family", "layer"),
    [("llama", "q_proj"), ("llama", "down_proj"), ("llama", "gate_proj"), ("gpt2", "c_attn")],
)
def test_the_gradient_under_dropout_is_that_of_the_loss_under_the_same_dropout(
    family: str, layer: str, family_actor: Make
) -> None:
    actor = trained(family_actor(family), dropout=0.4)
    model = actor.unwrapped_model
    model.train()
    weight = next(it for name, it in actor.trainable().items() if f"{layer}.lora_A" in name)

    def loss() -> torch.Tensor:
        torch.manual_seed(5)
        found: torch.Tensor = model(IDS, labels=IDS).loss
        return found

    with lean(model):
        (gradient,) = torch.autograd.grad(loss(), weight)
        direction = gradient / gradient.norm()
        with torch.no_grad():
            weight.add_(direction, alpha=1e-2)
            above = loss()
            weight.sub_(direction, alpha=2e-2)
            below = loss()
    assert float((above - below) / 2e-2) == pytest.approx(float(gradient.norm()), rel=5e-2)


def test_dropout_drops_its_share_and_keeps_the_mean(family_actor: Make) -> None:
    actor = trained(family_actor("llama"), dropout=0.25)
    layer = next(module for module in actor.model.modules() if hasattr(module, "lora_A"))
    matrix = layer.lora_A["default"]
    actor.model.train()
    with lean(actor.model), torch.no_grad():
        matrix.weight.copy_(torch.eye(*matrix.weight.shape))
        found = matrix(torch.ones(4000, matrix.in_features))
        assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.02)
        assert float(found.mean()) == pytest.approx(1.0, abs=0.03)
        actor.model.eval()
        assert torch.equal(matrix(torch.ones(4, matrix.in_features)), torch.ones(4, len(matrix.weight)))


def test_much_less_is_kept_under_dropout(family_actor: Make) -> None:
    actor = trained(family_actor("llama"), dropout=0.05)
    assert gradients(actor, keeps_less=True)[1] < 0.63 * gradients(actor, keeps_less=False)[1]


def test_variants_of_lora_are_left_alone(family_actor: Make) -> None:
    actor = trained(family_actor("llama"), dropout=0.2, dora=True)
    assert len(gradients(actor, keeps_less=True)[0]) == len(actor.trainable())
