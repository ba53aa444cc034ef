"""Tiny models with random weights and a tokenizer trained by the tests, so that nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.pretraining import new_checkpoint, new_tokenizer
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

CONTEXT = 96
SIZES = {"num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": CONTEXT}
LLAMA = SIZES | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    # Large random weights: logits far apart, so that rounding does not decide which token is likeliest.
    "llama": LLAMA | {"model_type": "llama", "tie_word_embeddings": True},
    "qwen2": LLAMA | {"model_type": "qwen2"},
    "gpt2": {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT}
    | {"initializer_range": 0.3, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
}
TEXTS = ("Write a program that adds two numbers.", "int main() { return a + b; }", "Print 1, 2 and 3.")
CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Use one thread: more make such small matrices slower."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that returns a model's directory, by architecture, chat template and start token."""
    made: dict[tuple[str, bool, bool], Path] = {}

    def get(kind: str = "llama", *, chat: bool = False, bos: bool = False) -> Path:
        key = kind, chat, bos
        if key not in made:
            made[key] = tmp_path_factory.mktemp(kind)
            new_checkpoint(made[key], ARCHITECTURES[kind], _tokenizer(chat, bos), seed=1)
        return made[key]

    return get


def _tokenizer(chat: bool, bos: bool) -> Any:
    from tokenizers.processors import TemplateProcessing

    tokenizer = new_tokenizer([text for text in TEXTS for _ in range(2)], 300)
    if bos:
        tokenizer.add_special_tokens({"bos_token": "<s>"})
        tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.bos_token_id)]
        )
    if chat:
        tokenizer.chat_template = CHAT
    return tokenizer


@pytest.fixture
def make_actor(checkpoint: Callable[..., Path]) -> Callable[..., Actor]:
    """Return a function that creates a new actor; its arguments are those of `checkpoint`, and an adapter."""

    def make(kind: str = "llama", *, adapter: Path | None = None, **options: bool) -> Actor:
        name = str(checkpoint(kind, **options))
        return Actor(ModelConfig(name=name, device="cpu", adapter=str(adapter) if adapter else None))

    return make


@pytest.fixture
def disturb() -> Callable[[Actor], Actor]:
    """Return a function that adds an adapter with random weights: a new adapter has no effect."""

    def apply(actor: Actor, seed: int = 3) -> Actor:
        actor.add_lora(rank=4, alpha=8.0, dropout=0.0, seed=seed)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for weight in actor.trainable().values():
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
        return actor

    return apply


@pytest.fixture(scope="session")
def sample_of() -> Callable[..., Sample]:
    """Return a factory of samples with given token ids."""

    def make(
        prompt_ids: tuple[int, ...], ids: tuple[int, ...], weight: float = 1.0, *, prompt: str = "p"
    ) -> Sample:
        completion = Completion(prompt, 0, "text is not what is trained on", prompt_ids, ids)
        return Sample(Prompt(prompt, "task"), completion, Verdict(Status.PASS, Stage.CORRECT), 1.0, weight)

    return make


@pytest.fixture(scope="session")
def samples(sample_of: Callable[..., Sample]) -> list[Sample]:
    """Return seven samples of different lengths."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(1, 256, (length,), generator=generator).tolist())

    return [sample_of(ids(3 + 5 * n % 11), (*ids(2 + 7 * n % 17), 0), prompt=f"p{n}") for n in range(7)]
