"""The differences between causes: changing one thing in a history changes the cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from halo_core.diagnosis import Cause, Finding, Severity, Thresholds, diagnose
from halo_core.diagnosis.history import History
from halo_core.diagnosis.rules.verifier import wrong_selected
from halo_core.tables import spell
from halo_core.testing.histories import simulate
from halo_core.types import CycleReport, PairedDifference

Found = Callable[..., list[str]]


def first(reports: list[CycleReport]) -> Finding:
    return diagnose(reports)[0]


def with_training(report: CycleReport, **changes: Any) -> CycleReport:
    return replace(report, train=replace(report.train, **changes)) if report.train else report


def with_all_training(reports: list[CycleReport], **changes: Any) -> list[CycleReport]:
    return [with_training(report, **changes) for report in reports]


def test_no_findings_before_the_first_cycle_ends(found: Found) -> None:
    assert found([]) == found(simulate("too-high", 0)[:1]) == []


def test_clipping_alone_is_not_a_finding(found: Found) -> None:
    assert not found(with_all_training(simulate("healthy", 3), clipped_fraction=1.0))
    signals = [
        item.signal
        for item in first(with_all_training(simulate("too-high", 3), clipped_fraction=1.0)).evidence
    ]
    assert "clipping" in signals


def test_flat_loss_alone_is_not_a_finding(found: Found) -> None:
    assert not found(simulate("healthy-flat-loss", 3))


def test_low_learning_rate_needs_a_low_kl(found: Found) -> None:
    assert found(simulate("too-low", 3)) == ["learning-rate-too-low"]
    assert "learning-rate-too-low" not in found(with_all_training(simulate("too-low", 3), kl=0.02))


def test_high_kl_without_harm_is_not_a_finding(found: Found) -> None:
    assert not found(with_all_training(simulate("healthy", 3), kl=0.5))


def test_decline_with_large_steps_since_the_best_cycle_is_a_high_learning_rate(found: Found) -> None:
    reports = simulate("decline", 3)
    assert found(reports) == ["regression"]
    assert found(with_all_training(reports, kl=0.5)) == ["learning-rate-too-high"]
    best = first(reports).evidence[0].cycles[0]
    early = [with_training(report, kl=0.5) if report.cycle <= best else report for report in reports]
    assert found(early) == ["regression"]


def test_decline_with_more_valid_answers_is_not_a_high_learning_rate(found: Found) -> None:
    assert found(with_all_training(simulate("wrong-paid", 3), kl=0.5)) == ["wrong-paid"]


def test_proof_of_training_on_wrong_answers_precedes_large_steps(found: Found) -> None:
    """Both apply if the valid rate declines from the same peak; the proof is that more were selected than passed."""
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
        high = [
            replace(report, selected=report.selected if proved else 1)
            for report in with_all_training(high, kl=0.5)
        ]
        assert ("wrong-paid" in found(high)) == proved
        assert "learning-rate-too-high" in found(high)


def test_as_many_selected_as_passed_is_no_proof_of_wrong_ones() -> None:
    """15 of 22 is a share that times 22 is less than 15 in floating point."""
    last = simulate("healthy", 3)[-1]
    assert last.sampled is not None
    for selected, proved in ((15, False), (16, True)):
        sampled = replace(last.sampled, samples=22, passed=15 / 22)
        history = History([replace(last, sampled=sampled, selected=selected, rounds=())], Thresholds())
        assert (wrong_selected(history) is not None) == proved


def test_zero_rate_is_not_low_and_long_warmup_is_not_few_steps(found: Found) -> None:
    assert found(simulate("zero-rate", 3)) == ["no-update"]
    assert found(simulate("warmup", 3)) == ["warmup"]


def test_few_steps_precede_a_low_learning_rate(found: Found) -> None:
    assert found(simulate("few-steps", 3)) == ["too-few-steps"]
    assert found(with_all_training(simulate("few-steps", 3), steps=40)) == ["learning-rate-too-low"]


def test_retried_cycle_is_not_mistaken_for_warmup(found: Found) -> None:
    reports = with_all_training(simulate("healthy", 3), retries=2)
    assert found(reports) == ["learning-rate-too-high"]
    rate = reports[-1].lr
    assert (
        f"diverged at {spell(rate * 100)} and was trained at {spell(rate)}" in first(reports).evidence[0].text
    )
    short = [with_training(report, lr_peak=report.lr / 100) for report in simulate("healthy", 3)]
    assert found(short) == ["warmup"], "a low peak alone does not indicate a retry"
    assert "warmup" in found([with_training(report, retries=1) for report in short])


def test_failing_verifier_precedes_its_consequences(found: Found) -> None:
    failing = [
        replace(report, heldout=replace(report.heldout, errors=90)) if report.heldout else report
        for report in simulate("level", 3)
    ]
    assert found(failing)[0] == "verifier-errors"
    slow = [
        replace(report, heldout=replace(report.heldout, inconclusive=90)) if report.heldout else report
        for report in simulate("level", 3)
    ]
    assert "busy machine" in first(slow).advice


def test_leak_and_memorising_differ_in_unsolved_prompts(found: Found) -> None:
    reports = simulate("leaky", 3)
    assert found(reports)[0] == "leaky-verifier"
    unsolved = [
        replace(report, sampled=replace(report.sampled, all_fail=0.3)) if report.sampled else report
        for report in reports
    ]
    assert found(unsolved)[0] == "prompt-reuse"


def test_gain_that_transfers_to_held_out_prompts_is_not_memorising(found: Found) -> None:
    reports = simulate("memorised", 3)
    assert found(reports) == ["prompt-reuse"]
    top = reports[-1].cycle

    def with_transfer(transfer: float) -> list[CycleReport]:
        def at(cycle: int, gain: float, rates: Any) -> Any:
            return rates and replace(rates, passed=0.3 + gain * cycle / top)

        return [
            replace(
                report,
                sampled=at(report.cycle - 1, 0.6, report.sampled),
                heldout=at(report.cycle, transfer, report.heldout),
            )
            for report in reports
        ]

    assert "prompt-reuse" in found(with_transfer(0.1))
    assert "prompt-reuse" not in found(with_transfer(0.25))


def test_training_prompts_that_fall_less_are_not_memorised(found: Found) -> None:
    """Both pass rates fall; that the held-out one falls further is a regression."""
    reports = simulate("memorised", 3)
    top = reports[-1].cycle

    def at(cycle: int, start: float, change: float, rates: Any) -> Any:
        return rates and replace(rates, samples=4000, passed=start + change * cycle / top)

    falling = [
        replace(
            report,
            sampled=at(report.cycle - 1, 0.6, -0.06, report.sampled),
            heldout=at(report.cycle, 0.6, -0.3, report.heldout),
        )
        for report in reports
    ]
    assert "prompt-reuse" not in found(falling)


def test_samples_are_those_of_the_weights_that_sampled_them(found: Found) -> None:
    """After a roll-back, a cycle samples with the weights of an earlier cycle than the one before."""
    reports = simulate("memorised", 3)
    assert found(reports) == ["prompt-reuse"]
    rolled_back = [*reports[:-1], replace(reports[-1], sampled_from=0)]
    history = History(rolled_back, Thresholds())
    assert [cycle for cycle, _ in history.sampled][-2:] == [reports[-1].cycle - 2, 0]


def test_fall_must_be_clearer_with_more_cycles(found: Found) -> None:
    fall = PairedDifference(0.5, 0.435, -0.065, (-0.105, -0.025))
    for cycles, causes in ((1, ["regression"]), (20, [])):
        reports = simulate("level-long", 3)[: cycles + 1]
        reports[-1] = replace(reports[-1], best=0, versus_best=fall)
        assert found(reports) == causes


def test_spike_in_a_cycle_with_a_gain_is_ignored(found: Found) -> None:
    reports = simulate("spike", 3)
    spiked = first(reports)
    assert (spiked.cause, spiked.action) == (Cause.SPIKE, "rollback")
    gain = PairedDifference(0.4, 0.5, 0.1, (0.05, 0.15))
    assert not found(
        [replace(report, improvement=gain) if report.cycle == spiked.cycle else report for report in reports]
    )


def test_any_number_that_is_not_finite_is_critical() -> None:
    for changes in ({"loss_last": float("nan")}, {"grad_norms": (0.1, float("inf"))}, {"kl": float("nan")}):
        reports = simulate("healthy", 3)
        reports[4] = with_training(reports[4], **changes)
        finding = first(reports)
        assert (finding.cause, finding.severity, finding.cycle) == (Cause.DIVERGED, Severity.CRITICAL, 4)
        assert finding.action == "rollback"


def test_swings_are_a_high_learning_rate_unless_rolled_back(found: Found) -> None:
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
    lower_entropy = [
        replace(report, heldout=replace(report.heldout, entropy=0.4 / (1 + report.cycle)))
        if report.heldout
        else report
        for report in simulate("healthy", 3)
    ]
    assert not found(lower_entropy)


def test_truncation_without_harm_is_a_notice() -> None:
    cut = [
        replace(report, heldout=replace(report.heldout, truncated=0.3)) if report.heldout else report
        for report in simulate("healthy", 3)
    ]
    assert first(cut).severity is Severity.NOTICE
    assert first(simulate("token-limit", 4)).severity is Severity.WARNING


def test_training_samples_replace_missing_held_out_prompts(found: Found) -> None:
    def without_heldout(reports: list[CycleReport]) -> list[CycleReport]:
        return [
            replace(report, heldout=None, improvement=None, best=None, versus_best=None) for report in reports
        ]

    assert found(without_heldout(simulate("too-high-late", 3)))[0] == "learning-rate-too-high"
    assert found(without_heldout(simulate("too-low", 3))) == ["learning-rate-too-low"]
    assert not found(without_heldout(simulate("healthy", 3)))


@pytest.mark.parametrize(
    ("norm", "cause"), [(0.31, "learning-rate-too-high"), (0.04, "learning-rate-too-low")]
)
def test_legacy_band_is_off_by_default_and_only_a_notice(norm: float, cause: str, found: Found) -> None:
    reports = with_all_training(simulate("healthy", 3), grad_norm_median=norm)
    assert not found(reports)
    (finding,) = diagnose(reports, Thresholds(legacy_grad_band=True))
    assert (finding.cause.value, finding.severity) == (cause, Severity.NOTICE)


def test_most_severe_finding_comes_first() -> None:
    reports = with_all_training(simulate("token-limit", 3), update_norm=0.0)
    severities = [finding.severity.rank for finding in diagnose(reports)]
    assert len(severities) > 1
    assert severities == sorted(severities, reverse=True)


# The sampler


def unchanged(reports: list[CycleReport], cycle: int, **changes: Any) -> list[CycleReport]:
    """Return the reports up to `cycle`, whose held-out completions are those of the cycle before."""
    shifted = with_all_training(reports[: cycle + 1], logprob_shift=0.04)
    return [*shifted[:-1], replace(shifted[-1], heldout_changed=0.0, **changes)]


def test_a_cycle_that_changes_no_heldout_completion_is_reported_at_once(found: Found) -> None:
    reports = simulate("healthy", 3)
    for cycle in (1, 3):
        finding = first(unchanged(reports, cycle, sampler_error=None))
        assert (finding.cause, finding.severity) == (Cause.STALE_SAMPLER, Severity.CRITICAL)
        assert finding.evidence[0].signal == "heldout-unchanged"
        assert finding.cycle == cycle
    earlier = [*unchanged(reports, 2, sampler_error=None), *reports[3:]]
    assert "stale-sampler" not in found(earlier), "the last cycle follows the weights"


def test_a_cycle_that_trained_nothing_leaves_the_completions_as_they_are(found: Found) -> None:
    skipped = unchanged(simulate("healthy", 3), 3, sampler_error=None)
    skipped[-1] = replace(skipped[-1], train=None)
    assert "stale-sampler" not in found(skipped)


def test_the_sampler_check_proves_that_equal_completions_are_from_the_trained_weights(found: Found) -> None:
    reports = simulate("healthy", 3)
    assert "stale-sampler" not in found(unchanged(reports, 2, sampler_error=0.01))
    coarse = first(unchanged(reports, 2, sampler_error=0.02))
    assert (coarse.cause, coarse.severity) == (Cause.STALE_SAMPLER, Severity.WARNING)


def test_a_stale_sampler_explains_that_it_is_unchecked(found: Found) -> None:
    reports = simulate("unchecked-sampler", 3)
    assert found(reports) == ["unchecked-sampler"]
    stale = [*reports[:-1], replace(reports[-1], heldout_changed=0.0)]
    assert "stale-sampler" in found(stale)
    assert "unchecked-sampler" not in found(stale)


def test_an_unchecked_sampler_hides_no_other_cause(found: Found) -> None:
    for kind in ("too-high", "regression", "plateau", "ceiling"):
        name = {"regression": "decline"}.get(kind, kind)
        reports = [
            replace(report, sampler_error=None, sampler_unchecked=bool(report.cycle))
            for report in simulate(name, 3)
        ]
        assert found(reports)[:-1] or found(reports) != ["unchecked-sampler"]
        assert set(found(simulate(name, 3))) <= set(found(reports))
