"""What tells causes apart: one thing changed in a history, and another name for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from halo_core.diagnosis import Cause, Finding, Severity, Thresholds, diagnose
from halo_core.tables import spell
from halo_core.testing.histories import simulate
from halo_core.types import CycleReport, PairedDifference

Found = Callable[..., list[str]]


def first(reports: list[CycleReport]) -> Finding:
    return diagnose(reports)[0]


def trained(report: CycleReport, **changes: Any) -> CycleReport:
    return replace(report, train=replace(report.train, **changes)) if report.train else report  # type: ignore[type-var]


def all_trained(reports: list[CycleReport], **changes: Any) -> list[CycleReport]:
    return [trained(report, **changes) for report in reports]


def test_nothing_is_said_before_a_cycle_is_over(found: Found) -> None:
    assert found([]) == found(simulate("too-high", 0)[:1]) == []


def test_clipping_alone_is_no_finding(found: Found) -> None:
    assert not found(all_trained(simulate("healthy", 3), clipped_fraction=1.0))
    signals = [
        each.signal for each in first(all_trained(simulate("too-high", 3), clipped_fraction=1.0)).evidence
    ]
    assert "clipping" in signals


def test_a_flat_loss_alone_is_no_finding(found: Found) -> None:
    assert not found(simulate("healthy-flat-loss", 3))


def test_without_a_low_kl_a_run_that_gains_nothing_is_not_told_to_raise_the_rate(found: Found) -> None:
    assert found(simulate("too-low", 3)) == ["learning-rate-too-low"]
    assert "learning-rate-too-low" not in found(all_trained(simulate("too-low", 3), kl=0.02))


def test_a_high_kl_that_did_no_harm_is_no_finding(found: Found) -> None:
    assert not found(all_trained(simulate("healthy", 3), kl=0.5))


def test_a_decline_becomes_the_rate_s_when_the_steps_since_the_best_cycle_are_large(found: Found) -> None:
    reports = simulate("decline", 3)
    assert found(reports) == ["regression"]
    assert found(all_trained(reports, kl=0.5)) == ["learning-rate-too-high"]
    best = first(reports).evidence[0].cycles[0]
    early = [trained(each, kl=0.5) if each.cycle <= best else each for each in reports]
    assert found(early) == ["regression"]


def test_a_decline_with_more_valid_answers_is_not_the_rate_s_however_large_the_steps(found: Found) -> None:
    assert found(all_trained(simulate("wrong-paid", 3), kl=0.5)) == ["wrong-paid"]


def test_wrong_answers_that_are_proved_to_be_trained_on_are_named_before_large_steps(found: Found) -> None:
    """Both are there in a decline from a peak that validity shares; the proof is more selected than passed."""
    reports = simulate("wrong-paid-early", 3)
    assert found(reports)[0] == "wrong-paid"
    last = reports[-1]
    assert last.heldout is not None
    for proved in (True, False):
        worse = replace(last.heldout, valid=reports[2].heldout.valid - 0.01)  # type: ignore[union-attr]
        high = [*reports[:2], replace(reports[2], heldout=replace(reports[2].heldout, passed=0.5))]  # type: ignore[type-var]
        high += reports[3:-1]
        high += [
            replace(last, heldout=worse, best=2, versus_best=PairedDifference(0.5, 0.3, -0.2, (-0.22, -0.18)))
        ]
        high = [replace(each, selected=each.selected if proved else 1) for each in all_trained(high, kl=0.5)]
        assert ("wrong-paid" in found(high)) == proved
        assert "learning-rate-too-high" in found(high)


def test_a_dead_rate_is_not_called_low_and_a_short_warmup_not_few_steps(found: Found) -> None:
    assert found(simulate("zero-rate", 3)) == ["no-update"]
    assert found(simulate("warmup", 3)) == ["warmup"]


def test_few_steps_are_named_before_a_low_rate(found: Found) -> None:
    assert found(simulate("few-steps", 3)) == ["too-few-steps"]
    assert found(all_trained(simulate("few-steps", 3), steps=40)) == ["learning-rate-too-low"]


def test_a_cycle_that_was_retried_after_it_diverged_is_not_taken_for_warmup(found: Found) -> None:
    reports = all_trained(simulate("healthy", 3), retries=2)
    assert found(reports) == ["learning-rate-too-high"]
    rate = reports[-1].lr
    assert (
        f"diverged at {spell(rate * 100)} and was trained at {spell(rate)}" in first(reports).evidence[0].text
    )
    short = [trained(each, lr_peak=each.lr / 100) for each in simulate("healthy", 3)]
    assert found(short) == ["warmup"], "a tenth of a tenth is no sign of a retry"
    assert "warmup" in found([trained(each, retries=1) for each in short])


def test_a_verifier_that_fails_is_named_before_anything_that_follows_from_it(found: Found) -> None:
    failing = [
        replace(each, heldout=replace(each.heldout, errors=90)) if each.heldout else each
        for each in simulate("level", 3)
    ]
    assert found(failing)[0] == "verifier-errors"
    slow = [
        replace(e, heldout=replace(e.heldout, inconclusive=90)) if e.heldout else e
        for e in simulate("level", 3)
    ]
    assert "busy machine" in first(slow).advice


def test_a_leak_is_told_from_learning_by_heart_by_what_is_left_unsolved(found: Found) -> None:
    reports = simulate("leaky", 3)
    assert found(reports)[0] == "leaky-verifier"
    unsolved = [
        replace(each, sampled=replace(each.sampled, all_fail=0.3)) if each.sampled else each
        for each in reports
    ]
    assert found(unsolved)[0] == "prompt-reuse"


def test_what_carries_over_to_held_out_prompts_is_not_learning_by_heart(found: Found) -> None:
    reports = simulate("by-heart", 3)
    assert found(reports) == ["prompt-reuse"]
    top = reports[-1].cycle

    def carried(transfer: float) -> list[CycleReport]:
        def at(cycle: int, gain: float, rates: Any) -> Any:
            return rates and replace(rates, passed=0.3 + gain * cycle / top)

        return [
            replace(e, sampled=at(e.cycle - 1, 0.6, e.sampled), heldout=at(e.cycle, transfer, e.heldout))
            for e in reports
        ]

    assert "prompt-reuse" in found(carried(0.1))
    assert "prompt-reuse" not in found(carried(0.25))


def test_the_more_cycles_the_clearer_a_fall_must_be(found: Found) -> None:
    fall = PairedDifference(0.5, 0.435, -0.065, (-0.105, -0.025))
    for cycles, causes in ((1, ["regression"]), (20, [])):
        reports = simulate("level-long", 3)[: cycles + 1]
        reports[-1] = replace(reports[-1], best=0, versus_best=fall)
        assert found(reports) == causes


def test_a_spike_in_a_cycle_that_gained_is_left_alone(found: Found) -> None:
    reports = simulate("spike", 3)
    spiked = first(reports)
    assert (spiked.cause, spiked.action) == (Cause.SPIKE, "rollback")
    gain = PairedDifference(0.4, 0.5, 0.1, (0.05, 0.15))
    assert not found([replace(e, improvement=gain) if e.cycle == spiked.cycle else e for e in reports])


def test_not_a_number_is_critical_wherever_it_stands() -> None:
    for changes in ({"loss_last": float("nan")}, {"grad_norms": (0.1, float("inf"))}, {"kl": float("nan")}):
        reports = simulate("healthy", 3)
        reports[4] = trained(reports[4], **changes)
        finding = first(reports)
        assert (finding.cause, finding.severity, finding.cycle) == (Cause.DIVERGED, Severity.CRITICAL, 4)
        assert finding.action == "rollback"


def test_up_and_down_and_up_is_the_rate_s_unless_it_was_rolled_back(found: Found) -> None:
    reports = simulate("level-long", 3)
    down, up = (
        PairedDifference(0.5, 0.35, -0.15, (-0.19, -0.11)),
        PairedDifference(0.35, 0.5, 0.15, (0.11, 0.19)),
    )
    for cycle, change in ((5, down), (6, up), (8, down)):
        reports[cycle] = replace(reports[cycle], improvement=change)
    assert found(reports) == ["learning-rate-too-high"]
    reports[6] = replace(reports[6], started_from=4)
    assert not found(reports)


def test_narrowing_needs_two_signs_that_agree(found: Found) -> None:
    assert "narrowing" in found(simulate("narrowing", 3))
    assert "narrowing" not in found(simulate("narrowing", 3), narrowing_signs=4)
    surer = [
        replace(e, heldout=replace(e.heldout, entropy=0.4 / (1 + e.cycle))) if e.heldout else e
        for e in simulate("healthy", 3)
    ]
    assert not found(surer)


def test_truncation_that_does_no_harm_is_a_notice() -> None:
    cut = [
        replace(e, heldout=replace(e.heldout, truncated=0.3)) if e.heldout else e
        for e in simulate("healthy", 3)
    ]
    assert first(cut).severity is Severity.NOTICE
    assert first(simulate("token-limit", 4)).severity is Severity.WARNING


def test_without_held_out_prompts_the_training_samples_are_judged(found: Found) -> None:
    def blind(reports: list[CycleReport]) -> list[CycleReport]:
        return [replace(e, heldout=None, improvement=None, best=None, versus_best=None) for e in reports]

    assert found(blind(simulate("too-high-late", 3)))[0] == "learning-rate-too-high"
    assert found(blind(simulate("too-low", 3))) == ["learning-rate-too-low"]
    assert not found(blind(simulate("healthy", 3)))


@pytest.mark.parametrize(
    ("norm", "cause"), [(0.31, "learning-rate-too-high"), (0.04, "learning-rate-too-low")]
)
def test_the_legacy_band_is_off_and_never_more_than_a_notice(norm: float, cause: str, found: Found) -> None:
    reports = all_trained(simulate("healthy", 3), grad_norm_median=norm)
    assert not found(reports)
    (finding,) = diagnose(reports, Thresholds(legacy_grad_band=True))
    assert (finding.cause.value, finding.severity) == (cause, Severity.NOTICE)


def test_the_most_severe_comes_first() -> None:
    reports = all_trained(simulate("token-limit", 3), update_norm=0.0)
    severities = [finding.severity.rank for finding in diagnose(reports)]
    assert len(severities) > 1
    assert severities == sorted(severities, reverse=True)
