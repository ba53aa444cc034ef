"""Variants of LoRA: what they train, and that they are saved, merged and scaled like LoRA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.config.model import ModelConfig
from halo_core.config.options import build
from halo_core.drivers.sft import SFT
from halo_core.errors import ModelError
from halo_core.model.actor import Actor
from halo_core.model.contexts import TrainingContext
from halo_core.types import Sample

Make = Callable[..., Actor]
IDS = torch.arange(5, 29)[None]
VARIANTS: dict[str, dict[str, Any]] = {
    "rslora": {"rslora": True},
    "dora": {"dora": True},
    "modules": {"modules_to_save": ["lm_head"]},
    "gaussian": {"lora_init": "gaussian"},
    "orthogonal": {"lora_init": "orthogonal"},
}


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


def train(actor: Actor, samples: list[Sample], **options: Any) -> Actor:
    given = {"lora_rank": 4, "lora_dropout": 0.0, "max_grad_norm": 0.0} | options
    context = TrainingContext(actor=actor, lr=1e-2, seed=0)
    trainer = build(SFT, given, where="trainer")
    trainer.check_model(actor)
    trainer.train(samples, context)
    return actor


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_is_sampled_saved_loaded_and_merged_as_it_was_trained(
    variant: str, make_actor: Make, samples: list[Sample], tmp_path: Path
) -> None:
    actor = train(make_actor("qwen2"), samples, **VARIANTS[variant])
    plain, wanted = logits(make_actor("qwen2").model), logits(actor.unwrapped_model)
    with actor.merged() as model:
        assert torch.allclose(logits(model), wanted, atol=1e-4)
    assert torch.equal(logits(actor.unwrapped_model), wanted), "restored after sampling"
    with actor.reference("base"):
        assert torch.allclose(logits(actor.unwrapped_model), plain, atol=1e-5)
    actor.save(tmp_path / "adapter")
    loaded = make_actor("qwen2", adapter=tmp_path / "adapter")
    assert torch.allclose(logits(loaded.unwrapped_model), wanted, atol=1e-5)
    assert loaded.trainable().keys() == actor.trainable().keys()
    loaded.save_merged(tmp_path / "merged")
    merged = Actor(ModelConfig(name=str(tmp_path / "merged"), device="cpu"))
    assert torch.allclose(logits(merged.model), wanted, atol=1e-4)


def test_the_options_reach_peft(make_actor: Make, samples: list[Sample]) -> None:
    found = {
        name: train(make_actor("qwen2"), samples, **options).model.peft_config["default"]
        for name, options in VARIANTS.items()
    }
    assert found["rslora"].use_rslora
    assert found["dora"].use_dora
    assert found["gaussian"].init_lora_weights == "gaussian"
    assert found["orthogonal"].init_lora_weights == "orthogonal"
    assert not found["modules"].use_dora
    assert not found["modules"].use_rslora


def test_modules_to_save_are_trained_in_full(make_actor: Make, samples: list[Sample]) -> None:
    actor = train(make_actor("qwen2"), samples, modules_to_save=["lm_head"])
    (head,) = (weight for name, weight in actor.trainable().items() if "lm_head" in name)
    assert not torch.equal(head, make_actor("qwen2").model.lm_head.weight)


@pytest.mark.parametrize(
    ("kind", "module", "message"),
    [
        ("llama", "lm_head", "shares its weights"),
        ("qwen2", "no_such_layer", "no module 'no_such_layer'"),
    ],
)
def test_modules_that_cannot_be_saved_are_refused(
    kind: str, module: str, message: str, make_actor: Make
) -> None:
    with pytest.raises(ModelError, match=message):
        build(SFT, {"modules_to_save": [module]}, where="trainer").check_model(make_actor(kind))


def test_half_of_the_change(make_actor: Make, samples: list[Sample]) -> None:
    """With one linear layer adapted and one trained in full, the logits of half of the change are known."""
    actor = train(make_actor("qwen2"), samples, target_modules=["q_proj"], modules_to_save=["lm_head"])
    origin = make_actor("qwen2").model
    weights = {name: weight.detach().clone() for name, weight in actor.trainable().items()}
    actor.interpolate(0.5)
    for name, weight in actor.trainable().items():
        if "lora_B" in name:
            assert torch.allclose(weight, weights[name] / 2)
        elif "lm_head" in name:
            assert torch.allclose(weight, (weights[name] + origin.lm_head.weight) / 2)
        else:
            assert torch.equal(weight, weights[name])


def test_dora_cannot_be_interpolated(make_actor: Make, samples: list[Sample]) -> None:
    actor = train(make_actor("qwen2"), samples, dora=True)
    with pytest.raises(ModelError, match="DoRA"):
        actor.interpolate(0.5)
