"""Starting checkpoints from pairs: from scratch, from a model, and what is refused."""

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
WHOLE = TrainingOptions(full=True, batch_size=8)


def scratch(out: Path, pairs: list[Pair] = PAIRS, **options: Any) -> Pretrained:
    options = {"options": WHOLE, "lr": 3e-3, "architecture": TINY, "vocab_size": 300} | options
    return train_checkpoint(pairs, out, **{"model": ModelConfig(device="cpu")} | options)


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
        ("[1]", "non-empty text"),
        ('{"prompt": "a"}', "non-empty text"),
        ('{"prompt": "a", "completion": ""}', "non-empty text"),
        ('{"prompt": "a", "completion": 3}', "non-empty text"),
        ('{"prompt": null, "completion": "b"}', "non-empty text"),
    ],
)
def test_a_malformed_line_is_named(line: str, wrong: str, tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.jsonl", f'{{"prompt": "a", "completion": "b"}}\n\n{line}\n')
    with pytest.raises(DataError, match=wrong) as caught:
        read_pairs(path)
    assert str(caught.value).startswith(f"{path}:3: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_empty_or_absent_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no pairs"):
        read_pairs(written(tmp_path / "empty.jsonl", "\n"))
    with pytest.raises(DataError, match="cannot read"):
        read_pairs(tmp_path / "absent.jsonl")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot read"):
        read_pairs(tmp_path / "binary")


# The tokenizer


def test_a_new_tokenizer_spells_everything_and_digits_one_by_one() -> None:
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


def test_a_model_from_scratch_is_read_by_plain_transformers(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    made = scratch(tmp_path / "model", progress=lambda done, total, loss: calls.append((done, total)))
    assert made.path == tmp_path / "model"
    assert made.skipped == 0
    assert made.stats.steps == 1
    assert calls == [(1, 1)]
    model = transformers.AutoModelForCausalLM.from_pretrained(made.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(made.path)
    assert made.parameters == sum(weight.numel() for weight in model.parameters())
    assert model.config.vocab_size == len(tokenizer)
    assert model.generation_config.eos_token_id == tokenizer.eos_token_id
    assert Actor(ModelConfig(name=str(made.path))).end_ids == (tokenizer.eos_token_id,)


def test_what_it_was_taught_is_what_it_samples(tmp_path: Path) -> None:
    pairs = PAIRS[:2]
    made = scratch(tmp_path / "model", pairs, options=replace(WHOLE, epochs=120), lr=1e-2)
    assert made.stats.loss_last < 0.1 < made.stats.loss_first
    actor = Actor(ModelConfig(name=str(made.path), device="cpu"))
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


def test_weights_are_kept_in_the_precision_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("float32", "bfloat16"):
        made = scratch(tmp_path / name, save_dtype=name)
        model = transformers.AutoModelForCausalLM.from_pretrained(made.path, dtype="auto")
        assert {weight.dtype for weight in model.parameters()} == {getattr(torch, name)}


def test_another_models_tokenizer_can_be_taken(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    made = scratch(tmp_path / "model", model=ModelConfig(name=str(checkpoint()), device="cpu"))
    taken = transformers.AutoTokenizer.from_pretrained(checkpoint())
    assert transformers.AutoTokenizer.from_pretrained(made.path).get_vocab() == taken.get_vocab()


def test_a_chat_template_is_trained_with_and_kept(tmp_path: Path) -> None:
    template = "{% for m in messages %}Q: {{ m['content'] }} A: {% endfor %}"
    made = scratch(tmp_path / "model", chat_template=template)
    actor = Actor(ModelConfig(name=str(made.path), device="cpu"))
    prompt, completion = encode_pair(actor, PAIRS[3])
    assert actor.tokenizer.decode(prompt) == "Q: What is 3? A: "
    assert prompt == actor.encode(Prompt("p", PAIRS[3].prompt)), "as a generator will ask"
    assert actor.tokenizer.decode(completion) == "It is 9.<|endoftext|>"


def test_pairs_that_do_not_fit_are_left_out_and_counted(tmp_path: Path) -> None:
    long = Pair("x", "7" * 100)
    made = scratch(tmp_path / "model", [*PAIRS, long])
    assert made.skipped == 1
    assert made.stats.samples == len(PAIRS)
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
def test_an_architecture_that_cannot_be_built(architecture: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot build this architecture") as caught:
        scratch(tmp_path / "model", architecture=architecture)
    assert "\n" not in str(caught.value)
    assert caught.value.hint
    assert not (tmp_path / "model").exists()


def test_from_scratch_is_trained_whole(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="adapter of random weights") as caught:
        scratch(tmp_path / "model", options=TrainingOptions())
    assert "full" in caught.value.hint


# From a model that is there


def test_a_model_is_trained_further(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    model = ModelConfig(name=str(checkpoint("qwen2")), device="cpu")
    made = scratch(tmp_path / "model", architecture=None, model=model)
    again = scratch(tmp_path / "again", architecture=None, model=replace(model, name=str(made.path)))
    assert again.stats.loss_first < made.stats.loss_first, "it goes on from where the first ended"
    assert json.loads((again.path / "config.json").read_text())["model_type"] == "qwen2"


def test_an_adapter_is_written_when_the_model_is_not_trained_whole(
    checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    import peft

    model = ModelConfig(name=str(checkpoint()), device="cpu")
    made = scratch(tmp_path / "adapter", architecture=None, model=model, options=TrainingOptions(lora_rank=2))
    plain = peft.AutoPeftModelForCausalLM.from_pretrained(made.path)
    actor = Actor(replace(model, adapter=str(made.path)))
    with torch.inference_mode():
        ids = torch.arange(1, 9)[None]
        assert torch.equal(plain(ids).logits, actor.model(ids).logits)


def test_a_tokenizer_without_an_end_token(checkpoint: Callable[..., Path]) -> None:
    actor = Actor(ModelConfig(name=str(checkpoint()), device="cpu"))
    actor.tokenizer.eos_token = None
    with pytest.raises(ModelError, match="no end token"):
        encode_pair(actor, PAIRS[0])


# The command


def test_the_command(tmp_path: Path, halo: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("halo_core.model.pretraining.Actor", Actor)
    rows = "".join(f"{json.dumps({'prompt': p.prompt, 'completion': p.completion})}\n" for p in PAIRS)
    data = written(tmp_path / "pairs.jsonl", rows)
    architecture = written(
        tmp_path / "tiny.yaml", "\n".join(f"{key}: {value}" for key, value in TINY.items())
    )
    given = ("sft", "--data", data, "--scratch", architecture, "--device", "cpu", "--vocab-size", 300)
    answer = halo(*given, "--output", tmp_path / "model", "-T", "epochs=2", "--lr", "1e-3")
    assert answer.code == 0, answer.err
    assert f"{tmp_path / 'model'}: " in answer.out
    assert "2 steps" in answer.out
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").config.hidden_size == 32
    assert "is not empty" in halo(*given, "--output", tmp_path / "model").complaint()
    assert "epochs" in halo(*given, "--output", tmp_path / "other", "-T", "epoch=2").remedy()
    assert not (tmp_path / "other").exists()
