from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halo_core.model.batching import epoch_steps
from halo_core.model.schedule import effective_steps, warmup_advice, warnings_for


@pytest.mark.parametrize(
    ("samples", "batch", "world", "accumulation", "epochs", "steps"),
    [
        (500, 32, 1, 1, 1, 16),  # the notes' 500 / 32
        (500, 2, 1, 16, 1, 16),  # the notes' 500 / 2 / 16, which is 15.6
        (500, 2, 8, 2, 1, 16),
        (512, 2, 1, 16, 1, 16),
        (513, 2, 1, 16, 1, 17),
        (1, 2, 8, 16, 1, 1),
        (100, 3, 2, 4, 3, 15),  # ceil(ceil(100 / 6) / 4) = ceil(17 / 4) = 5
        (0, 32, 1, 1, 3, 0),
    ],
)
def test_steps_are_rounded_up_twice(
    samples: int, batch: int, world: int, accumulation: int, epochs: int, steps: int
) -> None:
    assert effective_steps(samples, batch, epochs=epochs, world=world, accumulation=accumulation) == steps


@given(st.integers(1, 5000), st.integers(1, 64), st.integers(1, 8), st.integers(1, 32), st.integers(1, 3))
def test_every_sample_is_used_and_no_step_is_empty(
    samples: int, batch: int, world: int, accumulation: int, epochs: int
) -> None:
    steps = effective_steps(samples, batch, epochs=epochs, world=world, accumulation=accumulation)
    per_step = batch * world * accumulation
    assert steps % epochs == 0
    assert (steps // epochs - 1) * per_step < samples <= steps // epochs * per_step


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 500])
def test_the_steps_are_those_of_the_trainer(samples: int) -> None:
    per_epoch = len(epoch_steps([10] * samples, 32, random.Random(0)))
    assert effective_steps(samples, 32, epochs=3) == 3 * per_epoch


@pytest.mark.parametrize(
    ("steps", "warmup"),
    [(0, 0), (1, 0), (3, 0), (4, 1), (10, 1), (11, 2), (16, 2), (20, 2), (100, 10), (101, 11)],
)
def test_a_tenth_of_the_steps_is_warmup(steps: int, warmup: int) -> None:
    assert warmup_advice(steps) == warmup


def test_a_carried_optimizer_needs_no_warmup_in_a_short_cycle() -> None:
    assert warmup_advice(19, carried=True) == 0
    assert warmup_advice(20, carried=True) == 2


@given(st.integers(0, 10_000))
def test_the_advised_warmup_is_never_a_large_part(steps: int) -> None:
    warmup = warmup_advice(steps)
    assert 0 <= warmup <= steps / 4
    assert warmup <= steps / 10 + 1
    assert not any("half" in text for text in warnings_for(steps, warmup))


@pytest.mark.parametrize(
    ("steps", "warmup", "about"),
    [
        (16, 0, []),
        (16, 5, []),  # the notes' 5 of 16
        (10, 0, []),
        (9, 0, ["9 optimizer steps teach"]),
        (16, 7, ["16 optimizer steps (9 at the full rate) teach"]),
        (100, 50, ["50 of 100 optimizer steps are warmup"]),
        (100, 49, []),
        (16, 10, ["10 of 16 optimizer steps are warmup", "(6 at the full rate)"]),  # the notes' 10
        (2, 10, ["10 of 2", "(0 at"]),
    ],
)
def test_warnings(steps: int, warmup: int, about: list[str]) -> None:
    found = warnings_for(steps, warmup)
    assert len(found) == len(about)
    for text, part in zip(found, about, strict=True):
        assert part in text
