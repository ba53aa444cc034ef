"""The rules about policy gradients and preferences, and those that must not apply to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from halo_core.diagnosis import Severity, diagnose
from halo_core.testing.histories import simulate
from halo_core.types import CycleReport, EvalMetrics

Found = Callable[..., list[str]]


def policy(reports: list[CycleReport], objective: Any = "policy", **metrics: Any) -> list[CycleReport]:
    """Return `reports` of a trainer with this objective; each of `metrics` maps a cycle to the value."""

    def of(report: CycleReport) -> CycleReport:
        if report.train is None:
            return report
        values = {name: value(report.cycle) for name, value in metrics.items()}
        train = replace(report.train, objective=objective, metrics=values)
        return replace(report, train=train, selected_prompts=report.sampled.prompts if report.sampled else 0)

    return [of(report) for report in reports]


def with_metrics(
    reports: list[CycleReport], change: Callable[[int, EvalMetrics], Mapping[str, Any]]
) -> list[CycleReport]:
    def of(cycle: int, metrics: EvalMetrics | None) -> EvalMetrics | None:
        return metrics and replace(metrics, **change(cycle, metrics))

    return [
        replace(r, heldout=of(r.cycle, r.heldout), sampled=of(max(0, r.cycle - 1), r.sampled))
        for r in reports
    ]


def test_a_healthy_policy_has_no_finding(found: Found) -> None:
    healthy = policy(
        simulate("healthy", 3),
        kl_to_sampler=lambda cycle: 0.004,
        clip_share=lambda cycle: 0.02,
        entropy=lambda cycle: 0.5,
    )
    assert not found(healthy)


@pytest.mark.parametrize(
    ("name", "value", "signal"), [("kl_to_sampler", 0.3, "ratio-drift"), ("clip_share", 0.5, "clip-share")]
)
def test_policy_drift(name: str, value: float, signal: str, found: Found) -> None:
    reports = policy(simulate("healthy", 3), **{name: lambda cycle: value})
    assert found(reports) == ["policy-drift"]
    assert [item.signal for item in diagnose(reports)[0].evidence] == [signal]
    assert not found(policy(simulate("healthy", 3), **{name: lambda cycle: value / 4}))


def test_equal_groups(found: Found) -> None:
    reports = policy(simulate("healthy", 3))
    assert reports[-1].sampled
    few = reports[-1].sampled.prompts // 10
    reports[-1] = replace(reports[-1], selected_prompts=few)
    assert found(reports) == ["equal-groups"]
    assert not found(policy(reports, "imitation")), "imitation learns from prompts that always pass"
    reports[-1] = replace(reports[-1], selected_prompts=4 * few)
    assert not found(reports)


def test_entropy_collapse(found: Found) -> None:
    falls = policy(simulate("level", 3), entropy=lambda cycle: 0.5 * 0.5**cycle)
    assert "entropy-collapse" in found(falls)
    assert "entropy-collapse" not in found(
        policy(simulate("level", 3), entropy=lambda cycle: 0.5 - 0.02 * cycle)
    )
    gaining = policy(simulate("healthy", 3), entropy=lambda cycle: 0.5 * 0.5**cycle)
    severities = [finding.severity for finding in diagnose(gaining) if finding.cause == "entropy-collapse"]
    assert severities == [Severity.NOTICE]


def test_length_growth(found: Found) -> None:
    def grown(case: str, rate: float) -> list[CycleReport]:
        return with_metrics(policy(simulate(case, 3)), lambda cycle, _: {"length": 40 * rate**cycle})

    assert "length-growth" in found(grown("level", 1.3))
    assert "length-growth" not in found(grown("level", 1.01))
    assert "length-growth" not in found(grown("healthy", 1.3)), "longer answers that pass more often"


def test_reward_hacking(found: Found) -> None:
    """The rewards rise and the passes do not."""

    def rewarded(case: str, rise: float, objective: str = "policy") -> list[CycleReport]:
        reports = policy(simulate(case, 3), objective)
        return [replace(report, reward_mean=0.4 + rise * report.cycle) for report in reports]

    assert found(rewarded("level", 0.05))[0] == "reward-hacking"
    assert found(rewarded("level", 0.05, "preference"))[0] == "reward-hacking"
    assert "reward-hacking" not in found(rewarded("level", 0.001))
    assert "reward-hacking" not in found(rewarded("healthy", 0.05)), "the passes rise too"


@pytest.mark.parametrize("case", ["divergence", "oscillation", "spike"])
def test_losses_of_a_policy_are_not_judged(case: str, found: Found) -> None:
    causes = {"learning-rate-too-high", "spike"}
    assert causes & set(found(simulate(case, 3)))
    assert not causes & set(found(policy(simulate(case, 3))))


def test_learning_from_failed_completions_is_no_proof_of_paying_for_them(found: Found) -> None:
    reports = simulate("wrong-paid-early", 3)
    signals = {item.signal for finding in diagnose(reports) for item in finding.evidence}
    assert "wrong-selected" in signals
    for other in (policy(reports), [replace(report, rounds=(8, 8)) for report in reports]):
        signals = {item.signal for finding in diagnose(other) for item in finding.evidence}
        assert "wrong-selected" not in signals
