"""Causes in verdicts and selection: a verifier that fails or can be fooled, or wrong answers that are selected."""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points


def verifier_errors(h: History, found: frozenset[Cause]) -> Finding | None:
    """More than `errors` of the last cycle's completions have no verdict of pass or fail."""
    limit, cycle = h.options.errors, h.last.cycle
    splits = [metrics for metrics in (h.last.sampled, h.last.heldout) if metrics]
    share = measures.without_verdict(splits)
    if share.interval(h.z)[0] <= limit:
        return None
    errors = sum(metrics.errors for metrics in splits)
    inconclusive = sum(metrics.inconclusive for metrics in splits)
    text = (
        f"{share.value:.1%} of the completions of cycle {cycle} got no verdict: {errors} errors, "
        f"{inconclusive} inconclusive"
    )
    seen = Evidence("verifier-errors", text, (cycle,), (share.value,), share.interval(h.z), limit)
    advice = "Fix the verifier or its tools (halo plugins check, halo verify) before you read anything else."
    if inconclusive > errors:
        advice = (
            "The wall clock ran out on a busy machine: lower workers or raise the verifier's timeout, because until "
            "then the metrics cover only the completions that were quick to verify."
        )
    severity = Severity.CRITICAL if share.value >= 5 * limit else Severity.WARNING
    return Finding(Cause.VERIFIER_ERRORS, severity, cycle, (seen,), advice)


def leaky_verifier(h: History, found: frozenset[Cause]) -> Finding | None:
    """Training prompts pass more often, held-out ones do not, and prompts that were never solved before pass too.

    A trick that fools a verifier works on every prompt, so hardly any training prompt stays unsolved. A prompt that is
    memorised had to be solved first (`prompt-reuse`).
    """
    gap = growing_gap(h)
    if gap is None:
        return None
    first, last = (dict(h.sampled)[cycle] for cycle in gap.cycles)
    if last.all_fail > h.options.leak_unsolved * first.all_fail:
        return None
    text = f"training prompts that were never solved: {first.all_fail:.0%}, now {last.all_fail:.0%}"
    values = (first.all_fail, last.all_fail)
    unsolved = Evidence("all-solved", text, gap.cycles, values, threshold=h.options.leak_unsolved)
    advice = (
        "Read some passing completions of the last cycle and test the verifier with halo audit: it passes what the "
        "verifier of the held-out prompts rejects."
    )
    return Finding(Cause.LEAKY_VERIFIER, Severity.CRITICAL, h.last.cycle, (gap, unsolved), advice)


def growing_gap(h: History) -> Evidence | None:
    """Find a growing gap: with the same weights, training prompts pass more often and held-out ones do not."""
    heldout, sampled = dict(h.heldout), dict(h.sampled)
    both = sorted(heldout.keys() & sampled.keys())
    if len(both) < 2:
        return None
    first, last = both[0], both[-1]
    gained = measures.passed(sampled[last]) - measures.passed(sampled[first])
    transferred = measures.passed(heldout[last]) - measures.passed(heldout[first])
    gap = gained - transferred
    low, high = gap.interval(h.z)
    if gained.interval(h.z)[0] <= 0 or low <= 0:
        return None
    if gap.value < h.options.leak_gap or transferred.value > gained.value / 4:
        return None
    text = (
        f"from cycle {first} to {last} the pass rate of training prompts changed by {points(gained.value)} points and "
        f"that of held-out prompts by {points(transferred.value)} (difference {points(low)} to {points(high)})"
    )
    return Evidence(
        "gap", text, (first, last), (gained.value, transferred.value), (low, high), h.options.leak_gap
    )


def wrong_paid(h: History, found: frozenset[Cause]) -> Finding | None:
    """Wrong answers are accepted: more completions are valid and no more of them pass.

    Compared with the best cycle and, if wrong completions were provably trained on, with the first cycle.
    """
    if found & {Cause.LEAKY_VERIFIER, Cause.PROMPT_REUSE, Cause.VERIFIER_ERRORS} or not h.measured:
        return None
    proof = wrong_selected(h)
    starts = [h.from_best[0]] if h.from_best else []
    if not h.gain and (proof or not h.from_best):
        starts.append(h.measured[0][0])
    seen = next((changes for start in starts if (changes := _wrong_since(h, start, proof))), None)
    if seen is None:
        return None
    advice = (
        "Reward only completions that pass: raise selector.threshold above the reward of a wrong answer, or use "
        "--reward binary; a lower learning rate would only slow this down."
    )
    severity = Severity.CRITICAL if h.fall else Severity.WARNING
    evidence = tuple(item for item in (h.fall, *seen, proof) if item)
    return Finding(Cause.WRONG_PAID, severity, h.last.cycle, evidence, advice)


def _wrong_since(h: History, start: int, proof: Evidence | None) -> tuple[Evidence, ...]:
    """Return evidence if, since cycle `start`, more completions are valid and a smaller share of them passes."""
    right = h.compare(h.measured, measures.passed_of_valid, since=start)
    wider = h.compare(h.measured, measures.valid, since=start)
    if right is None or wider is None or right.value > -h.options.paid_gap or right.interval(h.z)[1] >= 0:
        return ()
    if wider.interval(h.z)[0] <= 0 and not (proof and h.fall and wider.value > 0):
        return ()
    before = dict(h.measured)[start]
    name, share = "share of the valid completions that pass", measures.passed_of_valid(before).value
    return (
        h.change("valid", "valid rate", wider, before.valid, start),
        h.change("passed-of-valid", name, right, share, start),
    )


def failures_selected(h: History, found: frozenset[Cause]) -> Finding | None:
    """Failing completions are imitated, although enough completions pass; whether that does harm is not known yet."""
    proof, metrics, options = wrong_selected(h), h.last.sampled, h.options
    if (
        proof is None
        or metrics is None
        or Cause.WRONG_PAID in found
        or metrics.passed < options.enough_passes
    ):
        return None
    failing = h.last.selected - measures.passes(metrics)
    if failing < options.failures_selected * h.last.selected:
        return None
    advice = (
        "Select only completions that pass: raise selector.threshold above the reward of a failure, or use "
        "--reward binary."
    )
    return Finding(Cause.FAILURES_SELECTED, Severity.NOTICE, h.last.cycle, (proof,), advice)


def wrong_selected(h: History) -> Evidence | None:
    """Return the proof that wrong completions were imitated: more were selected than passed."""
    metrics, selected, train = h.last.sampled, h.last.selected, h.last.train
    if h.last.rounds or (
        train and train.objective != "imitation"
    ):  # selected among others, or to learn from the worse
        return None
    if metrics is None or selected <= measures.passes(metrics):
        return None
    passed, cycle = measures.passes(metrics), h.last.cycle
    text = f"{selected} sequences were trained on in cycle {cycle}, of which at most {passed} passed"
    return Evidence("wrong-selected", text, (cycle,), (float(selected),))
