"""Rows that ended are replaced by waiting ones: each row is continued as if it were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from halo_core.config.model import ModelConfig
from halo_core.model.actor import Actor
from halo_core.model.caching import Cached
from halo_core.model.decoding import decode
from halo_core.model.drawing import Sampling
from halo_core.model.pretraining import new_checkpoint, new_tokenizer

FIELDS = {"vocab_size": 300, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MODELS = {
    "llama": {"num_key_value_heads": 2, "intermediate_size": 64},
    "gpt_neox": {"intermediate_size": 64},
    "bloom": {"n_layer": 2, "n_head": 4},
    "mistral": {"num_key_value_heads": 2, "intermediate_size": 64, "sliding_window": 6},
}
"""Rotary positions, with a parallel residual, by a bias on the distance, and a window, whose cache rows cannot join."""
PROMPTS = [
    tuple(range(5 + 7 * n, 5 + 7 * n + length)) for n, length in enumerate((9, 3, 5, 1, 12, 4, 3, 8, 2, 6))
]
LIMITS = [4, 9, 2, 7, 11, 3, 12, 1, 8, 5]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    fields = {"model_type": request.param, **FIELDS, **MODELS[request.param]}
    new_checkpoint(tmp_path, fields, new_tokenizer(["a b", "a b"], 300), seed=0)
    return Actor(ModelConfig(name=str(tmp_path), device="cpu", dtype="float32")).model


def greedy(
    model: Any, prompts: list[tuple[int, ...]], limits: list[int], **options: Any
) -> list[tuple[int, ...]]:
    rows = decode(
        model, prompts, sampling=Sampling(0.0), max_new_tokens=limits, end_ids=options.pop("end_ids", ()),
        generator=torch.Generator(), **options,
    )  # fmt: skip
    return [row.token_ids for row in rows]


@pytest.mark.parametrize("slots", [1, 3, 4, 10, 99])
def test_each_row_is_continued_as_if_alone(model: Any, slots: int) -> None:
    alone = [greedy(model, [prompt], [limit])[0] for prompt, limit in zip(PROMPTS, LIMITS, strict=True)]
    ends = (alone[1][4], alone[6][7])
    wanted = [
        greedy(model, [prompt], [limit], end_ids=ends)[0]
        for prompt, limit in zip(PROMPTS, LIMITS, strict=True)
    ]
    assert greedy(model, PROMPTS, LIMITS, slots=slots) == alone
    assert greedy(model, PROMPTS, LIMITS, slots=slots, end_ids=ends) == wanted


def test_at_most_so_many_rows_are_computed_at_once_and_slots_stay_busy(
    model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    feed = Cached.feed

    def counted(self: Cached, tokens: torch.Tensor) -> None:
        sizes.append(len(tokens))
        feed(self, tokens)

    monkeypatch.setattr(Cached, "feed", counted)
    prompts, limits = PROMPTS * 4, LIMITS * 4
    greedy(model, prompts, limits, slots=8)
    assert max(sizes) <= 8
    steps = len(sizes)
    joinable = Cached(model, PROMPTS[:1]).joinable
    assert joinable == (model.config.model_type != "mistral")
    monkeypatch.setattr(Cached, "joinable", False)
    sizes.clear()
    greedy(model, prompts, limits, slots=8)
    assert max(sizes) <= 8
    assert steps < 0.8 * len(sizes) if joinable else steps == len(sizes)


def test_the_cache_is_as_wide_as_its_longest_row(model: Any) -> None:
    context = Cached(model, [PROMPTS[4], PROMPTS[3]])
    if not context.joinable:
        return
    for _ in range(3):
        context.feed(context.logits.argmax(-1))
    context.keep(torch.tensor([1]))
    context.join([PROMPTS[1], PROMPTS[1], PROMPTS[8]])
    assert context.cache.layers[0].keys.shape[2] == 4
    assert context.next.flatten().tolist() == [4, 3, 3, 2]


def test_progress_counts_every_row_and_token(model: Any) -> None:
    seen: list[tuple[int, int, int]] = []
    greedy(model, PROMPTS, LIMITS, slots=3, progress=lambda *figures: seen.append(figures))
    assert seen[-1] == (sum(LIMITS), 0, 0)
    assert [tokens for tokens, _, _ in seen] == sorted(tokens for tokens, _, _ in seen)
    assert [left for _, left, _ in seen] == sorted((left for _, left, _ in seen), reverse=True)


def test_a_model_without_a_usable_cache_is_refilled_too(model: Any) -> None:
    assert greedy(model, PROMPTS, LIMITS, slots=3, cached=False) == greedy(model, PROMPTS, LIMITS, slots=3)
