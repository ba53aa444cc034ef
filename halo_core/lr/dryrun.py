"""What rates a policy would give, without a run.

A policy is asked cycle by cycle, as a run would ask it, and shown the measurements of a course: assumed ones,
or those that another run recorded. A course does not answer to the rates. What a policy would have done to
the measurements is not known; a dry run says what the measurements would have done to the policy.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

from halo_core.config.options import build, options_of, parse_assignments
from halo_core.drivers.base import LRPolicy
from halo_core.errors import ConfigError, PluginError, RunError
from halo_core.ledger import Ledger
from halo_core.plugin.discovery import check_class, load
from halo_core.tables import spell
from halo_core.types import CycleReport, EvalMetrics, TrainStats

DEFAULT_LR = 5e-5
"""What `constant` trains with unless told otherwise."""
PASSED = (0.30, 0.38, 0.44, 0.49, 0.52, 0.54, 0.55, 0.53, 0.50)
"""Assumed pass rates after cycles 0, 1, ...: made up, in the shape that the notes report, with a top at cycle 6."""
STEPS = 16
"""Assumed optimizer steps of cycle 1: the notes' 500 samples in batches of 32."""
HELDOUT = 512
"""Assumed held-out completions after each cycle."""


@dataclass(frozen=True, slots=True)
class Course:
    """Measurements to show to policies."""

    reports: tuple[CycleReport, ...]
    """Of cycles 0, 1, ..."""
    origin: str
    """Where they are from, in a sentence for the reader."""

    @property
    def cycles(self) -> int:
        """How many cycles it lasts."""
        return len(self.reports) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """What a policy gave, or would have given, on a course."""

    label: str
    name: str
    """Of the policy; empty for a baseline."""
    options: Mapping[str, Any]
    """All of the policy's, defaults too."""
    rates: tuple[float, ...]
    """Peak learning rates of cycles 1, 2, ..."""
    steps: tuple[float, ...]
    """Optimizer steps of each cycle, as many as at the peak rate would come to its summed rate."""

    @property
    def sums(self) -> tuple[float, ...]:
        """Learning rate summed over the optimizer steps of each cycle."""
        return tuple(rate * steps for rate, steps in zip(self.rates, self.steps, strict=True))

    @property
    def lr_sum(self) -> float:
        """Learning rate summed over the optimizer steps of all cycles."""
        return sum(self.sums)

    def relative(self, baseline: Schedule) -> float:
        """Return `lr_sum` relative to that of another schedule of the same course."""
        return self.lr_sum / baseline.lr_sum


def assumed(
    cycles: int, *, passed: Sequence[float] = (), steps: Sequence[int] = (), heldout: int = HELDOUT
) -> Course:
    """Make up a course of `cycles` cycles.

    `passed`: share that passes after cycles 0, 1, ..., on training and held-out prompts alike. `steps`:
    optimizer steps of cycles 1, 2, ...; without them 16 in cycle 1 and from there in proportion to what
    passed the cycle before, as fewer or more samples are kept. The last of each is held. Everything else that
    a report has (losses, norms, diversity) is a constant without meaning.
    """
    passed = tuple(passed) or PASSED
    shares = [_held(passed, cycle) for cycle in range(cycles + 1)]
    growth = [share / shares[0] if shares[0] else 1.0 for share in shares]
    counts = [_held(steps, c) if steps else max(1, round(STEPS * growth[c])) for c in range(cycles)]
    reports = [CycleReport(cycle=0, heldout=_rates(shares[0], heldout))]
    for cycle, (before, after, count) in enumerate(zip(shares, shares[1:], counts, strict=False), 1):
        train = TrainStats(
            lr=DEFAULT_LR,
            steps=count,
            samples=count * 32,
            tokens=count * 32 * 200,
            loss_first=0.5,
            loss_last=0.5,
            lr_peak=DEFAULT_LR,
            lr_sum=DEFAULT_LR * count,
            grad_norm_median=0.1,
            clipped_fraction=0.0,
            update_norm=0.1,
        )
        reports.append(
            CycleReport(
                cycle=cycle,
                heldout=_rates(after, heldout),
                lr=DEFAULT_LR,
                sampled=_rates(before, heldout),
                reward_mean=before,
                selected=count * 32,
                train=train,
            )
        )
    listed = ", ".join(f"{100 * share:g}%" for share in shares)
    how = "as given" if steps else "in proportion to the passes before it, 16 in cycle 1"
    return Course(
        tuple(reports),
        f"assumed, not measured: {listed} pass after cycles 0 to {cycles}, each of {heldout} held-out"
        f" completions; optimizer steps of a cycle {how}; no schedule within a cycle",
    )


def constant(lr: float, course: Course, *, cycles: int | None = None) -> Schedule:
    """Return what the same `lr` in each of `cycles` cycles of `course` comes to: the usual baseline."""
    steps = tuple(_steps(report) for report in course.reports[1:][:cycles])
    return Schedule(f"constant {spell(lr)}", "", {}, (lr,) * len(steps), steps)


def as_trained(course: Course, *, cycles: int | None = None, label: str = "as trained") -> Schedule:
    """Return the rates that a recorded course was trained with in its first `cycles` cycles."""
    reports = course.reports[1:][:cycles]
    rates, steps = tuple(report.lr for report in reports), tuple(map(_steps, reports))
    return Schedule(label, "", {}, rates, steps)


def recorded(directory: Path) -> Course:
    """Read the course of a run. Raises a `RunError` when there is none to learn from."""
    with closing(Ledger(directory)) as ledger:
        reports = ledger.reports() if ledger.exists else []
    if len(reports) < 2 or not all(report.train and report.lr > 0 for report in reports[1:]):
        raise RunError(f"{directory} holds no run with a finished cycle", hint="name a run's directory")
    return Course(
        tuple(reports),
        f"recorded by {directory} under its own rates; what other rates would have led to is not known",
    )


def named_policy(name: str, options: Mapping[str, Any]) -> LRPolicy:
    """Build the policy `name`, installed or `./file.py:Class`. Raises as a run would for bad names or options."""
    return build(policy_class(name), options, where=f"lr_policy {name!r}")


def policy_class(name: str) -> type[LRPolicy]:
    """Load the class of policy `name`."""
    loaded: type[LRPolicy] = check_class(load("lr_policy", name), LRPolicy)
    return loaded


def read_policy(text: str) -> tuple[str, dict[str, Any]]:
    """Read "exponential decay=0.7" into a name and its options."""
    try:
        name, *rest = shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} names no policy", hint='write its name, and options after it: "exponential decay=0.7"'
        ) from error
    return name, parse_assignments(rest, flag=f"option of {name}")


def takes(name: str, option: str) -> bool:
    """Whether policy `name` has `option`."""
    return option in {each.name for each in options_of(policy_class(name))}


def dry_run(
    name: str, options: Mapping[str, Any], course: Course, *, cycles: int | None = None, label: str = ""
) -> Schedule:
    """Ask a policy for the rates of `cycles` cycles (all of the course's, if not given) on `course`.

    Raises a `ConfigError` when the course is too short, and a `PluginError` for a rate that a run would refuse.
    """
    cycles = cycles or course.cycles
    if cycles > course.cycles:
        raise ConfigError(f"{cycles} cycles asked for, but there are measurements of {course.cycles}")
    policy = named_policy(name, options)
    history, rates = [course.reports[0]], []
    for cycle in range(1, cycles + 1):
        rate = _ask(policy, name, cycle, cycles, tuple(history))
        history.append(_retrained(course.reports[cycle], rate))
        rates.append(rate)
    resolved: dict[str, Any] = asdict(policy) if is_dataclass(policy) else {}
    steps = tuple(_steps(report) for report in course.reports[1 : cycles + 1])
    return Schedule(label or name, name, resolved, tuple(rates), steps)


def _ask(policy: LRPolicy, name: str, cycle: int, cycles: int, history: tuple[CycleReport, ...]) -> float:
    try:
        rate = policy.lr(cycle=cycle, cycles=cycles, history=history)
    except Exception as error:
        raise PluginError(
            f"lr_policy {name!r} failed at cycle {cycle}: {type(error).__name__}: {error}",
            hint="--debug shows the traceback",
        ) from error
    if not isinstance(rate, (int, float)) or not math.isfinite(rate) or rate <= 0:
        raise PluginError(
            f"lr_policy {name!r} gave {rate!r} for cycle {cycle}; a learning rate is finite and positive"
        )
    return float(rate)


def _retrained(report: CycleReport, rate: float) -> CycleReport:
    """Return `report` as if its cycle had been trained at `rate` for as many steps."""
    if report.train is None or not report.lr:
        return replace(report, lr=rate)
    factor = rate / report.lr
    train = replace(
        report.train, lr=rate, lr_peak=report.train.lr_peak * factor, lr_sum=report.train.lr_sum * factor
    )
    return replace(report, lr=rate, train=train)


def _steps(report: CycleReport) -> float:
    """Return how many optimizer steps at the peak rate would have come to the cycle's summed rate."""
    return report.train.lr_sum / report.lr if report.train and report.lr else 0.0


def _held(values: Sequence[Any], place: int) -> Any:
    return values[min(place, len(values) - 1)]


def _rates(passed: float, samples: int) -> EvalMetrics:
    half = 1.96 * math.sqrt(passed * (1 - passed) / samples)
    interval = (max(0.0, passed - half), min(1.0, passed + half))
    return EvalMetrics(
        samples=samples,
        valid=passed,
        passed=passed,
        valid_interval=interval,
        passed_interval=interval,
        stages={},
        errors=0,
        inconclusive=0,
        truncated=0.0,
        distinct=1.0,
    )
