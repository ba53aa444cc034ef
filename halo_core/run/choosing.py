"""The reward and the selection of a cycle by its drivers alone, without a run and without plugins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from halo_core.drivers.base import Reward, Selector
from halo_core.plugin.blame import blamed
from halo_core.run.unselected import lowered, selection_context
from halo_core.types import Sample

if TYPE_CHECKING:
    from halo_core.run.dispatch import Drivers


def choose(
    drivers: Drivers, samples: Sequence[Sample], *, cycle: int, seed: int, lower: bool = False
) -> tuple[list[Sample], Sequence[Sample]]:
    """Return the samples that get a reward, with it, and those of them that the selector of `cycle` chooses.

    With `lower`, a selector that chooses nothing gets the next lower threshold, as with `when_none: lower`. Raises a
    `PluginError` that names the driver if one fails.
    """
    with blamed(drivers.source("reward", cycle)):
        driver: Reward = drivers.get("reward", cycle)
        rewarded = [
            replace(sample, reward=reward)
            for sample in samples
            if sample.verdict.conclusive and (reward := _reward(driver, sample)) is not None
        ]
    with blamed(drivers.source("selector", cycle)):
        selector: Selector = drivers.get("selector", cycle)
        context = selection_context(seed, cycle)
        chosen = selector.select(rewarded, context)
        if not chosen and lower and (offer := lowered(selector, rewarded, context)):
            chosen = offer.chosen
    return rewarded, chosen


def _reward(driver: Reward, sample: Sample) -> float | None:
    value = driver.reward(sample)
    if value is not None and not math.isfinite(value):
        raise ValueError(f"reward {value} for a completion of prompt {sample.prompt.id!r}")
    return None if value is None else float(value)
