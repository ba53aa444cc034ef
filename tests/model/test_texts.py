"""The texts of completions, by tokenizers with and without channels."""

from __future__ import annotations

from halo_core.channels import MARKS
from halo_core.model.pretraining import new_tokenizer
from halo_core.model.texts import texts_of
from halo_core.verification.thoughts import read_answer

SAID = "<|channel|>analysis<|message|>maybe \\boxed{7}<|end|><|start|>assistant<|channel|>final<|message|>\\boxed{5}"


def test_marks_of_channels_are_kept() -> None:
    tokenizer = new_tokenizer(["Add.", "The sum is 3."], 300)
    end = tokenizer.eos_token
    tokenizer.add_special_tokens({"additional_special_tokens": [*MARKS, "<|other|>"]})
    ids = tokenizer(f"{SAID}<|other|>{end}")["input_ids"]
    assert texts_of(tokenizer, [ids, ids[:1]]) == [SAID, "<|channel|>"]
    assert read_answer(texts_of(tokenizer, [ids])[0]).text == "\\boxed{5}"
    tokenizer.eos_token = "<|return|>"
    assert texts_of(tokenizer, [tokenizer(f"{SAID}<|return|>")["input_ids"]]) == [SAID]


def test_other_special_tokens_are_dropped() -> None:
    tokenizer = new_tokenizer(["Add.", "The sum is 3."], 300)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|start|>", "<|end|>"]})
    ids = tokenizer(f"<|start|>The sum is 3.<|end|>{tokenizer.eos_token}")["input_ids"]
    assert texts_of(tokenizer, [ids]) == ["The sum is 3."]
