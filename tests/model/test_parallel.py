"""Steps that several processes share: threads play the processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch

from halo_core.model.parallel import Result, add_up, agreed

T = TypeVar("T")
PARTS = tuple(range(5))


class Threads:
    """A `Peers` for one of several threads."""

    mesh = None

    def __init__(self, rank: int, size: int, board: list[Any], barrier: threading.Barrier) -> None:
        self.rank, self.size = rank, size
        self._board, self._barrier = board, barrier

    def gather(self, value: Any) -> list[Any]:
        self._board[self.rank] = value
        self._barrier.wait()
        found = list(self._board)
        self._barrier.wait()
        return found

    def share(self, tensors: Sequence[torch.Tensor], source: int) -> None:
        values = self.gather([tensor.clone() for tensor in tensors])[source]
        for tensor, value in zip(tensors, values, strict=True):
            tensor.copy_(value)


def in_each(size: int, do: Callable[[Threads], T]) -> list[T]:
    """Call `do` in `size` threads; return the results by rank."""
    barrier, board = threading.Barrier(size, timeout=30), [None] * size
    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(do, [Threads(rank, size, board, barrier) for rank in range(size)]))


def gradients(weights: Sequence[torch.Tensor], part: int) -> None:
    """Add the gradients of a part: the last weight is used by the second part alone, the one before by none."""
    generator = torch.Generator().manual_seed(part)
    for weight in (*weights[:2], *weights[3 if part == 1 else 4 :]):
        grad = torch.randn(weight.shape, generator=generator) * 10.0 ** (part - 2)
        weight.grad = grad if weight.grad is None else weight.grad + grad


def new_weights() -> list[torch.Tensor]:
    return [torch.zeros(shape) for shape in ((3, 4), (1000,), (2,), (5,))]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_the_sums_are_those_of_one_process(size: int) -> None:
    alone = new_weights()
    for part in PARTS:
        gradients(alone, part)

    def train(peers: Threads) -> tuple[list[torch.Tensor], list[Result]]:
        weights = new_weights()

        def compute(number: int, part: int) -> Result:
            assert number == part
            gradients(weights, part)
            return 0.1 * part, {"sum": (part, 1)}

        return weights, add_up(peers, PARTS, compute, weights)

    for weights, results in in_each(size, train):
        assert results == [(0.1 * part, {"sum": (part, 1)}) for part in PARTS]
        for own, other in zip(weights, alone, strict=True):
            assert (own.grad is None) == (other.grad is None)
            assert own.grad is None or other.grad is None or torch.equal(own.grad, other.grad)


def test_memory_runs_out_in_all_processes_or_in_none() -> None:
    def compute(peers: Threads) -> str:
        def full() -> int:
            if peers.rank == 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return 1

        with pytest.raises(torch.OutOfMemoryError, match="one of the trainers"):
            agreed(peers, full)
        return str(agreed(peers, lambda: peers.rank))

    assert in_each(3, compute) == ["[0, 1, 2]"] * 3
