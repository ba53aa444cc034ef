"""Causes in what is trained on: the prompts, and what is left of the completions."""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points
from halo_core.diagnosis.rules.verifier import growing_gap


def prompt_reuse(h: History, found: frozenset[Cause]) -> Finding | None:
    """Training prompts pass more and held-out ones do not, among prompts that were solved before."""
    gap = growing_gap(h)
    if gap is None or Cause.LEAKY_VERIFIER in found:
        return None
    first, last = h.sampled[0][1], h.sampled[-1][1]
    text = f"training prompts that are always solved: {first.all_pass:.0%}, now {last.all_pass:.0%}"
    solved = Evidence("always-solved", text, gap.cycles, (first.all_pass, last.all_pass))
    advice = "Train on prompts that the model has not seen, or on more of them: it learns these by heart."
    return Finding(Cause.PROMPT_REUSE, Severity.WARNING, h.last.cycle, (gap, solved), advice)


def truncation(h: History, found: frozenset[Cause]) -> Finding | None:
    """Too many completions run into the token limit, or more and more do."""
    if found & {Cause.LR_TOO_HIGH, Cause.DIVERGED}:
        return None
    seen = [each for each in (_cut_short(h), h.truncation_rose) if each]
    if not seen:
        return None
    advice = (
        "Raise max_new_tokens or ask for shorter answers; if the share grows from cycle to cycle, see that the end "
        "token is trained on."
    )
    severity = Severity.WARNING if h.gain is None else Severity.NOTICE
    return Finding(Cause.TRUNCATION, severity, h.last.cycle, tuple(seen), advice)


def _cut_short(h: History) -> Evidence | None:
    if not h.measured:
        return None
    limit, (cycle, rates) = h.options.truncated, h.measured[-1]
    share = measures.clustered(measures.truncated(rates), rates)
    if share.interval(h.z)[0] <= limit:
        return None
    text = f"{share.value:.1%} of the completions after cycle {cycle} ran into the token limit"
    return Evidence("truncated", text, (cycle,), (share.value,), share.interval(h.z), limit)


def narrowing(h: History, found: frozenset[Cause]) -> Finding | None:
    """Several signs agree that the model is left with few ways of answering."""
    if found & {Cause.LR_TOO_HIGH, Cause.DIVERGED, Cause.PROMPT_REUSE, Cause.LEAKY_VERIFIER}:
        return None
    if len(h.measured) < 2:
        return None
    signs = [each for each in (_surer(h), _fewer_right(h), _fewer_solved(h), _few_give_all(h)) if each]
    if len(signs) < h.options.narrowing_signs:
        return None
    advice = (
        "Keep more ways of being right: cap the completions kept of a prompt (selector.cap), replay earlier data, "
        "sample hotter, or stop here; a lower rate only slows it."
    )
    severity = Severity.WARNING if h.fall is None else Severity.CRITICAL
    return Finding(Cause.NARROWING, severity, h.last.cycle, tuple(signs), advice)


def _surer(h: History) -> Evidence | None:
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    if (
        not before.entropy
        or after.entropy is None
        or after.entropy >= h.options.entropy_drop * before.entropy
    ):
        return None
    text = (
        f"token entropy {before.entropy:.3f} nats after cycle {first}, {after.entropy:.3f} after cycle {last}"
    )
    values = (before.entropy, after.entropy)
    return Evidence("entropy", text, (first, last), values, threshold=h.options.entropy_drop)


def _fewer_right(h: History) -> Evidence | None:
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    kept = after.distinct_correct / before.distinct_correct if before.distinct_correct else 1.0
    if not 0 < kept < h.options.distinct_drop:
        return None
    text = (
        f"distinct among the correct completions {before.distinct_correct:.0%} after cycle {first}, "
        f"{after.distinct_correct:.0%} after cycle {last}"
    )
    values = (before.distinct_correct, after.distinct_correct)
    return Evidence("distinct-correct", text, (first, last), values, threshold=h.options.distinct_drop)


def _fewer_solved(h: History) -> Evidence | None:
    """pass@k falls though pass@1 does not: what is gained is gained by giving up the rest."""
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    k = max(map(int, before.pass_at.keys() & after.pass_at.keys()), default=1)
    if k == 1 or after.passed < before.passed:
        return None
    was, now = before.pass_at[str(k)], after.pass_at[str(k)]
    change = measures.of_prompts(after, now) - measures.of_prompts(before, was)
    low, high = change.interval(h.z)
    if high >= 0:
        return None
    text = (
        f"pass@{k} {was:.1%} after cycle {first}, {now:.1%} after cycle {last} ({points(low)} to {points(high)} "
        f"points), though pass@1 went from {before.passed:.1%} to {after.passed:.1%}"
    )
    return Evidence("pass-at-k", text, (first, last), (was, now), (low, high))


def _few_give_all(h: History) -> Evidence | None:
    kept = [(each.cycle, each.kept_gini) for each in h.reports if each.selected]
    if not kept or kept[-1][1] < h.options.exposure:
        return None
    text = f"few prompts give most of what is trained on (Gini {kept[-1][1]:.2f} in cycle {kept[-1][0]})"
    return Evidence("exposure", text, (kept[-1][0],), (kept[-1][1],), threshold=h.options.exposure)


def exhausted(h: History, found: frozenset[Cause]) -> Finding | None:
    """Most training prompts are always solved, and the run gains nothing any more."""
    if not h.sampled or h.gaining or found & {Cause.CEILING, Cause.LEAKY_VERIFIER, Cause.VERIFIER_ERRORS}:
        return None
    cycle, rates = h.sampled[-1]
    if rates.all_pass < h.options.all_pass or len(h.sampled) < 2:
        return None
    text = f"{rates.all_pass:.0%} of the training prompts were always solved after cycle {cycle}"
    seen = Evidence("all-pass", text, (cycle,), (rates.all_pass,), threshold=h.options.all_pass)
    advice = "Give new or harder prompts: from one that is always solved there is nothing left to learn."
    return Finding(Cause.PROMPTS_EXHAUSTED, Severity.WARNING, h.last.cycle, (seen,), advice)


def too_hard(h: History, found: frozenset[Cause]) -> Finding | None:
    """Most training prompts are never solved: a cycle learns from the few that are."""
    if not h.sampled or found & {Cause.LR_TOO_HIGH, Cause.DIVERGED, Cause.VERIFIER_ERRORS, Cause.TRUNCATION}:
        return None
    (_, before), (cycle, rates) = h.sampled[0], h.sampled[-1]
    if min(before.all_fail, rates.all_fail) < h.options.all_fail or h.gain:
        return None
    text = f"{rates.all_fail:.0%} of the training prompts were never solved after cycle {cycle}"
    seen = Evidence("all-fail", text, (cycle,), (rates.all_fail,), threshold=h.options.all_fail)
    advice = (
        "Start from a stronger model (halo sft), give easier prompts, or sample more completions of each."
    )
    return Finding(Cause.PROMPTS_TOO_HARD, Severity.WARNING, h.last.cycle, (seen,), advice)
