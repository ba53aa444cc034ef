"""A cycle whose selector chose nothing: its causes, the next lower threshold, and what `when_none` makes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from typing import Any

from halo_core.diagnosis.unselected import why_unselected
from halo_core.drivers.base import Selector
from halo_core.errors import TrainingError
from halo_core.model.contexts import SelectionContext
from halo_core.seeds import derive_seed
from halo_core.tables import count
from halo_core.types import Sample


@dataclass(frozen=True, slots=True)
class Lowered:
    """The selection at a lower threshold than the selector's own."""

    threshold: float
    chosen: Sequence[Sample]


@dataclass(frozen=True, slots=True)
class Unselected:
    """A selection of nothing."""

    threshold: float | None = None
    """The selector's threshold; None if it has none."""
    lowered: Lowered | None = None


def lowered(selector: Selector, samples: Sequence[Sample], context: SelectionContext) -> Lowered | None:
    """Return the selection at the highest lower threshold that selects anything; None if there is none.

    The lowest reward is never a threshold: all samples reach it. None, too, for a selector
    without an option `threshold`.
    """
    threshold = threshold_of(selector)
    if threshold is None:
        return None
    rewards = sorted({sample.reward for sample in samples if sample.reward is not None}, reverse=True)
    for reward in (each for each in rewards[:-1] if each < threshold):
        other: Any = replace(selector, threshold=reward)  # type: ignore[type-var]
        if chosen := other.select(samples, context):
            return Lowered(reward, chosen)
    return None


def threshold_of(selector: Any) -> float | None:
    """Return the selector's option `threshold`; None if it has none."""
    value = getattr(selector, "threshold", None)
    return float(value) if is_dataclass(selector) and isinstance(value, (int, float)) else None


def selection_context(seed: int, cycle: int) -> SelectionContext:
    """Return the context of the selection of `cycle`, in a run with this seed."""
    return SelectionContext(seed=derive_seed(seed, cycle, "select"), cycle=cycle)


def nothing_selected(cycle: int, samples: Sequence[Sample], unselected: Unselected) -> TrainingError:
    """Return the error for rewarded `samples` of which none was selected, with the causes and what would help."""
    causes, remedy = why_unselected(samples, unselected.threshold)
    offer = unselected.lowered
    if offer is not None:
        prompts = len({sample.prompt.id for sample in offer.chosen})
        remedy += (
            f"; at a threshold of {offer.threshold:g}, {count(len(offer.chosen), 'completion')} of "
            f"{count(prompts, 'prompt')} would be selected (-S threshold={offer.threshold:g}, or when_none: lower)"
        )
    elif samples and unselected.threshold is not None:
        remedy += "; no lower threshold would tell good completions from bad ones"
    return TrainingError(
        f"cycle {cycle}: none of {count(len(samples), 'completion')} was selected; {causes}", hint=remedy
    )
