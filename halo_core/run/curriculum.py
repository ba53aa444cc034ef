"""Selection of the prompts that a cycle samples, by difficulty."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence

from halo_core.config.curriculum import Curriculum
from halo_core.errors import DataError
from halo_core.seeds import derive_seed
from halo_core.shares import share_of
from halo_core.types import Prompt


def prompts_for(
    curriculum: Curriculum,
    prompts: Sequence[Prompt],
    passes: Mapping[str, tuple[int, int]],
    *,
    cycle: int,
    cycles: int,
    seed: int,
) -> tuple[Prompt, ...]:
    """Return the prompts of `cycle`, in the order of the data.

    `passes` has (passes, samples) of each prompt over the earlier cycles. Raises a `DataError` for a prompt whose data
    has no number under `curriculum.key`.
    """
    if curriculum.order == "none":
        return tuple(prompts)
    rng = random.Random(derive_seed(seed, cycle, "curriculum"))
    draw = {prompt.id: rng.random() for prompt in prompts}
    estimated = {prompt.id: _estimated_difficulty(*passes.get(prompt.id, (0, 0))) for prompt in prompts}
    if curriculum.order == "frontier":
        count = share_of(len(prompts), curriculum.start, up=True)
        # Efraimidis and Spirakis (2006): the largest u^(1/w) form a weighted sample without replacement
        rank = {name: -(draw[name] ** (1 / (p * (1 - p)))) for name, p in estimated.items()}
    else:
        share = curriculum.start + (1 - curriculum.start) * (cycle - 1) / max(1, cycles - 1)
        count = share_of(len(prompts), share, up=True)
        given = {p.id: _given_difficulty(p, curriculum.key) for p in prompts} if curriculum.key else estimated
        sign = 1 if curriculum.order == "easy_first" else -1
        rank = {name: sign * value for name, value in given.items()}
    taken = set(sorted(rank, key=lambda name: (rank[name], draw[name]))[:count])
    return tuple(prompt for prompt in prompts if prompt.id in taken)


def _estimated_difficulty(passed: int, total: int) -> float:
    return (total - passed + 1) / (total + 2)


def _given_difficulty(prompt: Prompt, key: str) -> float:
    value = prompt.meta.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(
            f"prompt {prompt.id!r} has no number under {key!r}, which curriculum.key names",
            hint="give every prompt a number, or leave curriculum.key empty to estimate difficulty",
        )
    return float(value)
