"""Starting checkpoints trained on pairs: from scratch, from a model, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from halo_core.config.model import ModelConfig
from halo_core.config.training import TrainingOptions
from halo_core.drivers.transformers import Transformers
from halo_core.errors import ConfigError, DataError, ModelError
from halo_core.model.actor import Actor
from halo_core.model.contexts import SamplingContext
from halo_core.model.pretraining import (
    Pair,
    Pretrained,
    encode_pair,
    new_tokenizer,
    read_pairs,
    texts_of,
    train_checkpoint,
)
from halo_core.types import Prompt, SamplingRequest

PAIRS = [Pair(f"What is {n}?", f"It is {n * n}.") for n in range(8)]
TINY = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1} | {
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 64,
}
FULL = TrainingOptions(full=True, batch_size=8)


def scratch(out: Path, pairs: list[Pair] = PAIRS, **options: Any) -> Pretrained:
    defaults: dict[str, Any] = {
        "model": ModelConfig(device="cpu"),
        "options": FULL,
        "lr": 3e-3,
        "architecture": TINY,
    }
    return train_checkpoint(pairs, out, **defaults | {"vocab_size": 300} | options)


# Pairs


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_are_read_line_by_line(tmp_path: Path) -> None:
    text = '{"prompt": "a", "completion": "b", "more": 1}\n\n  \n{"prompt": "é\u2028\x85", "completion": "d\\n"}\r\n'
    assert read_pairs(written(tmp_path / "pairs.jsonl", text)) == [Pair("a", "b"), Pair("é\u2028\x85", "d\n")]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("{", "not JSON"),
        ("[1]", "non-empty texts"),
        ('{"prompt": "a"}', "non-empty texts"),
        ('{"prompt": "a", "completion": ""}', "non-empty texts"),
        ('{"prompt": "a", "completion": 3}', "non-empty texts"),
        ('{"prompt": null, "completion": "b"}', "non-empty texts"),
        ('{"prompt": "a", "chosen": "b", "rejected": "c"}', "another export"),
        (
            '{"prompt": "a", "completion": "b", "prompt_id": "p", "status": "fail", "reward": 0}',
            "another export",
        ),
    ],
)
def test_a_malformed_line_is_reported_with_its_number(line: str, wrong: str, tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.jsonl", f'{{"prompt": "a", "completion": "b"}}\n\n{line}\n')
    with pytest.raises(DataError, match=wrong) as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "\n" not in str(caught.value)


def test_an_empty_missing_or_binary_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="contains no pairs"):
        read_pairs(written(tmp_path / "empty.jsonl", "\n"))
    with pytest.raises(DataError, match="No such file or directory"):
        read_pairs(tmp_path / "absent.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="not UTF-8 text"):
        read_pairs(tmp_path / "binary")


# The tokenizer


def test_a_new_tokenizer_encodes_any_text_and_single_digits() -> None:
    tokenizer = new_tokenizer(texts_of(PAIRS), 280)
    assert len(tokenizer) <= 280
    for text in ("What is 1234?", "ünïcödé 漢字 \t\n  {}", "<|endoftext"):
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert tokenizer.eos_token_id not in ids
    assert [tokenizer.decode(i) for i in tokenizer("1234")["input_ids"]] == ["1", "2", "3", "4"]
    with pytest.raises(ConfigError, match="too small") as caught:
        new_tokenizer(texts_of(PAIRS), 256)
    assert caught.value.hint


# From scratch


def test_a_model_from_scratch_can_be_loaded_by_transformers(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    result = scratch(tmp_path / "model", progress=lambda done, total, loss: calls.append((done, total)))
    assert result.path == tmp_path / "model"
    assert result.skipped == 0
    assert result.stats.steps == 1
    assert calls == [(1, 1)]
    model = transformers.AutoModelForCausalLM.from_pretrained(result.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(result.path)
    assert result.parameters == sum(weight.numel() for weight in model.parameters())
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert Actor(ModelConfig(name=str(result.path))).end_ids == (tokenizer.eos_token_id,)


def test_a_trained_model_samples_its_pairs(tmp_path: Path) -> None:
    pairs = PAIRS[:2]
    result = scratch(tmp_path / "model", pairs, options=replace(FULL, epochs=120), lr=1e-2)
    assert result.stats.loss_last < 0.1 < result.stats.loss_first
    actor = Actor(ModelConfig(name=str(result.path), device="cpu"))
    prompts = tuple(Prompt(pair.prompt, pair.prompt) for pair in pairs)
    (batch,) = Transformers(temperature=0.0, max_new_tokens=20).generate(
        SamplingRequest(cycle=1, split="heldout", prompts=prompts, samples_per_prompt=1, seed=0),
        SamplingContext(actor=actor),
    )
    assert {it.prompt_id: it.text for it in batch} == {pair.prompt: pair.completion for pair in pairs}
    assert {it.finish_reason for it in batch} == {"stop"}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> bytes:
        return (scratch(tmp_path / name, seed=seed).path / "model.safetensors").read_bytes()

    assert weights("a", 0) == weights("b", 0) != weights("c", 1)


def test_weights_are_saved_in_the_requested_precision(tmp_path: Path) -> None:
    for name in ("float32", "bfloat16"):
        result = scratch(tmp_path / name, save_dtype=name)
        model = transformers.AutoModelForCausalLM.from_pretrained(result.path, dtype="auto")
        assert {weight.dtype for weight in model.parameters()} == {getattr(torch, name)}


def test_the_tokenizer_of_another_model_can_be_used(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    result = scratch(tmp_path / "model", model=ModelConfig(name=str(checkpoint()), device="cpu"))
    used = transformers.AutoTokenizer.from_pretrained(checkpoint())
    assert transformers.AutoTokenizer.from_pretrained(result.path).get_vocab() == used.get_vocab()


def test_a_chat_template_is_used_and_saved(tmp_path: Path) -> None:
    template = "{% for m in messages %}Q: {{ m['content'] }} A: {% endfor %}"
    result = scratch(tmp_path / "model", chat_template=template)
    actor = Actor(ModelConfig(name=str(result.path), device="cpu"))
    prompt, completion = encode_pair(actor, PAIRS[3])
    assert actor.tokenizer.decode(prompt) == "Q: What is 3? A: "
    assert prompt == actor.encode(Prompt("p", PAIRS[3].prompt)), "the context of a generator"
    assert actor.tokenizer.decode(completion) == "It is 9.<|endoftext|>"


def test_pairs_that_do_not_fit_are_skipped_and_counted(tmp_path: Path) -> None:
    long = Pair("x", "7" * 100)
    result = scratch(tmp_path / "model", [*PAIRS, long])
    assert result.skipped == 1
    assert result.stats.samples == len(PAIRS)
    with pytest.raises(DataError, match="no pair fits"):
        scratch(tmp_path / "none", [long])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    "architecture",
    [
        {},
        {"model_type": "no-such-model"},
        {**TINY, "num_attention_heads": 5},
        {**TINY, "hidden_size": "wide"},
    ],
)
def test_an_invalid_architecture_is_rejected(architecture: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot build this architecture") as caught:
        scratch(tmp_path / "model", architecture=architecture)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "model").exists()


def test_training_from_scratch_requires_full(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="an adapter is useless without the random weights") as caught:
        scratch(tmp_path / "model", options=TrainingOptions())
    assert "full" in caught.value.hint


# From an existing model


def test_a_model_is_trained_further(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model = ModelConfig(name=str(checkpoint("qwen2")), device="cpu")
    result = scratch(tmp_path / "model", architecture=None, model=model)
    second = scratch(tmp_path / "second", architecture=None, model=replace(model, name=str(result.path)))
    assert second.stats.loss_first < result.stats.loss_first, "it continues from the trained weights"
    assert json.loads((second.path / "config.json").read_text())["model_type"] == "qwen2"


def test_without_full_an_adapter_is_written(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    import peft

    model = ModelConfig(name=str(checkpoint()), device="cpu")
    result = scratch(
        tmp_path / "adapter", architecture=None, model=model, options=TrainingOptions(lora_rank=2)
    )
    plain = peft.AutoPeftModelForCausalLM.from_pretrained(result.path)
    actor = Actor(replace(model, adapter=str(result.path)))
    with torch.inference_mode():
        ids = torch.arange(1, 9)[None]
        assert torch.equal(plain(ids).logits, actor.model(ids).logits)


def test_a_tokenizer_without_an_end_token_is_an_error(checkpoint: Callable[..., Path]) -> None:
    actor = Actor(ModelConfig(name=str(checkpoint()), device="cpu"))
    actor.tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end token"):
        encode_pair(actor, PAIRS[0])


# The command


def test_the_command_trains_a_model(
    tmp_path: Path, halo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("halo_core.model.pretraining.Actor", Actor)
    rows = "".join(f"{json.dumps({'prompt': p.prompt, 'completion': p.completion})}\n" for p in PAIRS)
    data = written(tmp_path / "pairs.jsonl", rows)
    architecture = written(
        tmp_path / "tiny.yaml", "\n".join(f"{key}: {value}" for key, value in TINY.items())
    )
    command = ("sft", "--data", data, "--scratch", architecture, "--device", "cpu", "--vocab-size", 300)
    result = halo(*command, "--output", tmp_path / "model", "-T", "epochs=2", "--lr", "1e-3")
    assert result.code == 0, result.err
    assert f"{tmp_path / 'model'}: " in result.out
    assert "2 steps" in result.out
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.hidden_size == 32
    assert "is not empty" in halo(*command, "--output", tmp_path / "model").complaint()
    assert "epochs" in halo(*command, "--output", tmp_path / "other", "-T", "epoch=2").remedy()
    assert not (tmp_path / "other").exists()
