"""Batches of sequences, as indices into their lengths. Needs no torch; `rng` is the only source of randomness."""

from __future__ import annotations

import random
from collections.abc import Hashable, Sequence

_WINDOW = 16
"""Optimizer steps within which sequences are grouped by length."""


def token_batches(lengths: Sequence[int], budget: int, rows: Sequence[int] | None = None) -> list[list[int]]:
    """Split the indices of `lengths` into batches of at most `budget` tokens, longest first.

    An index stands for `rows` sequences of at most its length, by default one. A batch of n sequences takes n x its
    longest length. What is longer than the budget gets its own batch. Equal lengths keep their order.
    """
    rows = rows or [1] * len(lengths)
    batches: list[list[int]] = []
    longest = size = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        if batches and (size + rows[index]) * longest <= budget:
            batches[-1].append(index)
            size += rows[index]
        else:
            batches.append([index])
            longest, size = lengths[index], rows[index]
    return batches


def epoch_steps(
    lengths: Sequence[int], batch_size: int, rng: random.Random, groups: Sequence[Hashable] | None = None
) -> list[list[int]]:
    """Distribute the indices of `lengths` over the optimizer steps of one epoch.

    There are ceil(n / batch_size) steps. Their sizes differ by at most one, so that no step has only a few noisy
    sequences. The indices are shuffled, sorted by length within windows of a few steps and cut into steps; then the
    steps are shuffled. So a step has similar lengths, and the steps are in random order.

    `groups`, one for each index: sequences of a group stay together, at most a quarter of `batch_size` of them, so that
    a step still has several groups.
    """
    order = list(range(len(lengths)))
    rng.shuffle(order)
    bundles = [[index] for index in order] if groups is None else _bundles(order, groups, batch_size // 4)
    order = [index for bundle in bundles for index in bundle]
    key = {
        index: (max(lengths[other] for other in bundle), number)
        for number, bundle in enumerate(bundles)
        for index in bundle
    }
    count = -(-len(order) // batch_size)
    bounds = [len(order) * step // count for step in range(count + 1)] if count else [0]
    steps: list[list[int]] = []
    for first in range(0, count, _WINDOW):
        last = min(first + _WINDOW, count)
        window = sorted(order[bounds[first] : bounds[last]], key=key.__getitem__)
        start = bounds[first]
        steps += [window[bounds[i] - start : bounds[i + 1] - start] for i in range(first, last)]
    rng.shuffle(steps)
    return steps


def _bundles(order: Sequence[int], groups: Sequence[Hashable], most: int) -> list[list[int]]:
    """Gather the indices in `order` by their group, into bundles of at most `most`, in order of their first ones."""
    bundles: list[list[int]] = []
    last: dict[Hashable, list[int]] = {}
    for index in order:
        bundle = last.get(groups[index])
        if bundle is None or len(bundle) >= max(most, 1):
            bundles.append(bundle := [])
            last[groups[index]] = bundle
        bundle.append(index)
    return bundles
