"""Weights in 4 bits: training and sampling beside them, memory, and what they are merged into."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.config.model import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.drivers.transformers import Transformers
from halo_core.errors import ModelError
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.run.sampler_check import check_sampler
from halo_core.types import Prompt, Sample, SamplingRequest, Stage, Status, Verdict

needs_bitsandbytes = pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
IDS = torch.arange(5, 29)[None]
Checkpoint = Callable[..., Path]


def quantized(directory: Path, **options: Any) -> Actor:
    return Actor(
        ModelConfig(name=str(directory), device="cpu", dtype="float32", quantization="nf4", **options)
    )


def sampled(actor: Actor) -> list[Sample]:
    prompt = Prompt("p", "a program")
    request = SamplingRequest(cycle=1, split="train", prompts=(prompt,), samples_per_prompt=12, seed=1)
    verdict = Verdict(Status.PASS, Stage.CORRECT)
    generator = Transformers(temperature=1.0, top_p=1.0, max_new_tokens=12)
    return [
        Sample(prompt, completion, verdict, 1.0)
        for batch in generator.generate(request, SamplingContext(actor=actor))
        for completion in batch
    ]


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


def size(weights: Sequence[torch.Tensor]) -> int:
    return sum(weight.numel() * weight.element_size() for weight in weights)


@needs_bitsandbytes
def test_a_model_in_4_bits_is_sampled_trained_and_merged(checkpoint: Checkpoint, tmp_path: Path) -> None:
    actor = quantized(checkpoint())
    linear = [module for module in actor.model.modules() if type(module).__name__ == "Linear4bit"]
    assert len(linear) == 14, "the projections, not the head"
    assert size([module.weight for module in linear]) * 7 < 4 * sum(
        module.in_features * module.out_features for module in linear
    )
    base = logits(actor.model)
    samples = sampled(actor)
    stats = SFT(lora_dropout=0.0).train(samples, TrainingContext(actor=actor, lr=1e-2, seed=0))
    assert stats.update_norm > 0
    assert check_sampler(actor, sampled(actor), stats) is not None, "the sampler has the adapter"
    trained = logits(actor.unwrapped_model)
    assert not torch.allclose(trained, base, atol=0.1)
    again = sampled(actor)
    assert torch.equal(logits(actor.unwrapped_model), trained), "sampling does not change the weights"
    assert again == sampled(actor)
    with actor.reference("base"):
        assert torch.allclose(logits(actor.unwrapped_model), base, atol=1e-5)
    actor.save(tmp_path / "adapter")
    loaded = quantized(checkpoint(), adapter=str(tmp_path / "adapter"))
    assert torch.allclose(logits(loaded.unwrapped_model), trained, atol=1e-5)
    loaded.save_merged(tmp_path / "merged")
    merged = Actor(ModelConfig(name=str(tmp_path / "merged"), device="cpu"))
    assert torch.allclose(logits(merged.model), trained, atol=1e-3)


@needs_bitsandbytes
def test_the_gradient_is_that_of_the_dequantized_model(
    checkpoint: Checkpoint, disturb: Callable[..., Actor]
) -> None:
    """Also after sampling, for which bitsandbytes may rearrange the weights."""
    actor = disturb(quantized(checkpoint()))
    with torch.no_grad():
        actor.unwrapped_model(IDS)
    actor.model.train()

    def gradients(actor: Actor) -> torch.Tensor:
        loss = actor.unwrapped_model(IDS, labels=IDS).loss
        found = torch.autograd.grad(loss, list(actor.trainable().values()))
        return torch.cat([tensor.flatten() for tensor in found])

    mine = gradients(actor)
    names = list(actor.trainable())
    actor._dequantize()
    assert list(actor.trainable()) == names
    wanted = gradients(actor)
    assert (mine - wanted).norm() <= 1e-4 * wanted.norm()


@needs_bitsandbytes
def test_full_training_of_4_bits_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="cannot be trained in full"):
        quantized(checkpoint()).train_all()
    with pytest.raises(ModelError, match="cannot be trained in full"):
        SFT(full=True).check_model(quantized(checkpoint()))


def test_without_bitsandbytes_the_remedy_is_named(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *package: None if name == "bitsandbytes" else find(name, *package),
    )
    with pytest.raises(ModelError, match="needs bitsandbytes") as caught:
        _ = quantized(checkpoint()).model
    assert caught.value.hint == "pip install 'halo-core[quantization]'"
