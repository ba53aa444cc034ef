"""The number of parameters of a model, and the learning rate that follows from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.pretraining import new_checkpoint, new_tokenizer
from halo_core.model.rates import default_rate
from halo_core.model.size import parameter_count

FIELDS = {
    "model_type": "llama", "vocab_size": 300, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 2,
}  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
def test_the_parameters_are_those_of_the_loaded_model(tmp_path: Path, tied: bool) -> None:
    new_checkpoint(
        tmp_path, FIELDS | {"tie_word_embeddings": tied}, new_tokenizer(["a b", "a b"], 300), seed=0
    )
    config = ModelConfig(name=str(tmp_path), device="cpu")
    assert parameter_count(config) == sum(weight.numel() for weight in Actor(config).model.parameters())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("Qwen/Qwen2.5-Coder-0.5B-Instruct", 500_000_000),
        ("HuggingFaceTB/SmolLM2-135M", 135_000_000),
        ("owner/llama-3.2-1b", 1_000_000_000),
        ("owner/model-v2", 0),
        ("owner/model8bit", 0),
        ("/nowhere/at/all", 0),
        ("", 0),
    ],
)
def test_a_model_that_is_not_here_has_the_size_in_its_name(name: str, count: int) -> None:
    assert parameter_count(ModelConfig(name=name)) == count


def test_damaged_weights_have_no_size(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0hello")
    assert parameter_count(ModelConfig(name=str(tmp_path))) == 0
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 8)
    assert parameter_count(ModelConfig(name=str(tmp_path))) == 0


def test_smaller_models_get_higher_learning_rates() -> None:
    base = (5e-6, 7.5e-5)
    assert default_rate(base, 7_000_000_000, full=False) == 7.5e-5
    assert default_rate(base, 134_500_000, full=False) == 2.0e-4
    assert default_rate(base, 134_500_000, full=True) == 2.0e-5
    assert default_rate(base, 1_000_000, full=False) == 3.0e-4
    assert default_rate(base, 0, full=True) == 5e-6
