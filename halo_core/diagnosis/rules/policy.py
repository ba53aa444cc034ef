"""Causes in methods that also learn from worse completions: policy gradients and preferences.

What these rules read is in the trainer's own statistics (`TrainStats.metrics`), under the names that the trainers of
halo use; for a trainer without them, a rule is silent.
"""

from __future__ import annotations

from halo_core.diagnosis import measures
from halo_core.diagnosis.findings import Cause, Evidence, Finding, Severity
from halo_core.diagnosis.history import History
from halo_core.metrics import Z95


def policy_drift(h: History, found: frozenset[Cause]) -> Finding | None:
    """The policy of the last cycle went far from the one that sampled, so that its ratios are unreliable."""
    train = h.last.train
    if train is None or train.objective != "policy" or found & {Cause.DIVERGED, Cause.STALE_SAMPLER}:
        return None
    cycle, drift, clipped = h.last.cycle, train.metrics.get("kl_to_sampler"), train.metrics.get("clip_share")
    seen: list[Evidence] = []
    if drift is not None and drift >= h.options.drift:
        text = f"in cycle {cycle} the policy was {drift:.2g} nats per token from the one that sampled"
        seen.append(Evidence("ratio-drift", text, (cycle,), (drift,), threshold=h.options.drift))
    if clipped is not None and clipped >= h.options.clip_share:
        text = f"in cycle {cycle} the ratios of {clipped:.0%} of the tokens were at their clip"
        seen.append(Evidence("clip-share", text, (cycle,), (clipped,), threshold=h.options.clip_share))
    if not seen:
        return None
    advice = (
        "Train fewer epochs on a cycle's samples, use larger batches, or lower the learning rate; if the ratio is off "
        "from the first step, the generator computes other probabilities: set old=model."
    )
    return Finding(Cause.POLICY_DRIFT, Severity.WARNING, h.last.cycle, tuple(seen), advice)


def equal_groups(h: History, found: frozenset[Cause]) -> Finding | None:
    """Few prompts have completions with different rewards, and only these teach."""
    report = h.last
    if report.train is None or report.train.objective == "imitation" or not report.sampled:
        return None
    if not (report.selected_prompts and report.sampled.prompts) or Cause.PROMPTS_TOO_HARD in found:
        return None
    share = report.selected_prompts / report.sampled.prompts
    if share >= h.options.contrast:
        return None
    text = f"{report.selected_prompts} of {report.sampled.prompts} prompts were trained on in cycle {report.cycle}"
    seen = Evidence("equal-groups", text, (report.cycle,), (share,), threshold=h.options.contrast)
    advice = (
        "Sample more completions of each prompt, choose prompts that are solved sometimes (curriculum.order: "
        "frontier), or use a reward that tells wrong answers apart."
    )
    return Finding(Cause.EQUAL_GROUPS, Severity.WARNING, report.cycle, (seen,), advice)


def entropy_collapse(h: History, found: frozenset[Cause]) -> Finding | None:
    """The policy has become nearly certain of every token, so that it has little left to try."""
    if found & {Cause.NARROWING, Cause.LR_TOO_HIGH, Cause.DIVERGED}:
        return None
    known = [
        (cycle, train.metrics["entropy"])
        for cycle, train in h.training
        if train.objective == "policy" and train.metrics.get("entropy", 0.0) > 0
    ]
    if len(known) < 2 or known[-1][0] != h.last.cycle:
        return None
    (first, before), (last, after) = known[0], known[-1]
    if after >= h.options.entropy_collapse * before:
        return None
    text = f"the entropy of the policy was {before:.3f} nats per token in cycle {first} and {after:.3f} in cycle {last}"
    seen = Evidence(
        "policy-entropy", text, (first, last), (before, after), threshold=h.options.entropy_collapse
    )
    advice = (
        "Raise clip_high above clip_low, add a divergence from the reference (kl), leave out solved prompts "
        "(selector.solved_at), or stop here."
    )
    severity = Severity.NOTICE if h.gain else Severity.WARNING
    return Finding(Cause.ENTROPY_COLLAPSE, severity, last, (seen,), advice)


def length_growth(h: History, found: frozenset[Cause]) -> Finding | None:
    """Completions become longer without passing more often."""
    if len(h.measured) < 2 or h.gain or found & {Cause.TRUNCATION, Cause.LR_TOO_HIGH, Cause.DIVERGED}:
        return None
    (first, before), (last, after) = h.measured[0], h.measured[-1]
    if not before.length or after.length < h.options.length_growth * before.length:
        return None
    text = f"{before.length:.0f} tokens per completion after cycle {first}, {after.length:.0f} after cycle {last}"
    seen = Evidence(
        "length", text, (first, last), (before.length, after.length), threshold=h.options.length_growth
    )
    advice = (
        "Check that the reward does not grow with length; use average=constant or token with grpo, length_normalized "
        "with dpo, or selector pairs with max_length_ratio."
    )
    return Finding(Cause.LENGTH_GROWTH, Severity.WARNING, last, (seen,), advice)


def reward_hacking(h: History, found: frozenset[Cause]) -> Finding | None:
    """The reward rises and the pass rate does not: the policy earns it with wrong answers."""
    if found & {Cause.WRONG_PAID, Cause.LEAKY_VERIFIER, Cause.VERIFIER_ERRORS} or h.gain:
        return None
    rewarded = [r for r in h.reports if r.train and r.train.objective != "imitation" and r.sampled]
    if len(rewarded) < 2 or rewarded[-1] is not h.last:
        return None
    first, last = rewarded[0], rewarded[-1]
    rise = last.reward_mean - first.reward_mean
    assert first.sampled is not None
    assert last.sampled is not None
    passes = measures.passed(last.sampled) - measures.passed(first.sampled)
    if rise < h.options.hacked_reward or passes.interval(Z95)[0] > 0 or passes.value > rise / 4:
        return None
    text = (
        f"the mean reward went from {first.reward_mean:.2f} in cycle {first.cycle} to {last.reward_mean:.2f} in cycle "
        f"{last.cycle}, and the pass rate of the same completions from {first.sampled.passed:.1%} to "
        f"{last.sampled.passed:.1%}"
    )
    seen = Evidence(
        "reward-without-passes",
        text,
        (first.cycle, last.cycle),
        (first.reward_mean, last.reward_mean),
        threshold=h.options.hacked_reward,
    )
    advice = "Read completions that fail with a high reward (halo samples), and reward only a pass: --reward binary."
    return Finding(Cause.REWARD_HACKING, Severity.CRITICAL, last.cycle, (seen,), advice)
