"""Simulated problems are named correctly, and noise gives no findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from halo_core.diagnosis import Cause, diagnose
from halo_core.testing.histories import KINDS, simulate
from halo_core.types import CycleReport

SEEDS = range(5)
FAULTY = [name for name, kind in KINDS.items() if kind.cause]
HEALTHY = [name for name, kind in KINDS.items() if not kind.cause]


@pytest.mark.parametrize("name", FAULTY)
def test_the_first_finding_names_the_cause(name: str) -> None:
    causes = [next((finding.cause for finding in diagnose(simulate(name, seed))), None) for seed in SEEDS]
    assert causes.count(KINDS[name].cause) >= len(SEEDS) - 1, causes


def test_most_histories_are_named_correctly() -> None:
    named = [
        next((finding.cause for finding in diagnose(simulate(name, seed))), None) == KINDS[name].cause
        for name in KINDS
        for seed in (100, 101)
    ]
    assert sum(named) >= 0.95 * len(named)


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_run_has_no_findings_after_any_cycle(name: str) -> None:
    for seed in SEEDS:
        reports = simulate(name, seed)
        for end in range(1, len(reports) + 1):
            assert not diagnose(reports[:end]), (seed, end)


@pytest.mark.parametrize("name", KINDS)
def test_findings_are_well_formed(name: str) -> None:
    for finding in diagnose(simulate(name, 0)):
        assert finding.evidence
        assert all(item.text and not item.text.endswith(".") for item in finding.evidence)
        assert finding.advice.endswith(".")
        assert finding.advice.count(". ") == 0, "one sentence"
        assert all(0 <= cycle <= KINDS[name].cycles for item in finding.evidence for cycle in item.cycles)
        assert (finding.action == "rollback") <= (
            finding.cause in (Cause.DIVERGED, Cause.SPIKE, Cause.LR_TOO_HIGH)
        )


def test_history_depends_only_on_kind_and_seed() -> None:
    assert simulate("spike", 1) == simulate("spike", 1)
    assert simulate("spike", 1) != simulate("spike", 2)


def test_every_cause_is_simulated() -> None:
    assert len(KINDS) >= 24
    assert {kind.cause for kind in KINDS.values()} == {None, *Cause}


@pytest.mark.parametrize("name", ["healthy", "too-high", "wrong-paid"])
def test_simulated_reports_are_consistent(name: str) -> None:
    for report in simulate(name, 0):
        assert report.heldout is not None
        assert report.heldout.passed <= report.heldout.valid
        low, high = report.heldout.passed_interval
        assert low <= report.heldout.passed <= high
        if report.cycle:
            assert report.train is not None
            assert report.improvement is not None
            assert len(report.train.losses) == report.train.steps


@pytest.mark.parametrize("name", ["too-high", "narrowing", "leaky", "token-limit", "spike", "few-steps"])
def test_rule_without_its_data_is_silent(name: str) -> None:
    """Reports of older versions lack the fields that were added since."""
    reports = [without_new_fields(report) for report in simulate(name, 0)]
    diagnose(reports)
    assert not diagnose([CycleReport(cycle=report.cycle) for report in reports])


def without_new_fields(report: CycleReport) -> CycleReport:
    from pydantic import TypeAdapter

    row = asdict(report)
    for part, names in NEW_FIELDS.items():
        holder = row if part == "report" else row[part]
        for name in names:
            if holder is not None:
                holder.pop(name)
    return TypeAdapter(CycleReport).validate_python(row)


NEW_FIELDS: dict[str, tuple[str, ...]] = {
    "report": ("started_from", "kept_gini", "improvement", "best", "versus_best", "sampler_error"),
    "train": ("weight_norm", "kl", "losses", "grad_norms", "notes"),
    "sampled": ("distinct_correct", "entropy", "all_pass", "all_fail", "pass_at"),
    "heldout": ("distinct_correct", "entropy", "all_pass", "all_fail", "pass_at"),
}

Found = Callable[..., list[str]]


def test_thresholds_take_effect(found: Found) -> None:
    limit = simulate("token-limit", 0)
    assert "truncation" in found(limit)
    assert "truncation" not in found(limit, truncated=0.9)
    assert "learning-rate-too-low" not in found(simulate("too-low", 0), kl_low=1e-12)
    assert not found(simulate("decline", 0), regression_points=0.9)
    imitated = simulate("failures-selected", 0)
    assert found(imitated) == ["failures-selected"]
    assert not found(imitated, failures_selected=0.35)
    assert not found(imitated, enough_passes=0.95)
