"""Every kind of trouble is called by its name, and nothing is made of noise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest

from halo_core.diagnosis import Cause, diagnose
from halo_core.testing.histories import KINDS, simulate
from halo_core.types import CycleReport

SEEDS = range(5)
SICK = [name for name, kind in KINDS.items() if kind.cause]
WELL = [name for name, kind in KINDS.items() if not kind.cause]


@pytest.mark.parametrize("name", SICK)
def test_the_first_finding_names_the_cause(name: str) -> None:
    causes = [next((each.cause for each in diagnose(simulate(name, seed))), None) for seed in SEEDS]
    assert causes.count(KINDS[name].cause) >= len(SEEDS) - 1, causes


def test_in_all_histories_together_hardly_one_is_misnamed() -> None:
    named = [
        next((each.cause for each in diagnose(simulate(name, seed))), None) == KINDS[name].cause
        for name in KINDS
        for seed in (100, 101)
    ]
    assert sum(named) >= 0.95 * len(named)


@pytest.mark.parametrize("name", WELL)
def test_nothing_is_said_of_a_healthy_run_after_any_cycle(name: str) -> None:
    for seed in SEEDS:
        reports = simulate(name, seed)
        for end in range(1, len(reports) + 1):
            assert not diagnose(reports[:end]), (seed, end)


@pytest.mark.parametrize("name", KINDS)
def test_what_is_said_is_fit_to_be_read(name: str) -> None:
    for finding in diagnose(simulate(name, 0)):
        assert finding.evidence
        assert all(each.text and not each.text.endswith(".") for each in finding.evidence)
        assert finding.advice.endswith(".")
        assert finding.advice.count(". ") == 0, "one sentence"
        assert all(0 <= cycle <= KINDS[name].cycles for each in finding.evidence for cycle in each.cycles)
        assert (finding.action == "rollback") <= (
            finding.cause in (Cause.DIVERGED, Cause.SPIKE, Cause.LR_TOO_HIGH)
        )


def test_a_history_depends_on_kind_and_seed_alone() -> None:
    assert simulate("spike", 1) == simulate("spike", 1)
    assert simulate("spike", 1) != simulate("spike", 2)


def test_there_are_enough_of_them() -> None:
    assert len(KINDS) >= 24
    assert {kind.cause for kind in KINDS.values()} == {None, *Cause}


@pytest.mark.parametrize("name", ["healthy", "too-high", "wrong-paid"])
def test_simulated_reports_hold_together(name: str) -> None:
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
def test_a_rule_without_its_data_is_silent(name: str) -> None:
    """What reports of older versions hold: nothing of what was added since."""
    reports = [bare(report) for report in simulate(name, 0)]
    diagnose(reports)
    assert not diagnose([CycleReport(cycle=report.cycle) for report in reports])


def bare(report: CycleReport) -> CycleReport:
    from pydantic import TypeAdapter

    row = asdict(report)
    for part, names in OLDER.items():
        holder = row if part == "report" else row[part]
        for name in names:
            if holder is not None:
                holder.pop(name)
    return TypeAdapter(CycleReport).validate_python(row)


OLDER: dict[str, tuple[str, ...]] = {
    "report": ("started_from", "kept_gini", "improvement", "best", "versus_best", "sampler_error"),
    "train": ("weight_norm", "kl", "losses", "grad_norms", "notes"),
    "sampled": ("distinct_correct", "entropy", "all_pass", "all_fail", "pass_at"),
    "heldout": ("distinct_correct", "entropy", "all_pass", "all_fail", "pass_at"),
}

Found = Callable[..., list[str]]


def test_a_threshold_decides(found: Found) -> None:
    limit = simulate("token-limit", 0)
    assert "truncation" in found(limit)
    assert "truncation" not in found(limit, truncated=0.9)
    assert "learning-rate-too-low" not in found(simulate("too-low", 0), kl_low=1e-12)
    assert not found(simulate("decline", 0), regression_points=0.9)
