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
        (500, 32, 1, 1, 1, 16),  # 500 / 32 in the halo-forge notes
        (500, 2, 1, 16, 1, 16),  # 500 / 2 / 16 = 15.6 in the halo-forge notes
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
    step_size = batch * world * accumulation
    assert steps % epochs == 0
    assert (steps // epochs - 1) * step_size < samples <= steps // epochs * step_size


@pytest.mark.parametrize("samples", [1, 31, 32, 33, 500])
def test_steps_match_the_trainer(samples: int) -> None:
    taken = len(epoch_steps([10] * samples, 32, random.Random(0)))
    assert effective_steps(samples, 32, epochs=3) == 3 * taken


@pytest.mark.parametrize(
    ("steps", "warmup"),
    [(0, 0), (1, 0), (3, 0), (4, 1), (10, 1), (11, 2), (16, 2), (20, 2), (100, 10), (101, 11)],
)
def test_warmup_is_a_tenth(steps: int, warmup: int) -> None:
    assert warmup_advice(steps) == warmup


def test_a_carried_optimizer_needs_no_warmup_in_a_short_cycle() -> None:
    assert warmup_advice(19, carried=True) == 0
    assert warmup_advice(20, carried=True) == 2


@given(st.integers(0, 10_000))
def test_advised_warmup_is_at_most_a_quarter(steps: int) -> None:
    warmup = warmup_advice(steps)
    assert 0 <= warmup <= steps / 4
    assert warmup <= steps / 10 + 1
    assert not any("half" in text for text in warnings_for(steps, warmup))


@pytest.mark.parametrize(
    ("steps", "warmup", "parts"),
    [
        (16, 0, []),
        (16, 5, []),  # as in the halo-forge notes
        (10, 0, []),
        (9, 0, ["only 9 optimizer steps:"]),
        (16, 7, ["only 16 optimizer steps (9 at the full learning rate):"]),
        (100, 50, ["50 of 100 optimizer steps are warmup"]),
        (100, 49, []),
        (16, 10, ["10 of 16 optimizer steps are warmup", "(6 at the full learning rate)"]),  # their upper end
        (2, 10, ["10 of 2", "(0 at"]),
    ],
)
def test_warnings(steps: int, warmup: int, parts: list[str]) -> None:
    warnings = warnings_for(steps, warmup)
    assert len(warnings) == len(parts)
    for text, part in zip(warnings, parts, strict=True):
        assert part in text
