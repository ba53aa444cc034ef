"""The cost of a study and the smallest difference that it can show, from a pilot run or from its finished runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from halo_core import RunError
from halo_core.tables import count as counted
from halo_study.jobs import check_arms, count, plan_of
from halo_study.jobs import jobs as missing_runs
from halo_study.outcomes import value_of
from halo_study.progress import stored_results
from halo_study.results import RunResult, measure
from halo_study.simulation import World, smallest_shown
from halo_study.study import Study

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
    spread = _spread(results)
    world = _world(examples, cycles, spread)
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
        spread_is_assumed=spread is None,
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


def _world(examples: Sequence[RunResult], cycles: int, spread: float | None) -> World:
    """Return a simulated study whose prompts, pass rates and spreads are those of the examples."""
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
        by_run=ASSUMED_SPREAD if spread is None else spread,
    )


def _spread(results: Sequence[RunResult]) -> float | None:
    """Return the standard deviation between runs of one seed, in log odds; None for too few runs.

    From the differences between two arms on each seed, in which the seed cancels, without the noise of single
    completions.
    """
    by_arm: dict[str, dict[int, RunResult]] = {}
    for run in results:
        by_arm.setdefault(f"{run.arm} {run.value}", {})[run.seed] = run
    variances = []
    arms = list(by_arm.values())
    for index, first in enumerate(arms):
        for second in arms[index + 1 :]:
            shared = sorted(first.keys() & second.keys())
            if len(shared) < 3:
                continue
            found = np.array([_logit(first[seed]) - _logit(second[seed]) for seed in shared])
            noise = np.mean([_noise(first[seed]) + _noise(second[seed]) for seed in shared])
            variances.append((found.var(ddof=1) - noise) / 2)
    if not variances:
        return None
    return float(max(0.0, np.mean(variances)) ** 0.5)


def _logit(run: RunResult) -> float:
    rate = min(max(value_of(run, "final"), 0.01), 0.99)
    return float(np.log(rate / (1 - rate)))


def _noise(run: RunResult) -> float:
    """Return the variance of the log odds of the final pass rate from the drawing of completions alone."""
    hits, total = run.passes[-1], run.verdicts[-1]
    own = (hits + 0.5) / (total + 1)
    rate = min(max(float(hits.sum() / total.sum()), 0.01), 0.99)
    share = float((total * own * (1 - own)).sum()) / float(total.sum()) ** 2
    return share / (rate * (1 - rate)) ** 2
