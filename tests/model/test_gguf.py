"""Models in GGUF files: loaded, trained and merged like others; quantized weights become floating-point ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import util
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch

from halo_core.cli.export import _export_gguf
from halo_core.config.model import ModelConfig
from halo_core.errors import ConfigError, ModelError
from halo_core.model.actor import Actor
from halo_core.types import Prompt

Q8 = gguf.GGMLQuantizationType.Q8_0
PARTS = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def gguf_name(name: str) -> str:
    """Return the name of a weight of Qwen2 in a GGUF file."""
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in {**whole, "lm_head.weight": ""}:
        return whole.get(name, "output.weight")
    _, _, layer, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    return f"blk.{layer}.{PARTS[part]}.{kind}"


@pytest.fixture
def file(checkpoint: Callable[..., Path], tmp_path: Path) -> Path:
    """Return a GGUF file of the tiny Qwen2, its embeddings in 8 bits."""
    source = Actor(ModelConfig(name=str(checkpoint("qwen2")), device="cpu"))
    config, path = source.model.config, tmp_path / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(config.vocab_size)
    _add_tokenizer(writer, checkpoint("qwen2"))
    for name, weight in source.model.state_dict().items():
        values = weight.float().numpy()
        if name == "model.embed_tokens.weight":
            writer.add_tensor(gguf_name(name), gguf.quants.quantize(values, Q8), raw_dtype=Q8)
        else:
            writer.add_tensor(gguf_name(name), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tokenizer(writer: Any, directory: Path) -> None:
    stored = json.loads((directory / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = {
        **stored["model"]["vocab"],
        **{each["content"]: each["id"] for each in stored["added_tokens"]},
    }
    tokens = sorted(vocabulary, key=lambda token: vocabulary[token])
    special = {each["content"] for each in stored["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in stored["model"]["merges"]])
    writer.add_eos_token_id(vocabulary["<|endoftext|>"])


def logits(actor: Actor) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = actor.model(torch.arange(1, 20)[None]).logits
    return found


def test_a_gguf_file_is_a_model(file: Path, checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    actor = Actor(ModelConfig(name=str(file), device="cpu"))
    assert actor.preflight() == ""
    source = Actor(ModelConfig(name=str(checkpoint("qwen2")), device="cpu"))
    embeddings = source.model.get_input_embeddings().weight
    rounded = gguf.quants.dequantize(gguf.quants.quantize(embeddings.detach().numpy(), Q8), Q8)
    assert not np.array_equal(rounded, embeddings.detach().numpy())
    with torch.no_grad():
        embeddings.copy_(torch.from_numpy(rounded))
    assert torch.allclose(logits(actor), logits(source), atol=1e-4)
    prompt = Prompt("p", "Print 1, 2 and 3.")
    assert actor.tokenizer.decode(actor.encode(prompt)) == "Print 1, 2 and 3."
    assert actor.context_length == 96


def test_an_adapter_of_a_gguf_file_names_it_and_is_merged(
    file: Path, tmp_path: Path, disturb: Callable[..., Actor]
) -> None:
    actor = disturb(Actor(ModelConfig(name=str(file), device="cpu")))
    adapted = logits(actor)
    actor.save(tmp_path / "adapter")
    again = Actor(ModelConfig(name=str(tmp_path / "adapter"), device="cpu"))
    assert again.config.name == str(file)
    assert torch.allclose(logits(again), adapted, atol=1e-5)
    again.save_merged(tmp_path / "merged", shard_size="20KB")
    shards = list((tmp_path / "merged").glob("*.safetensors"))
    assert len(shards) > 1
    merged = Actor(ModelConfig(name=str(tmp_path / "merged"), device="cpu"))
    assert torch.allclose(logits(merged), adapted, atol=1e-4)


def test_shards_are_a_base_model_too(file: Path, tmp_path: Path, disturb: Callable[..., Actor]) -> None:
    disturb(Actor(ModelConfig(name=str(file), device="cpu"))).save_merged(
        tmp_path / "shards", shard_size="20KB"
    )
    actor = disturb(Actor(ModelConfig(name=str(tmp_path / "shards"), device="cpu")), seed=4)
    adapted = logits(actor)
    actor.save_merged(tmp_path / "merged")
    assert len(list((tmp_path / "merged").glob("*.safetensors"))) == 1
    assert torch.allclose(
        logits(Actor(ModelConfig(name=str(tmp_path / "merged"), device="cpu"))), adapted, atol=1e-4
    )


def test_what_cannot_be_read_is_said(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(file.read_bytes()[:200])
    with pytest.raises(ModelError) as caught:
        _ = Actor(ModelConfig(name=str(damaged), device="cpu")).model
    assert "name the model they were made from" in caught.value.hint
    monkeypatch.setattr(
        "halo_core.model.loading.find_spec", lambda name: None if name == "gguf" else util.find_spec(name)
    )
    with pytest.raises(ModelError, match="the package gguf is not installed") as caught:
        Actor(ModelConfig(name=str(file), device="cpu")).preflight()
    assert caught.value.hint == "pip install gguf"


CONVERTER = """
import shutil, sys
from pathlib import Path
model, flag, output = sys.argv[1:]
assert flag == "--outfile" and (Path(model) / "config.json").is_file() and (Path(model) / "tokenizer.json").is_file()
if (Path(__file__).parent / "broken").exists():
    sys.exit("this architecture is unknown")
Path(output).write_bytes(b"GGUF" + (Path(model) / "model.safetensors").read_bytes()[:8])
"""


def test_the_converter_of_llama_cpp_gets_the_merged_model(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, disturb: Callable[..., Actor]
) -> None:
    disturb(Actor(ModelConfig(name=str(file), device="cpu"))).save(tmp_path / "adapter")
    (tmp_path / "convert_hf_to_gguf.py").write_text(CONVERTER, encoding="utf-8")
    monkeypatch.setenv("LLAMA_CPP", str(tmp_path))
    _export_gguf(tmp_path / "adapter", tmp_path / "out.gguf", "last")
    assert (tmp_path / "out.gguf").read_bytes()[:4] == b"GGUF"
    (tmp_path / "broken").touch()
    with pytest.raises(ConfigError, match="failed: this architecture is unknown"):
        _export_gguf(tmp_path / "adapter", tmp_path / "other.gguf", "last")
    assert not (tmp_path / "other.gguf").exists()
