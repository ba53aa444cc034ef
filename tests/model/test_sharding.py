"""Weights that are split over processes, as far as one process shows it; halo-ray tests several."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from halo_core.errors import TrainingError
from halo_core.model.actor import Actor
from halo_core.model.parallel import Result
from halo_core.model.sharding import add_up_shards, is_sharded, like, sharded
from halo_core.testing import tiny_actor


@pytest.mark.parametrize(
    ("change", "message"),
    [("float16", "cannot be trained in float16"), ("value head", "a value head cannot be trained")],
)
def test_what_cannot_be_split_is_refused(change: str, message: str) -> None:
    actor = tiny_actor()
    assert isinstance(actor, Actor)
    if change == "float16":
        vars(actor)["dtype"] = torch.float16
    else:
        actor.add_value_head()
    model, peers = actor.model, SimpleNamespace(mesh=SimpleNamespace(device_type="cpu"))
    with pytest.raises(TrainingError, match=message), sharded(actor, peers):
        pass
    assert actor.model is model


@pytest.mark.parametrize("peers", [None, SimpleNamespace(mesh=None)])
def test_without_a_mesh_nothing_changes(peers: Any) -> None:
    actor = tiny_actor()
    model = actor.model
    with sharded(actor, peers):
        assert actor.model is model
        assert not is_sharded(list(model.parameters()))


@pytest.mark.parametrize(("size", "parts"), [(1, 3), (2, 3), (2, 4), (3, 1), (4, 5)])
def test_every_process_computes_equally_often_and_each_part_counts_once(size: int, parts: int) -> None:
    asked: list[list[tuple[int, float]]] = []

    def train(rank: int, answers: list[list[Result]]) -> list[Result]:
        """Return the results of one of the processes; `answers` are what all of them answer, by turn."""
        turns, own = iter(answers), []

        def compute(number: int, part: int, factor: float) -> Result:
            assert part == 10 * number
            own.append((number, factor))
            return float(part), {}

        peers: Any = SimpleNamespace(rank=rank, size=size, gather=lambda value: next(turns))
        found = add_up_shards(peers, [10 * number for number in range(parts)], compute)
        asked.append(own)
        return found

    turns = -(-parts // size)
    answers: list[list[Result]] = [
        [(10.0 * min(turn * size + rank, parts - 1), {}) for rank in range(size)] for turn in range(turns)
    ]
    for rank in range(size):
        assert train(rank, answers) == [(10.0 * number, {}) for number in range(parts)]
    assert {len(own) for own in asked} == {turns}
    counted = [number for own in asked for number, factor in own if factor == 1.0]
    assert sorted(counted) == list(range(parts))
    assert {factor for own in asked for _, factor in own} <= {0.0, 1.0}


def test_a_copy_for_a_whole_weight_is_a_copy() -> None:
    value, weight = torch.ones(3), torch.zeros(3)
    found = like(value, weight)
    value += 1
    assert torch.equal(found, torch.ones(3))
