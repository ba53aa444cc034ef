"""Causes in the training data: the prompts, and the diversity of the completions."""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History, points
from halo_core.diagnosis.rules.verifier import growing_gap


def prompt_reuse(h: History, found: frozenset[Cause]) -> Finding | None:
    """Training prompts that were solved before pass more often, and held-out ones do not."""
    gap = growing_gap(h)
    if gap is None or Cause.LEAKY_VERIFIER in found:
        return None
    first, last = (dict(h.sampled)[cycle] for cycle in gap.cycles)
    text = f"training prompts that are always solved: {first.all_pass:.0%}, now {last.all_pass:.0%}"
    solved = Evidence("always-solved", text, gap.cycles, (first.all_pass, last.all_pass))
    advice = "Train on more prompts, or on ones that the model has not seen: it memorises these."
    return Finding(Cause.PROMPT_REUSE, Severity.WARNING, h.last.cycle, (gap, solved), advice)


def truncation(h: History, found: frozenset[Cause]) -> Finding | None:
    """Too many completions reach the token limit, or their share grows."""
    if found & {Cause.LR_TOO_HIGH, Cause.DIVERGED}:
        return None
    seen = [evidence for evidence in (_truncated(h), h.truncation_rose) if evidence]
    if not seen:
        return None
    advice = (
        "Raise max_new_tokens or ask for shorter answers; if the share grows from cycle to cycle, check that the end "
        "token is trained on."
    )
    severity = Severity.WARNING if h.gain is None else Severity.NOTICE
    return Finding(Cause.TRUNCATION, severity, h.last.cycle, tuple(seen), advice)


def _truncated(h: History) -> Evidence | None:
    if not h.measured:
        return None
    limit, (cycle, metrics) = h.options.truncated, h.measured[-1]
    share = measures.clustered(measures.truncated(metrics), metrics)
    if share.interval(h.z)[0] <= limit:
        return None
    text = f"{share.value:.1%} of the completions after cycle {cycle} reached the token limit"
    return Evidence("truncated", text, (cycle,), (share.value,), share.interval(h.z), limit)


def narrowing(h: History, found: frozenset[Cause]) -> Finding | None:
    """Several signs agree that the completions lose diversity."""
    if found & {Cause.LR_TOO_HIGH, Cause.DIVERGED, Cause.PROMPT_REUSE, Cause.LEAKY_VERIFIER}:
        return None
    if len(h.measured) < 2:
        return None
    candidates = (_lower_entropy(h), _fewer_distinct_correct(h), _lower_pass_at_k(h), _uneven_selection(h))
    signs = [evidence for evidence in candidates if evidence]
    if len(signs) < h.options.narrowing_signs:
        return None
    advice = (
        "Keep correct answers diverse: cap the completions selected for a prompt (selector.cap), replay earlier data, "
        "sample at a higher temperature, or stop here; a lower learning rate only slows the narrowing."
    )
    severity = Severity.WARNING if h.fall is None else Severity.CRITICAL
    return Finding(Cause.NARROWING, severity, h.last.cycle, tuple(signs), advice)


def _lower_entropy(h: History) -> Evidence | None:
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


def _fewer_distinct_correct(h: History) -> Evidence | None:
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    ratio = after.distinct_correct / before.distinct_correct if before.distinct_correct else 1.0
    if not 0 < ratio < h.options.distinct_drop:
        return None
    text = (
        f"distinct share of the correct completions {before.distinct_correct:.0%} after cycle {first}, "
        f"{after.distinct_correct:.0%} after cycle {last}"
    )
    values = (before.distinct_correct, after.distinct_correct)
    return Evidence("distinct-correct", text, (first, last), values, threshold=h.options.distinct_drop)


def _lower_pass_at_k(h: History) -> Evidence | None:
    """pass@k fell and pass@1 did not: the model solves fewer prompts, and those more often."""
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    k = max(map(int, before.pass_at.keys() & after.pass_at.keys()), default=1)
    if k == 1 or after.passed < before.passed:
        return None
    earlier, now = before.pass_at[str(k)], after.pass_at[str(k)]
    change = measures.of_prompts(after, now) - measures.of_prompts(before, earlier)
    low, high = change.interval(h.z)
    if high >= 0:
        return None
    text = (
        f"pass@{k} {earlier:.1%} after cycle {first}, {now:.1%} after cycle {last} ({points(low)} to {points(high)} "
        f"points), though pass@1 went from {before.passed:.1%} to {after.passed:.1%}"
    )
    return Evidence("pass-at-k", text, (first, last), (earlier, now), (low, high))


def _uneven_selection(h: History) -> Evidence | None:
    ginis = [(report.cycle, report.kept_gini) for report in h.reports if report.selected]
    if not ginis or ginis[-1][1] < h.options.exposure:
        return None
    cycle, gini = ginis[-1]
    text = f"few prompts provide most of the training samples (Gini {gini:.2f} in cycle {cycle})"
    return Evidence("exposure", text, (cycle,), (gini,), threshold=h.options.exposure)


def prompts_exhausted(h: History, found: frozenset[Cause]) -> Finding | None:
    """Most training prompts are always solved, and the run has stopped gaining."""
    if not h.sampled or h.gaining or found & {Cause.CEILING, Cause.LEAKY_VERIFIER, Cause.VERIFIER_ERRORS}:
        return None
    cycle, metrics = h.sampled[-1]
    if metrics.all_pass < h.options.all_pass or len(h.sampled) < 2:
        return None
    text = f"{metrics.all_pass:.0%} of the training prompts were always solved after cycle {cycle}"
    seen = Evidence("all-pass", text, (cycle,), (metrics.all_pass,), threshold=h.options.all_pass)
    advice = "Use new or harder prompts: a prompt that is always solved has nothing left to teach."
    return Finding(Cause.PROMPTS_EXHAUSTED, Severity.WARNING, h.last.cycle, (seen,), advice)


def prompts_too_hard(h: History, found: frozenset[Cause]) -> Finding | None:
    """Most training prompts are never solved, so a cycle learns from the few others."""
    if not h.sampled or found & {Cause.LR_TOO_HIGH, Cause.DIVERGED, Cause.VERIFIER_ERRORS, Cause.TRUNCATION}:
        return None
    (_, before), (cycle, metrics) = h.sampled[0], h.sampled[-1]
    if min(before.all_fail, metrics.all_fail) < h.options.all_fail or h.gain:
        return None
    text = f"{metrics.all_fail:.0%} of the training prompts were never solved after cycle {cycle}"
    seen = Evidence("all-fail", text, (cycle,), (metrics.all_fail,), threshold=h.options.all_fail)
    advice = "Start from a stronger model (halo sft), use easier prompts, or sample more completions of each prompt."
    return Finding(Cause.PROMPTS_TOO_HARD, Severity.WARNING, h.last.cycle, (seen,), advice)
