"""One optimizer step computed by several processes, each with the whole model. Imports torch.

The batches of a step are distributed in turn, and their gradients are added in the order of the batches, as one process
adds them. So the sums are the same numbers, whatever the number of processes; only a device that computes a batch
differently can change them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import torch

from halo_core.model.memory import is_out_of_memory

if TYPE_CHECKING:
    from halo_core.model.contexts import Peers

T = TypeVar("T")
Part = TypeVar("Part")
Sums = Mapping[str, Sequence[float]]
"""The sum and the number of the elements of each statistic of a batch."""
Result = tuple[float, Sums]
"""The loss and the statistics of a batch."""


def agreed(peers: Peers, compute: Callable[[], T]) -> list[T]:
    """Call `compute` in each process; return what each of them returned, by rank.

    If one of them runs out of memory, all of them raise an error.
    """
    results, problem = [], None
    try:
        results = [compute()]
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        problem = error
    answers = peers.gather(results)
    if not all(answers):
        raise torch.OutOfMemoryError("out of memory in one of the trainers") from problem
    return [answer for (answer,) in answers]


def add_up(
    peers: Peers,
    parts: Sequence[Part],
    compute: Callable[[int, Part], Result],
    weights: Sequence[torch.Tensor],
) -> list[Result]:
    """Compute each part of a step in one of the processes; leave the sum of all gradients in `weights`.

    `compute` gets the number of a part and the part, and adds its gradients to `weights`. Returns the results of all
    parts, in order.
    """
    sums: list[torch.Tensor | None] = [None] * len(weights)
    results: list[Result] = []
    for first in range(0, len(parts), peers.size):
        wave = parts[first : first + peers.size]

        def own(first: int = first, wave: Sequence[Part] = wave) -> tuple[Result, list[bool]] | None:
            for weight in weights:
                weight.grad = None
            if peers.rank >= len(wave):
                return None
            found = compute(first + peers.rank, wave[peers.rank])
            return found, [weight.grad is not None for weight in weights]

        for source, answer in enumerate(agreed(peers, own)[: len(wave)]):
            assert answer is not None
            result, touched = answer
            results.append(result)
            _receive(peers, source, [n for n, used in enumerate(touched) if used], weights, sums)
    for weight, total in zip(weights, sums, strict=True):
        weight.grad = total
    return results


def _receive(
    peers: Peers,
    source: int,
    numbers: Sequence[int],
    weights: Sequence[torch.Tensor],
    sums: list[torch.Tensor | None],
) -> None:
    """Add the gradients that process `source` has computed for the weights `numbers` to `sums`."""
    grads = []
    for number in numbers:
        own = weights[number].grad if peers.rank == source else None
        grads.append(torch.empty_like(weights[number]) if own is None else own)
    peers.share(grads, source)
    for number, grad in zip(numbers, grads, strict=True):
        total = sums[number]
        sums[number] = grad.detach().clone() if total is None else total.add_(grad)
