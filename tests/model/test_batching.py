"""Batches and optimizer steps of sequences."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from halo_core.model.batching import epoch_steps, token_batches

LENGTHS = st.lists(st.integers(1, 60), max_size=80)


@given(lengths=LENGTHS, budget=st.integers(1, 300))
def test_token_batches_respect_the_budget(lengths: list[int], budget: int) -> None:
    batches = token_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[index] for index in batch) <= budget
    order = [lengths[index] for batch in batches for index in batch]
    assert order == sorted(order, reverse=True)


def test_equal_lengths_keep_their_order_and_batches_are_full() -> None:
    assert token_batches([5, 9, 5, 5], 10) == [[1], [0, 2], [3]]


@given(lengths=LENGTHS, size=st.integers(1, 20), seed=st.integers(0, 99))
def test_epoch_steps_cover_every_sequence_and_are_balanced(lengths: list[int], size: int, seed: int) -> None:
    steps = epoch_steps(lengths, size, random.Random(seed))
    assert sorted(index for step in steps for index in step) == list(range(len(lengths)))
    assert len(steps) == -(-len(lengths) // size)
    sizes = {len(step) for step in steps}
    assert not sizes or (max(sizes) <= size and max(sizes) - min(sizes) <= 1)
    assert steps == epoch_steps(lengths, size, random.Random(seed))


def test_steps_group_similar_lengths_and_are_shuffled() -> None:
    lengths = list(range(1, 257))
    steps = epoch_steps(lengths, 16, random.Random(0))
    padded = sum(len(step) * max(lengths[index] for index in step) for step in steps)
    assert padded < 1.1 * sum(lengths)
    means = [sum(lengths[index] for index in step) for step in steps]
    assert means not in (sorted(means), sorted(means, reverse=True))
    assert steps != epoch_steps(lengths, 16, random.Random(1))


@given(lengths=LENGTHS, budget=st.integers(1, 300), seed=st.integers(0, 9))
def test_an_index_may_stand_for_several_sequences(lengths: list[int], budget: int, seed: int) -> None:
    rng = random.Random(seed)
    rows = [rng.randint(1, 4) for _ in lengths]
    batches = token_batches(lengths, budget, rows)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        size = sum(rows[index] for index in batch) * max(lengths[index] for index in batch)
        assert len(batch) == 1 or size <= budget


def test_batches_of_units_are_full() -> None:
    assert token_batches([4, 4, 2], 12, [2, 1, 2]) == [[0, 1], [2]]
    assert token_batches([4, 4, 2], 12, [2, 2, 1]) == [[0], [1, 2]]
