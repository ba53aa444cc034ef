"""Sampling, LoRA, saving and merging with a tiny random model of each decoder family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_architectures import ARCHITECTURES, LLAMA

from halo_core.config.model import ModelConfig
from halo_core.drivers.sft import SFT
from halo_core.drivers.transformers import Transformers
from halo_core.errors import ModelError
from halo_core.model.actor import Actor
from halo_core.model.adapters import PROJECTIONS, lora_config
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.model.pretraining import new_checkpoint, new_tokenizer
from halo_core.types import Prompt, Sample, SamplingRequest

TEXTS = ("Write a program that adds two numbers.", "int main() { return a + b; }", "Print 1, 2 and 3.")
PROMPTS = tuple(
    Prompt(f"p{number}", text)
    for number, text in enumerate(
        ("a", "Count 1, 2 and 3 aloud.", "int main() {", "adds two numbers 4 5 6 7")
    )
)
REQUEST = SamplingRequest(cycle=1, split="train", prompts=PROMPTS, samples_per_prompt=2, seed=1)
WITHOUT_CACHE = {"minimax", "openai-gpt", "recurrent_gemma", "rwkv"}
"""Families whose cache halo cannot use."""
IDS = torch.arange(5, 29)[None]
Make = Callable[..., Actor]


@pytest.fixture(scope="module")
def actor_of(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that returns a new actor of a family, without end tokens."""
    tokenizer = new_tokenizer([text for text in TEXTS for _ in range(2)], 300)
    made: dict[str, Path] = {}

    def make(family: str, fields: dict[str, Any] | None = None) -> Actor:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("model")
            new_checkpoint(
                made[family], {"model_type": family} | (fields or ARCHITECTURES[family]), tokenizer, seed=1
            )
        actor = Actor(ModelConfig(name=str(made[family]), device="cpu"))
        actor.model.generation_config.eos_token_id = actor.tokenizer.eos_token = None
        return actor

    return make


def adapted(actor: Actor, **options: Any) -> Actor:
    """Add an adapter with random weights."""
    actor.add_lora(**{"rank": 4, "alpha": 8.0, "dropout": 0.05, "seed": 1} | options)
    actor.model.eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in actor.trainable().values():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return actor


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    found: torch.Tensor = model(IDS).logits
    return found


def distance(left: torch.Tensor, right: torch.Tensor) -> float:
    return float((left - right).abs().max() / right.std())


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_greedy_samples_equal_generate(family: str, actor_of: Make) -> None:
    """Prompts of different lengths in one batch, against `generate` of transformers one by one."""
    actor = actor_of(family)
    assert bool(actor.cache_flaw) == (family in WITHOUT_CACHE), actor.cache_flaw
    batches = Transformers(temperature=0.0, max_new_tokens=24).generate(REQUEST, SamplingContext(actor=actor))
    for it in [it for batch in batches for it in batch]:
        ids = torch.tensor([it.prompt_token_ids])
        with torch.inference_mode():
            out = actor.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=24,
                pad_token_id=0,
            )
        assert list(it.token_ids) == out[0, ids.shape[1] :].tolist(), it.prompt_id


@pytest.mark.parametrize("family", ARCHITECTURES)
def test_an_adapter_gives_the_same_logits_merged_saved_and_loaded(
    family: str, actor_of: Make, tmp_path: Path
) -> None:
    actor = actor_of(family)
    plain = logits(actor.model)
    adapted(actor)
    wanted = logits(actor.unwrapped_model)
    assert distance(plain, wanted) > 0.01, "the adapter has an effect"
    with actor.merged() as model:
        assert distance(logits(model), wanted) < 1e-3
    actor.save(tmp_path / "adapter")
    loaded = Actor(ModelConfig(name=actor.config.name, device="cpu", adapter=str(tmp_path / "adapter")))
    assert distance(logits(loaded.unwrapped_model.eval()), wanted) < 1e-5
    loaded.save_merged(tmp_path / "merged")
    merged = Actor(ModelConfig(name=str(tmp_path / "merged"), device="cpu"))
    assert distance(logits(merged.model), wanted) < 1e-3


# Layers


def test_layers_that_share_their_weights_are_left_out_or_refused(actor_of: Make) -> None:
    actor = actor_of("zamba2")
    config, notes = lora_config(actor.model, rank=4, alpha=8.0, dropout=0.0)
    assert not any("shared_transformer" in name or name.endswith("q_proj") for name in config.target_modules)
    assert "share their weights: " in notes[0]
    assert "q_proj" in notes[0]
    with pytest.raises(
        ModelError, match=r"'model\.layers\.1\..*q_proj': it shares its weights with 'model\.layers\.3"
    ):
        actor.add_lora(rank=4, alpha=8.0, dropout=0.0, target_modules=("q_proj",), seed=0)
    tied = actor_of("llama_tied")
    with pytest.raises(ModelError, match=r"'lm_head': it shares its weights with 'model\.embed_tokens'"):
        tied.add_lora(rank=4, alpha=8.0, dropout=0.0, target_modules=("lm_head",), seed=0)
    assert not tied.has_adapter


@pytest.mark.parametrize(
    "family", ["mixtral", "gpt_oss", "qwen3_moe", "qwen2_moe", "granitemoe", "deepseek_v3"]
)
def test_experts_are_adapted_on_request(family: str, actor_of: Make) -> None:
    by_default = adapted(actor_of(family))
    assert not any("experts." in name for name in by_default.trainable() if "shared" not in name)
    actor = actor_of(family)
    notes = actor.add_lora(
        rank=2, alpha=4.0, dropout=0.05, target_modules=("q_proj", "v_proj", "experts"), seed=0
    )
    assert any("lora_dropout` is 0 instead of 0.05" in note for note in notes)
    assert any("experts" in name for name in actor.trainable())
    actor = adapted(actor_of(family), target_modules=("q_proj", "v_proj", "experts"))
    wanted = logits(actor.unwrapped_model)
    with actor.merged() as model:
        assert distance(logits(model), wanted) < 1e-3


def test_a_model_without_experts_has_none_to_adapt(actor_of: Make) -> None:
    with pytest.raises(ModelError, match="no routed experts"):
        actor_of("llama").add_lora(rank=2, alpha=4.0, dropout=0.0, target_modules=("experts",), seed=0)


def test_the_default_layers(actor_of: Make) -> None:
    def targets(family: str) -> set[str]:
        return set(lora_config(actor_of(family).model, rank=2, alpha=4.0, dropout=0.0)[0].target_modules)

    assert targets("llama") == set(PROJECTIONS)
    assert targets("mamba") == {"in_proj"}, "the others are read by kernels"
    assert targets("phimoe") == {"q_proj", "k_proj", "v_proj", "o_proj"}, "the router is left out"
    assert targets("gpt_neox") == {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}


def test_layers_that_peft_refuses_are_refused_before_the_model_changes(actor_of: Make) -> None:
    actor = actor_of("mamba")
    with pytest.raises(ModelError, match=r"LoRA does not fit this model: .*out_proj") as caught:
        actor.add_lora(rank=2, alpha=4.0, dropout=0.0, target_modules=("out_proj",), seed=0)
    assert "target_modules" in str(caught.value.hint)
    assert not actor.has_adapter
    actor.add_lora(rank=2, alpha=4.0, dropout=0.0, seed=0)


# Models that cannot be sampled


def test_a_model_that_fails_is_refused_with_its_reason(
    actor_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    actor = actor_of("llama", LLAMA)

    def fail(*args: object, **kwargs: object) -> None:
        raise ValueError("needs pixel_values")

    monkeypatch.setattr(type(actor.model), "forward", fail)
    with pytest.raises(ModelError, match="cannot sample from LlamaForCausalLM: needs pixel_values"):
        list(Transformers().generate(REQUEST, SamplingContext(actor=actor)))


# What a run is told


def test_a_trainer_reports_the_layers_it_leaves_out(actor_of: Make, sample_of: Callable[..., Sample]) -> None:
    actor = actor_of("mixtral")
    context = TrainingContext(actor=actor, lr=1e-3, seed=0)
    trainer = SFT()
    trainer.check_model(actor)
    assert not actor.has_adapter, "checking changes nothing"
    stats = trainer.train([sample_of((5, 6, 7), (8, 9, 10))], context)
    assert any("leaves out the experts" in note for note in stats.notes)
    again = trainer.train([sample_of((5, 6, 7), (8, 9, 10))], context)
    assert not any("experts" in note for note in again.notes), "once, when the adapter is added"


def test_a_trainer_refuses_layers_that_do_not_fit(actor_of: Make) -> None:
    with pytest.raises(ModelError, match="no_such_layer"):
        SFT(target_modules=("no_such_layer",)).check_model(actor_of("llama"))
    SFT(target_modules=("no_such_layer",), full=True).check_model(actor_of("llama"))


def test_an_adapter_does_not_hide_the_cache(actor_of: Make) -> None:
    assert adapted(actor_of("llama")).cache_flaw == ""


@pytest.mark.parametrize("family", ["llama", "rwkv"])
def test_sampling_without_a_cache_is_reported(family: str, actor_of: Make) -> None:
    notes: list[str] = []
    Transformers().open(SamplingContext(actor=actor_of(family), note=notes.append))
    assert [note.partition(",")[0] for note in notes] == ["sampling is slow"] * (family in WITHOUT_CACHE)
