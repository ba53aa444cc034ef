"""Sequences that share rows: when they do, and that the result is that of single rows."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_families import Make, trained

from halo_core.config.options import build
from halo_core.drivers.sft import SFT
from halo_core.model.batching import epoch_steps
from halo_core.model.contexts import TrainingContext
from halo_core.model.logprobs import Scorer
from halo_core.model.packing import pack
from halo_core.model.sharing import Cost, batches, saves, shared_rows, tokens_of
from halo_core.model.units import Batch, Example, Unit
from halo_core.training import fit

LINEAR = Cost(1.0, 0.0)
"""Attention costs nothing, so whatever begins alike shares a row."""
PROMPT = tuple(range(40, 52))
UNITS = [
    (Example(PROMPT, (5, 6, 7, 8), weight=2.0),),
    (Example(PROMPT, (5, 6, 9), weight=-1.0),),
    (Example((30, 31), (5, 6)),),
    (Example(PROMPT, (5, 6, 7, 8), weight=0.5),),
    (Example(PROMPT, (11, 12, 13, 14, 15, 16), loss_mask=(True, False, False, True, True, True)),),
    (Example(PROMPT[:5], (3,)),),
]
SHARING = (
    "llama",
    "qwen3",
    "gpt2",
    "opt",
    "gpt_neox",
    "phi",
    "gemma2",
    "granite",
    "cohere",
    "mixtral",
    "deepseek_v3",
    "olmo2",
    "stablelm",
)
ALONE = (
    "mamba",
    "jamba",
    "falcon_h1",
    "bloom",
    "falcon_alibi",
    "qwen3_next",
    "lfm2",
    "recurrent_gemma",
    "rwkv",
    "mpt",
)


# Which sequences share a row


def rows_of(*texts: str, cost: Cost = LINEAR, limit: int = 99) -> list[list[str]]:
    examples = [Example(tuple(map(ord, text[:1])), tuple(map(ord, text[1:]))) for text in texts]
    return [[texts[index] for index in row] for row in shared_rows(examples, cost, limit)]


def test_sequences_that_begin_alike_share_a_row() -> None:
    assert rows_of("abcx", "zz", "abcy", "abcx") == [["abcx", "abcy", "abcx"], ["zz"]], (
        "last tokens are not read"
    )


def test_a_row_ends_at_its_limit_or_where_attention_costs_more() -> None:
    assert rows_of("abcdx", "abcey", "abcfz", limit=5) == [["abcdx", "abcey"], ["abcfz"]]
    assert rows_of("abcx", "abcy", cost=Cost(1.0, 10.0)) == [["abcx", "abcy"]], "the second adds no token"
    assert rows_of("abcdx", "abcey", cost=Cost(1.0, 10.0)) == [["abcdx"], ["abcey"]]


@given(
    st.lists(st.lists(st.integers(1, 3), min_size=2, max_size=9), min_size=1, max_size=12),
    st.integers(3, 40),
    st.floats(0, 1),
)
def test_every_sequence_is_in_one_batch_within_the_budget(
    rows: list[list[int]], budget: int, pair: float
) -> None:
    units: list[Unit] = [(Example(tuple(ids[:1]), tuple(ids[1:])),) for ids in rows]
    units.append((*units[0], *units[-1]))
    seen: list[int] = []
    for indices, found in batches(units, budget, Cost(1.0, pair)):
        seen += indices
        examples = [example for index in indices for example in units[index]]
        assert sorted(index for row in found for index in row) == list(range(len(examples)))
        batch = pack([units[index] for index in indices], torch.device("cpu"), found)
        if len(indices) > 1:
            assert (batch.ids.shape[1] + 1) * len(found) <= budget
        targets = [token for example in examples for token in example.completion_ids]
        assert batch.targets.tolist() == targets
        ids = batch.ids.flatten()[batch.positions].tolist()
        assert ids == [
            token for example in examples for token in tokens_of(example)[len(example.prompt_ids) - 1 :]
        ]
    assert sorted(seen) == list(range(len(units)))


def test_steps_keep_sequences_of_a_group_together_but_have_several_groups() -> None:
    groups = [number % 6 for number in range(48)]
    steps = epoch_steps([5 + number % 7 for number in range(48)], 16, random.Random(0), groups)
    assert sorted(index for step in steps for index in step) == list(range(48))
    for step in steps:
        kinds = [groups[index] for index in step]
        assert max(map(kinds.count, kinds)) <= 8
        assert sum(kinds.count(kind) >= 4 for kind in set(kinds)) >= 3
    apart = epoch_steps([9] * 48, 16, random.Random(0), list(range(48)))
    assert apart == epoch_steps([9] * 48, 16, random.Random(0))


def test_sharing_must_save_something() -> None:
    alike = [(Example(PROMPT, (number, 1)),) for number in range(4)]
    assert saves(alike, [[0, 1, 2, 3]], 1024, LINEAR)
    assert not saves(alike, [[0], [1], [2], [3]], 1024, LINEAR), "they are in different steps"
    assert not saves(alike, [[0, 1, 2, 3]], 13, LINEAR), "the batches are too small"
    assert not saves([(Example((n,), (1, 2, 3)),) for n in range(4)], [[0, 1, 2, 3]], 1024, LINEAR)


# The result


@pytest.mark.parametrize("attention", [None, "eager"])
@pytest.mark.parametrize("family", SHARING)
def test_gradients_equal_those_of_single_rows(family: str, attention: str | None, family_actor: Make) -> None:
    actor = trained(family_actor(family, attn_implementation=attention))
    scorer = Scorer(actor.unwrapped_model)
    assert scorer.sharing_flaw(8) == ""
    weights = list(actor.trainable().values())
    ((indices, rows),) = batches(UNITS, 1024, LINEAR)
    units = [UNITS[index] for index in indices]
    assert len(rows) == 2
    found = []
    for shared in (True, False):
        batch = pack(units, actor.device, rows if shared else None)
        assert (batch.ids.numel() < 60) == shared
        logprobs, batch = scorer.score(batch)
        loss = -(logprobs * batch.by_token(batch.weights)).sum()
        found.append((logprobs.detach(), torch.autograd.grad(loss, weights)))
    (logprobs, gradients), (plain, wanted) = found
    assert torch.allclose(logprobs, plain, rtol=1e-4, atol=1e-4)
    for mine, other in zip(gradients, wanted, strict=True):
        assert (mine - other).abs().max() <= 1e-4 * other.abs().max() + 1e-5


@pytest.mark.parametrize("family", ALONE)
def test_other_layers_are_refused(family: str, family_actor: Make) -> None:
    scorer = Scorer(trained(family_actor(family)).unwrapped_model)
    assert scorer.sharing_flaw(8)


def test_a_window_is_refused_from_the_length_at_which_it_matters(family_actor: Make) -> None:
    scorer = Scorer(family_actor("mistral").model)
    window = scorer.model.config.sliding_window
    assert scorer.sharing_flaw(window) == ""
    assert "window" in scorer.sharing_flaw(window + 1)


@pytest.mark.parametrize(
    "rope", [{"rope_type": "longrope"}, {"full_attention": {"rope_type": "dynamic"}, "sliding_attention": {}}]
)
def test_positions_that_depend_on_the_length_are_refused(rope: dict[str, Any], family_actor: Make) -> None:
    scorer = Scorer(family_actor("llama").model)
    scorer.model.config.rope_parameters = rope
    assert "positions depend on the length" in scorer.sharing_flaw(8)


# Training


def run(family_actor: Make, *, family: str = "llama", **options: Any) -> tuple[Any, Any, list[int]]:
    """Train on several completions of two prompts; return the statistics, the weights and the rows of each batch."""
    actor, rows = trained(family_actor(family)), list[int]()

    def loss(batch: Batch, logprobs: torch.Tensor) -> torch.Tensor:
        rows.append(len(batch.ids))
        return -(logprobs * batch.by_token(batch.weights)).sum()

    rng = random.Random(1)
    units = [
        (Example(prompt, tuple(rng.randrange(1, 200) for _ in range(4)), weight=1.0 + number),)
        for prompt in (PROMPT, PROMPT[::-1])
        for number in range(4)
    ]
    trainer = build(SFT, {"lora_dropout": 0.0, "epochs": 2} | options, where="trainer")
    stats = fit(units, loss, trainer, TrainingContext(actor=actor, lr=1e-3, seed=0), per="token")
    return stats, actor.trainable(), rows


def test_training_shares_rows_by_itself_with_the_same_result(family_actor: Make) -> None:
    stats, weights, rows = run(family_actor)
    plain, wanted, alone = run(family_actor, share_prefixes=False)
    assert rows == [2, 2], "a row for each prompt"
    assert alone == [8, 8]
    assert stats.losses == pytest.approx(plain.losses, rel=1e-5)
    assert stats.grad_norms == pytest.approx(plain.grad_norms, rel=1e-4)
    for name, weight in weights.items():
        assert torch.allclose(weight, wanted[name], atol=1e-5), name


def test_training_of_a_recurrent_model_does_not_share_rows(family_actor: Make) -> None:
    assert run(family_actor, family="mamba", full=False)[2] == [8, 8]
