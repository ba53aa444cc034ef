"""The cost of a study and the smallest difference that it can show, from a pilot run or from its finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from halo_core import RunError
from halo_core.tables import count as counted
from halo_study.jobs import check_arms, count, plan_of
from halo_study.jobs import jobs as missing_runs
from halo_study.outcomes import value_of
from halo_study.progress import stored_results
from halo_study.results import RunResult, measure
from halo_study.simulation import World, simulate, smallest_shown
from halo_study.study import Study

_CALIBRATING_SEEDS = 1000
ASSUMED_SPREAD = 0.25
"""Log odds between runs of one seed, if no finished runs show it: about six points at a pass rate of a half."""


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """The expected cost of a study and what it can show."""

    runs: int
    done: int
    cycles: int
    """Cycles that each run trains."""
    hours: float
    """For the runs that are missing, with this number of runs side by side. What runs share is not subtracted."""
    tokens: float
    """Tokens that the missing runs sample."""
    comparisons: int
    smallest: Mapping[int, float | None]
    """By number of seeds: the smallest difference of the final pass rate that four of five such studies show; None if
    they show none."""
    smallest_effect: float
    world: World
    """The simulated study."""
    spread_is_assumed: bool


def plan_study(study: Study, output: Path, *, pilot: Path | None = None, jobs: int = 1) -> StudyPlan:
    """Plan a study from a pilot run, or from its own finished runs in `output`.

    Raises a `RunError` if there is neither, and the error of an arm whose configuration is invalid.
    """
    results = stored_results(study, output)
    check_arms(study, results)
    examples = [measure(pilot, arm="", seed=0, value=None, settings="")] if pilot else results
    if not examples:
        raise RunError(
            "a plan needs a pilot run",
            hint="run one of the study with: halo study run STUDY --limit 1; or name a run with --pilot",
        )
    job = next(missing_runs(study, results), None)
    cycles = plan_of(job).config.cycles if job else len(examples[0].passes) - 1
    stretch = (cycles + 1) / len(examples[0].passes)
    seconds, tokens = (
        stretch * float(np.mean([value_of(run, name) for run in examples])) for name in ("seconds", "tokens")
    )
    left = count(study) - len(results)
    variance = _paired_variance(results)
    world = _world(examples, cycles)
    world = replace(world, by_run=ASSUMED_SPREAD) if variance is None else _calibrated(world, variance)
    comparisons = max(1, len(study.comparisons))
    seeds = sorted({max(2, len(study.seeds) // 2), len(study.seeds), 2 * len(study.seeds)})
    smallest = {
        number: smallest_shown(replace(world, seeds=number), comparisons=comparisons) for number in seeds
    }
    return StudyPlan(
        runs=count(study),
        done=len(results),
        cycles=cycles,
        hours=left * seconds / 3600 / jobs,
        tokens=left * tokens,
        comparisons=comparisons,
        smallest=smallest,
        smallest_effect=study.smallest_effect,
        world=world,
        spread_is_assumed=variance is None,
    )


def plan_text(plan: StudyPlan) -> str:
    """Return a plan as text."""
    lines = [
        f"runs       {plan.runs} of {counted(plan.cycles, 'cycle')} each, {plan.done} finished",
        f"time       {plan.hours:.1f} hours for the others; less, since runs share their first cycles",
        f"tokens     {plan.tokens:,.0f} to sample",
        f"compared   {counted(plan.comparisons, 'comparison')}, {plan.world.prompts} held-out prompts of "
        f"{counted(plan.world.completions, 'completion')}",
    ]
    for number, smallest in plan.smallest.items():
        shown = f"a difference of {100 * smallest:.1f} points, in" if smallest else "nothing in"
        lines.append(f"{counted(number, 'seed'):<10} show {shown} 4 of 5 studies")
    lines.append(f"interest   differences of {100 * plan.smallest_effect:g} points or more")
    if plan.spread_is_assumed:
        lines.append(
            f"note       the spread between runs is assumed ({ASSUMED_SPREAD:g} in log odds); finished runs of two "
            "arms on three seeds would show it"
        )
    return "\n".join(lines)


def _world(examples: Sequence[RunResult], cycles: int) -> World:
    """Return a simulated study whose prompts and pass rates are those of the examples."""
    prompts = examples[0].passes.shape[1]
    hits = sum(run.passes.sum(axis=0) for run in examples)
    total = sum(run.verdicts.sum(axis=0) for run in examples)
    logits = np.log((hits + 0.5) / (total - hits + 0.5))
    ends = [
        float(
            np.clip(np.mean([run.passes[at].sum() / run.verdicts[at].sum() for run in examples]), 0.02, 0.98)
        )
        for at in (0, -1)
    ]
    return World(
        prompts=prompts,
        completions=max(1, round(float(np.mean([run.verdicts.mean() for run in examples])))),
        cycles=cycles,
        start=ends[0],
        end=ends[1],
        difficulty=float(np.std(logits)),
    )


def _calibrated(world: World, variance: float) -> World:
    """Return `world` with runs that differ as much as real ones do: `variance` is that of `_paired_variance`.

    The variance that a spread between runs adds is about proportional to its square.
    """

    def simulated(by_run: float) -> float:
        alone = replace(world, by_run=by_run, by_prompt=0.0, seeds=_CALIBRATING_SEEDS)
        ones, others = simulate(alone, 2, np.random.default_rng(0))
        return _variance(ones, others)

    drawn = simulated(0.0)
    share = (variance - drawn) / (simulated(ASSUMED_SPREAD) - drawn)
    return replace(world, by_run=ASSUMED_SPREAD * max(0.0, share) ** 0.5)


def _paired_variance(results: Sequence[RunResult]) -> float | None:
    """Return the variance over seeds of the difference between two arms, in log odds of the final pass rate.

    The mean over all pairs of arms with three common seeds; None if there is no pair.
    """
    by_arm: dict[str, dict[int, RunResult]] = {}
    for run in results:
        by_arm.setdefault(f"{run.arm} {run.value}", {})[run.seed] = run
    pairs = [pair for pair in combinations(by_arm.values(), 2) if len(pair[0].keys() & pair[1].keys()) > 2]
    return float(np.mean([_variance(*pair) for pair in pairs])) if pairs else None


def _variance(ones: Mapping[int, RunResult], others: Mapping[int, RunResult]) -> float:
    found = [_logit(ones[seed]) - _logit(others[seed]) for seed in ones.keys() & others.keys()]
    return float(np.var(found, ddof=1))


def _logit(run: RunResult) -> float:
    rate = min(max(value_of(run, "final"), 0.01), 0.99)
    return float(np.log(rate / (1 - rate)))
