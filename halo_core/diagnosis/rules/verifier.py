"""Causes in what is paid for: a verifier that fails, that can be fooled, or a threshold below passing."""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points


def errors(h: History, found: frozenset[Cause]) -> Finding | None:
    """More than `errors` of the last cycle's completions got no verdict."""
    limit, cycle = h.options.errors, h.last.cycle
    known = [each for each in (h.last.sampled, h.last.heldout) if each]
    share = measures.unjudged(known)
    if share.interval(h.z)[0] <= limit:
        return None
    faults, late = sum(each.errors for each in known), sum(each.inconclusive for each in known)
    text = f"{share.value:.1%} of the completions of cycle {cycle} got no verdict: {faults} errors, {late} inconclusive"
    seen = Evidence("verifier-errors", text, (cycle,), (share.value,), share.interval(h.z), limit)
    advice = "Mend the verifier or its tools (halo plugins check, halo verify) before you read anything else."
    if late > faults:
        advice = (
            "The wall clock ran out on a busy machine: lower workers or raise the verifier's timeout, for until then "
            "the rates are of those completions only that were quick to judge."
        )
    severity = Severity.CRITICAL if share.value >= 5 * limit else Severity.WARNING
    return Finding(Cause.VERIFIER_ERRORS, severity, cycle, (seen,), advice)


def leaky(h: History, found: frozenset[Cause]) -> Finding | None:
    """Training prompts pass more and held-out ones do not, on prompts that were never solved before too.

    What fools a verifier fools it on every prompt, so that hardly any training prompt is left unsolved. One
    that is learnt by heart had to be solved first (`prompt-reuse`).
    """
    gap = growing_gap(h)
    first, last = (h.sampled[0][1], h.sampled[-1][1]) if gap else (None, None)
    if not (gap and first and last) or last.all_fail > h.options.leak_unsolved * first.all_fail:
        return None
    text = f"training prompts that were never solved: {first.all_fail:.0%}, now {last.all_fail:.0%}"
    values = (first.all_fail, last.all_fail)
    unsolved = Evidence("all-solved", text, gap.cycles, values, threshold=h.options.leak_unsolved)
    advice = (
        "Read some passing completions of the last cycle and try the verifier with halo audit: it passes what the "
        "held-out prompts' does not."
    )
    return Finding(Cause.LEAKY_VERIFIER, Severity.CRITICAL, h.last.cycle, (gap, unsolved), advice)


def growing_gap(h: History) -> Evidence | None:
    """Return that training prompts pass more while held-out ones pass no more, for the same weights."""
    held, trained = dict(h.heldout), dict(h.sampled)
    both = sorted(held.keys() & trained.keys())
    if len(both) < 2:
        return None
    first, last = both[0], both[-1]
    gained = measures.passed(trained[last]) - measures.passed(trained[first])
    transferred = measures.passed(held[last]) - measures.passed(held[first])
    gap = gained - transferred
    low, high = gap.interval(h.z)
    if low <= 0 or gap.value < h.options.leak_gap or transferred.value > gained.value / 4:
        return None
    text = (
        f"from cycle {first} to {last} the pass rate of training prompts changed by {points(gained.value)} points and "
        f"that of held-out prompts by {points(transferred.value)} (difference {points(low)} to {points(high)})"
    )
    return Evidence(
        "gap", text, (first, last), (gained.value, transferred.value), (low, high), h.options.leak_gap
    )


def wrong_paid(h: History, found: frozenset[Cause]) -> Finding | None:
    """Valid completions become more and passing ones do not: what is selected and imitated is valid but wrong.

    Compared with the best cycle; where it is proved that wrong completions were trained on, with the first too.
    """
    if found & {Cause.LEAKY_VERIFIER, Cause.PROMPT_REUSE, Cause.VERIFIER_ERRORS} or not h.measured:
        return None
    proof = imitated(h)
    starts = [h.from_best[0]] if h.from_best else []
    if not h.gain and (proof or not h.from_best):
        starts.append(h.measured[0][0])
    seen = next((each for each in (_wrong_since(h, start, proof) for start in starts) if each), None)
    if seen is None:
        return None
    advice = (
        "Pay for passing only: raise selector.threshold above the reward of a wrong answer, or use --reward binary; "
        "lowering the rate would only slow this down."
    )
    severity = Severity.CRITICAL if h.fall else Severity.WARNING
    evidence = tuple(each for each in (h.fall, *seen, proof) if each)
    return Finding(Cause.WRONG_PAID, severity, h.last.cycle, evidence, advice)


def _wrong_since(h: History, start: int, proof: Evidence | None) -> tuple[Evidence, ...]:
    """Return that since cycle `start` more completions are valid and of these fewer pass, beyond noise."""
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


def imitated(h: History) -> Evidence | None:
    """Return that more completions were selected than passed, which proves it."""
    rates, selected = h.last.sampled, h.last.selected
    if rates is None or selected <= rates.passed * rates.samples:
        return None
    passed, cycle = rates.passed * rates.samples, h.last.cycle
    text = f"{selected} sequences were trained on in cycle {cycle}, of which at most {passed:.0f} passed"
    return Evidence("wrong-selected", text, (h.last.cycle,), (float(selected),))
