"""Prompts of several sources, mixed by weight."""

from __future__ import annotations

import random
from collections.abc import Sequence

from halo_core.errors import DataError
from halo_core.seeds import derive_seed
from halo_core.types import Prompt


def mixture(
    sources: Sequence[tuple[str, Sequence[Prompt], float | None]], *, limit: int | None, seed: int
) -> list[Prompt]:
    """Return the prompts of named sources in one list, each source with its weight.

    Without weights, all prompts of all sources. With weights, as many prompts as can be taken in this proportion
    without repeating one, at most `limit`: those of each source are drawn by `seed`, and keep their order. Raises a
    `DataError` if only some sources have a weight, or if two prompts have the same id.
    """
    weighted = [weight for *_, weight in sources if weight is not None]
    if not weighted:
        chosen = [prompt for _, prompts, _ in sources for prompt in prompts][:limit]
    elif len(weighted) < len(sources):
        raise DataError("data.sources: some sources have a weight and others none", hint="give each a weight")
    else:
        total = min(len(prompts) * sum(weighted) / float(weight or 1) for _, prompts, weight in sources)
        total = total if limit is None else min(total, limit)
        chosen = []
        for (name, prompts, _), weight in zip(sources, weighted, strict=True):
            wanted = min(len(prompts), max(1, round(total * weight / sum(weighted))))
            draw = random.Random(derive_seed(seed, "mixture", name))
            chosen += [prompts[place] for place in sorted(draw.sample(range(len(prompts)), wanted))]
    seen: dict[str, Prompt] = {}
    for prompt in chosen:
        if prompt.id in seen:
            raise DataError(
                f"{prompt.place}: id {prompt.id!r} is already used at {seen[prompt.id].place}",
                hint="data.sources: give one of them other ids with columns: {id: COLUMN}",
            )
        seen[prompt.id] = prompt
    return chosen
