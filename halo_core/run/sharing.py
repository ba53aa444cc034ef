"""The common part of two runs: the first cycles of one are also those of the other.

A cycle depends on the settings that it uses, on its learning rate and on the weights before it. So runs with the same
seed are equal up to the first cycle in which one of these differs, and that part needs to be computed only once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halo_core.config.schema import NON_RESULT_KEYS, RunConfig
from halo_core.errors import RunError
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.prefix import copy_prefix
from halo_core.ledger.rows import prompt_body
from halo_core.run.plan import Plan
from halo_core.run.resume import check_unchanged, environment
from halo_core.types import CycleReport

__all__ = ["Shared", "share", "shared"]

_TRAINING = ("mix", "start_from", "interpolation", "divergence_retries", "when_none")
"""Keys that every cycle's training depends on."""
_AFTER_CYCLE_0 = (
    *NON_RESULT_KEYS,
    *_TRAINING,
    *("cycles", "samples_per_prompt", "curriculum", "per_cycle", "plugins", "keep_adapters"),
    *("reward", "selector", "trainer", "lr_policy"),
)
"""Keys that the measurement before training does not depend on. Plugins are compared on their own. A key that is in
neither list must be equal for anything to be shared."""


@dataclass(frozen=True, slots=True)
class Shared:
    """The part that two runs have in common."""

    closed: int
    """The last cycle that is equal; 0: only the measurement before training."""
    sampled: bool
    """True if the training samples of the next cycle are equal, too."""


def shared(one: Plan, other: Plan, history: Sequence[CycleReport]) -> Shared | None:
    """Return what runs of two plans have in common; None if not even cycle 0 is equal.

    `history` are the reports of the cycles that a run of either plan has closed, oldest first; cycles after them are
    not considered. The learning rates of both plans are compared on it.
    """
    if not history or not _same_measurement(one, other):
        return None
    closed = 0
    cycles = min(one.config.cycles, other.config.cycles)
    last = min(len(history) - 1, cycles)
    while (
        closed < last
        and _same_samples(one, other, closed + 1)
        and _same_training(one, other, closed + 1, history)
    ):
        closed += 1
    return Shared(closed, closed < cycles and _same_samples(one, other, closed + 1))


def share(plan: Plan, source: Ledger, directory: Path) -> Shared | None:
    """Start a run of `plan` in `directory` with what it has in common with the run `source`.

    The result of the run, once `directory` is resumed, is that of a run without this. Returns None, and writes nothing,
    if the runs have nothing in common or the machine has changed since `source` was started. `source` may be running.
    Raises a `RunError` if `directory` is not empty.
    """
    other = Plan.from_ledger(source)
    common = shared(plan, other, source.reports())
    if common is None or not _same_inputs(plan, source):
        return None
    config = plan.config.model_dump(mode="json")
    copy_prefix(
        source,
        directory,
        closed=common.closed,
        sampled=common.sampled,
        config=config,
        plugins=plan.manifest(),
    )
    return common


def _same_measurement(one: Plan, other: Plan) -> bool:
    configs = [_without(plan.config, _AFTER_CYCLE_0) for plan in (one, other)]
    return configs[0] == configs[1] and _sampling_plugins(one) == _sampling_plugins(other)


def _same_samples(one: Plan, other: Plan, cycle: int) -> bool:
    """Return whether the two plans sample the same in `cycle` with the same weights."""
    a, b = one.config, other.config
    return (
        a.samples_per_prompt == b.samples_per_prompt
        and a.curriculum == b.curriculum
        and (a.curriculum.order == "none" or a.cycles == b.cycles)
        and one.drivers.get("generator", cycle) == other.drivers.get("generator", cycle)
    )


def _same_training(one: Plan, other: Plan, cycle: int, history: Sequence[CycleReport]) -> bool:
    """Return whether the two plans train the same in `cycle` on the same samples."""
    keys = all(getattr(one.config, key) == getattr(other.config, key) for key in (*_TRAINING, "plugins"))
    kinds = ("reward", "selector", "trainer")
    drivers = all(one.drivers.get(kind, cycle) == other.drivers.get(kind, cycle) for kind in kinds)
    adapters = (
        one.config.keep_adapters == other.config.keep_adapters == "all"
    )  # or the source may lack weights
    return keys and drivers and adapters and _lr(one, cycle, history) == _lr(other, cycle, history)


def _lr(plan: Plan, cycle: int, history: Sequence[CycleReport]) -> float:
    policy = plan.drivers.get("lr_policy")
    lr: float = policy.lr(cycle=cycle, cycles=plan.config.cycles, history=history[:cycle])
    return lr


def _sampling_plugins(plan: Plan) -> list[Any]:
    """Return the plugins that might change samples or verdicts: all but those of halo-core, which do not."""
    return [(source, options) for _, source, options in plan.plugins if source.distribution != "halo-core"]


def _without(config: RunConfig, keys: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in config.model_dump(mode="json").items() if key not in keys}


def _same_inputs(plan: Plan, source: Ledger) -> bool:
    """Return whether prompts, verifiers, libraries and inputs are those that `source` was started with."""
    train, heldout = plan.data()
    for split, prompts in (("train", train), ("heldout", heldout)):
        stored = source.prompts("train" if split == "train" else "heldout")
        if [(p.id, prompt_body(p)) for p in stored] != [(p.id, prompt_body(p)) for p in prompts]:
            return False
    try:
        current = environment(plan.config)
        check_unchanged(source, source.plugins(), plan.drivers.verifiers, current, accept=False)
    except RunError:
        return False
    return True
