"""Dry runs: the learning rates that a policy would choose, without training.

A dry run calls the policy cycle by cycle, as a run does, with measurements that are assumed or were recorded by
another run. The measurements do not respond to the learning rates: a dry run shows how measurements affect a policy,
and never how the policy would have affected the measurements.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from halo_core.config.options import build, options_of, parse_assignments
from halo_core.config.training import flaw_of_lr
from halo_core.drivers import LRPolicy
from halo_core.errors import ConfigError, PluginError, RunError
from halo_core.ledger.ledger import Ledger
from halo_core.plugin.loading import load_class
from halo_core.tables import spell
from halo_core.types import CycleReport, EvalMetrics, TrainStats
from halo_lr_policies.lr_command.defaults import BATCH, HELDOUT

T = TypeVar("T")

DEFAULT_LR = 5e-5
"""Default learning rate of the policy `constant`."""
PASSED = (0.30, 0.38, 0.44, 0.49, 0.52, 0.54, 0.55, 0.53, 0.50)
"""Assumed pass rates after cycles 0, 1, ...: invented, with a peak at cycle 6 as in the halo-forge notes."""
STEPS = 16
"""Assumed optimizer steps of cycle 1: 500 samples in batches of 32, as in the halo-forge notes."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """The cycle reports that policies are shown."""

    reports: tuple[CycleReport, ...]
    """Of cycles 0, 1, ..."""
    origin: str
    """Their source, as a sentence for the user."""

    @property
    def cycles(self) -> int:
        """Number of cycles, without cycle 0."""
        return len(self.reports) - 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """The learning rate of each cycle, with the optimizer steps that it applies to."""

    label: str
    name: str
    """Name of the policy; empty for a baseline."""
    options: Mapping[str, Any]
    """All options of the policy, defaults included."""
    rates: tuple[float, ...]
    """Peak learning rates of cycles 1, 2, ..."""
    steps: tuple[float, ...]
    """For each cycle, the number of optimizer steps at its peak learning rate that gives its learning rate sum."""

    @property
    def sums(self) -> tuple[float, ...]:
        """Learning rate summed over the optimizer steps of each cycle."""
        return tuple(lr * steps for lr, steps in zip(self.rates, self.steps, strict=True))

    @property
    def lr_sum(self) -> float:
        """Learning rate summed over the optimizer steps of all cycles."""
        return sum(self.sums)

    def relative(self, baseline: Schedule) -> float:
        """Return `lr_sum` relative to that of another schedule on the same measurements."""
        return self.lr_sum / baseline.lr_sum


def assumed_measurements(
    cycles: int, *, passed: Sequence[float] = (), steps: Sequence[int] = (), heldout: int = HELDOUT
) -> Measurements:
    """Return invented measurements of `cycles` cycles.

    `passed`: pass rates after cycles 0, 1, ..., for training and held-out prompts alike. `steps`: optimizer steps of
    cycles 1, 2, ...; by default 16 in cycle 1, and in later cycles proportional to the pass rate before the cycle,
    because the number of selected samples follows it. The last value of each is repeated. The other fields of the
    reports (losses, norms, diversity) are constants without meaning.
    """
    passed = tuple(passed) or PASSED
    shares = [_value_at(passed, cycle) for cycle in range(cycles + 1)]
    growth = [share / shares[0] if shares[0] else 1.0 for share in shares]
    counts = [_value_at(steps, c) if steps else max(1, round(STEPS * growth[c])) for c in range(cycles)]
    reports = [CycleReport(cycle=0, heldout=_eval_metrics(shares[0], heldout))]
    for cycle, (before, after, count) in enumerate(zip(shares, shares[1:], counts, strict=False), 1):
        train = TrainStats(
            lr=DEFAULT_LR,
            steps=count,
            samples=count * BATCH,
            tokens=count * BATCH * 200,
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
                heldout=_eval_metrics(after, heldout),
                lr=DEFAULT_LR,
                sampled=_eval_metrics(before, heldout),
                reward_mean=before,
                selected=count * BATCH,
                train=train,
            )
        )
    percentages = ", ".join(f"{100 * share:g}%" for share in shares)
    step_rule = (
        "as given" if steps else f"{STEPS} in cycle 1, then proportional to the pass rate before the cycle"
    )
    return Measurements(
        tuple(reports),
        f"assumed, not measured: pass rates of {percentages} after cycles 0 to {cycles}, each of {heldout} held-out"
        f" completions; optimizer steps: {step_rule}; no schedule within a cycle",
    )


def recorded_measurements(directory: Path) -> Measurements:
    """Return the measurements of a run. Raises a `RunError` if it has no finished cycle."""
    with closing(Ledger(directory)) as ledger:
        reports = ledger.reports() if ledger.exists else []
    if len(reports) < 2 or not all(report.train and report.lr > 0 for report in reports[1:]):
        raise RunError(f"{directory} contains no run with a finished cycle", hint="name a run's directory")
    return Measurements(
        tuple(reports),
        f"recorded by {directory} at its own learning rates; the effect of other learning rates is unknown",
    )


def constant_baseline(lr: float, measurements: Measurements, *, cycles: int | None = None) -> Schedule:
    """Return the schedule that trains at `lr` in each of the first `cycles` cycles."""
    steps = tuple(_steps_at_peak(report) for report in measurements.reports[1:][:cycles])
    return Schedule(f"constant {spell(lr)}", "", {}, (lr,) * len(steps), steps)


def recorded_baseline(measurements: Measurements, *, cycles: int | None = None) -> Schedule:
    """Return the learning rates that the first `cycles` recorded cycles were trained at."""
    reports = measurements.reports[1:][:cycles]
    rates, steps = tuple(report.lr for report in reports), tuple(map(_steps_at_peak, reports))
    return Schedule("as trained", "", {}, rates, steps)


def parse_policy(text: str) -> tuple[str, dict[str, Any]]:
    """Parse "exponential decay=0.7" into a name and its options."""
    try:
        name, *rest = shlex.split(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} names no policy", hint='write a name, then options: "exponential decay=0.7"'
        ) from error
    return name, parse_assignments(rest, flag=f"option of {name}")


def has_option(name: str, option: str) -> bool:
    """Return whether policy `name` has `option`."""
    return option in {each.name for each in options_of(_policy_class(name))}


def dry_run(
    name: str,
    options: Mapping[str, Any],
    measurements: Measurements,
    *,
    cycles: int | None = None,
    label: str = "",
) -> Schedule:
    """Return the learning rates that a policy chooses in the first `cycles` cycles of `measurements` (default: all).

    `name`: an installed policy or `./file.py:Class`; invalid names and options raise as in a run. Raises a
    `ConfigError` if `measurements` has fewer cycles, and a `PluginError` for a learning rate that a run would reject.
    """
    cycles = cycles or measurements.cycles
    if cycles > measurements.cycles:
        raise ConfigError(f"{cycles} cycles requested, but there are measurements of {measurements.cycles}")
    policy = build(_policy_class(name), options, where=f"lr_policy {name!r}")
    history, rates = [measurements.reports[0]], []
    for cycle in range(1, cycles + 1):
        lr = _lr_of(policy, name, cycle, cycles, tuple(history))
        history.append(_with_lr(measurements.reports[cycle], lr))
        rates.append(lr)
    resolved: dict[str, Any] = asdict(policy) if is_dataclass(policy) else {}
    steps = tuple(_steps_at_peak(report) for report in measurements.reports[1 : cycles + 1])
    return Schedule(label or name, name, resolved, tuple(rates), steps)


def _policy_class(name: str) -> type[LRPolicy]:
    loaded: type[LRPolicy] = load_class("lr_policy", name).value
    return loaded


def _lr_of(policy: LRPolicy, name: str, cycle: int, cycles: int, history: tuple[CycleReport, ...]) -> float:
    try:
        lr = policy.lr(cycle=cycle, cycles=cycles, history=history)
    except Exception as error:
        raise PluginError(
            f"lr_policy {name!r} failed at cycle {cycle}: {type(error).__name__}: {error}",
            hint="--debug shows the traceback",
        ) from error
    if flaw := flaw_of_lr(lr):
        raise PluginError(f"lr_policy {name!r} returned {lr!r} for cycle {cycle}; {flaw}")
    return float(lr)


def _with_lr(report: CycleReport, lr: float) -> CycleReport:
    """Return `report` as if its cycle had been trained at `lr` for the same number of steps."""
    if report.train is None or not report.lr:
        return replace(report, lr=lr)
    factor = lr / report.lr
    train = replace(
        report.train, lr=lr, lr_peak=report.train.lr_peak * factor, lr_sum=report.train.lr_sum * factor
    )
    return replace(report, lr=lr, train=train)


def _steps_at_peak(report: CycleReport) -> float:
    """Return the number of optimizer steps at the peak learning rate with the cycle's learning rate sum."""
    return report.train.lr_sum / report.lr if report.train and report.lr else 0.0


def _value_at(values: Sequence[T], index: int) -> T:
    """Return `values[index]`, or the last value beyond the end."""
    return values[min(index, len(values) - 1)]


def _eval_metrics(passed: float, samples: int) -> EvalMetrics:
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
