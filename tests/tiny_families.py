"""Actors with a tiny random model of a decoder family, and an adapter that has an effect."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_architectures import ARCHITECTURES

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.pretraining import new_checkpoint, new_tokenizer

CHANGED_LOGITS: dict[str, dict[str, Any]] = {
    "cohere": {"logit_scale": 0.3},
    "falcon_h1": {"lm_head_multiplier": 0.7},
    "gemma2": {"final_logit_softcapping": 2.0, "sliding_window": 64},
    "granite": {"logits_scaling": 3.0},
}
"""Families that change the logits after the head, with numbers that have a large effect."""
Make = Callable[..., Actor]


@pytest.fixture(scope="session")
def family_actor(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that returns a new actor of a family of `tiny_architectures`."""
    tokenizer = new_tokenizer(["a", "b"], 300)
    made: dict[str, Path] = {}

    def make(family: str, **options: Any) -> Actor:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("model")
            fields = {"model_type": family} | ARCHITECTURES[family] | CHANGED_LOGITS.get(family, {})
            new_checkpoint(made[family], fields, tokenizer, seed=1)
        return Actor(ModelConfig(name=str(made[family]), device="cpu", **options))

    return make


def trained(actor: Actor, **options: Any) -> Actor:
    """Add an adapter with random weights."""
    actor.add_lora(**{"rank": 4, "alpha": 8.0, "dropout": 0.0, "seed": 1} | options)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return actor
