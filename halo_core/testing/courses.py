"""The kinds of run that `halo_core.testing.histories` simulates: how the hidden state of each changes by cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from halo_core.diagnosis import Cause


@dataclass(frozen=True, slots=True)
class State:
    """The hidden state of one cycle: the model after it, and its training. Healthy by default."""

    skill: float = 0.0
    """Log-odds that a valid completion of a prompt of medium difficulty passes."""
    valid: float = 1.2
    """Log-odds that a completion is valid."""
    memorised: float = 0.0
    """Added to the skill on training prompts that were solvable from the start."""
    trick: float = 0.0
    """Share of the completions of training prompts that pass by fooling their verifier."""
    truncated: float = 0.01
    errors: float = 0.0
    """Share without a verdict of pass or fail."""
    entropy: float = 0.4
    distinct: float = 0.95
    distinct_correct: float = 0.9
    spread: float = 1.2
    """Standard deviation of the prompts' difficulty, in log-odds."""
    lr: float = 5e-5
    reached: float = 1.0
    """Share of the learning rate that the steps reach."""
    retries: int = 0
    """Divergences before the cycle succeeded; `lr` is the learning rate of the successful training."""
    steps: int = 24
    kl: float | None = 0.02
    update: float = 0.2
    """Change of the weights relative to their norm."""
    loss: str = "settling"
    """settling, flat, rising, alternating, spike, nan or none."""
    loss_noise: float = 0.08
    clipped: float = 0.1
    grad_norm: float = 0.15
    selected: float = 0.9
    """Sequences selected, relative to those that passed."""
    gini: float | None = None
    objective: Literal["imitation", "preference", "policy"] = "imitation"
    drift: float = 0.004
    """Divergence of the policy from the one that sampled, nats per token; for a policy."""
    policy_entropy: float = 0.4
    """Entropy of the policy in training, nats per token; for a policy."""
    taught: float = 1.0
    """Share of the prompts that are trained on."""
    length: float = 40.0
    """Mean tokens of a completion."""
    hacked: float = 0.0
    """Mean reward earned by completions that do not pass."""
    sampler_error: float | None = 1e-4
    sampler_unchecked: bool = False
    heldout_changed: float | None = 0.4


Course = Callable[[int, np.random.Generator], State]
"""Returns the state of a cycle. Called once for each cycle, with an identically seeded generator each time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of run: its cause, its course and its size."""

    cause: Cause | None
    course: Course
    cycles: int = 8
    prompts: int = 64
    heldout: int = 128
    samples: int = 8


def _ramp(first: float, last: float, cycle: int, over: float) -> float:
    """Return the value at `cycle` of an exponential approach from `first` to `last` with time constant `over`."""
    return last + (first - last) * float(np.exp(-cycle / over))


def _learning(cycle: int, rng: np.random.Generator) -> State:
    """Learn at a pace that depends on the seed."""
    gain, pace = rng.uniform(0.8, 1.6), rng.uniform(1.5, 3.0)
    start, entropy = rng.uniform(-1.0, 0.0), rng.uniform(0.25, 0.8)
    return State(
        skill=_ramp(start, start + gain, cycle, pace),
        valid=_ramp(rng.uniform(0.3, 1.5), 2.2, cycle, pace),
        truncated=rng.uniform(0.0, 0.03),
        entropy=_ramp(entropy, rng.uniform(0.75, 0.95) * entropy, cycle, 3.0),
        distinct=_ramp(0.97, 0.9, cycle, 3.0),
        distinct_correct=_ramp(0.95, rng.uniform(0.75, 0.9), cycle, 3.0),
        steps=int(rng.integers(14, 60)),
        kl=float(rng.uniform(0.004, 0.02)) * _ramp(1.0, 0.6, cycle, 3.0),
        update=float(rng.uniform(0.1, 0.5)),
        loss_noise=float(rng.uniform(0.05, 0.15)),
    )


def _level(cycle: int, rng: np.random.Generator) -> State:
    """Stay at a level that depends on the seed, with steps of ordinary size."""
    return replace(_learning(0, rng), skill=float(rng.uniform(-0.8, 0.6)))


def _healthy(**changes: object) -> Course:
    return lambda cycle, rng: replace(_learning(cycle, rng), **changes)  # type: ignore[arg-type]


def _unchecked(**changes: object) -> Course:
    return lambda cycle, rng: replace(
        _learning(cycle, rng),
        sampler_error=None,
        sampler_unchecked=True,
        **changes,  # type: ignore[arg-type]
    )


def _decayed(cycle: int, rng: np.random.Generator) -> State:
    state, factor = _learning(cycle, rng), rng.uniform(0.5, 0.7) ** cycle
    return replace(state, lr=5e-5 * factor, kl=(state.kl or 0.0) * factor**2, update=state.update * factor)


def _collapsing(cycle: int, rng: np.random.Generator) -> State:
    state = _level(cycle, rng)
    depth = rng.uniform(1.5, 3.0) * min(cycle, 2)
    return replace(
        state,
        skill=state.skill - depth,
        valid=state.valid - depth,
        kl=float(rng.uniform(0.5, 4.0)),
        update=float(rng.uniform(0.8, 5.0)),
        entropy=state.entropy * (1 + 0.5 * cycle),
        clipped=float(rng.uniform(0.3, 1.0)),
    )


def _rise_and_fall(cycle: int, rng: np.random.Generator) -> State:
    """Learn for some cycles, then decline because the steps have become too large."""
    peak, slope = int(rng.integers(2, 5)), rng.uniform(0.35, 0.6)
    state, late = _learning(min(cycle, peak), rng), max(0, cycle - peak)
    kl = float(rng.uniform(0.04, 0.08)) * (1 + 1.5 * late) * float(rng.uniform(1.5, 2.5))
    return replace(
        state, skill=state.skill - slope * late, valid=state.valid - slope * late, kl=kl, update=1.5
    )


def _repetitive(cycle: int, rng: np.random.Generator) -> State:
    state = _rise_and_fall(cycle, rng)
    return replace(
        state, distinct=_ramp(0.97, 0.2, cycle, 2.0), distinct_correct=_ramp(0.9, 0.1, cycle, 2.0), kl=0.5
    )


def _unstable(loss: str) -> Course:
    def course(cycle: int, rng: np.random.Generator) -> State:
        state = _learning(min(cycle, 2), rng)
        when = int(rng.integers(2, 5))
        return replace(state, loss=loss, kl=(state.kl or 0) * 4) if cycle >= when else state

    return course


def _in_one_cycle(loss: str) -> Course:
    def course(cycle: int, rng: np.random.Generator) -> State:
        state, when = _learning(cycle, rng), int(rng.integers(3, 8))
        fall = float(rng.uniform(0.1, 0.6))
        hurt = replace(state, skill=state.skill - fall, loss=loss)
        return hurt if cycle == when else state

    return course


def _too_low(cycle: int, rng: np.random.Generator) -> State:
    state, kl = _level(cycle, rng), float(10 ** rng.uniform(-8, -4))
    return replace(state, kl=kl, update=1e-3 * float(rng.uniform(0.1, 5)), loss="flat", lr=1e-6)


def _slow(cycle: int, rng: np.random.Generator) -> State:
    state = _too_low(cycle, rng)
    return replace(state, skill=state.skill + 0.01 * cycle, kl=float(rng.uniform(1e-5, 5e-4)))


def _unmeasured(course: Course) -> Course:
    """Leave out the measurements that old reports and other trainers lack."""

    def unmeasured(cycle: int, rng: np.random.Generator) -> State:
        return replace(course(cycle, rng), kl=None, sampler_error=None)

    return unmeasured


def _barely_moving(**changes: object) -> Course:
    def course(cycle: int, rng: np.random.Generator) -> State:
        return replace(_level(cycle, rng), kl=float(10 ** rng.uniform(-6, -3.3)), **changes)  # type: ignore[arg-type]

    return course


def _without_update(**changes: object) -> Course:
    return lambda cycle, rng: replace(_level(cycle, rng), kl=0.0, **changes)  # type: ignore[arg-type]


def _wrong_paid(cycle: int, rng: np.random.Generator) -> State:
    """The valid rate keeps rising; skill rises, then falls as more wrong completions are trained on."""
    peak, slope = int(rng.integers(2, 5)), rng.uniform(0.25, 0.4)
    state = _learning(min(cycle, peak), rng)
    skill = state.skill - slope * max(0, cycle - peak)
    start = rng.uniform(-0.2, 0.5)
    return replace(state, skill=skill, valid=start + 0.22 * cycle, kl=0.06, selected=1.4)


def _wrong_paid_early(cycle: int, rng: np.random.Generator) -> State:
    state = _level(cycle, rng)
    return replace(state, valid=-0.3 + 0.35 * cycle, skill=state.skill - 0.2 * cycle, selected=1.4)


def _leaky(cycle: int, rng: np.random.Generator) -> State:
    state, when = _learning(min(cycle, 2), rng), int(rng.integers(2, 4))
    trick = 1 - float(np.exp(-rng.uniform(0.25, 0.5) * max(0, cycle - when + 1)))
    skill = state.skill - 0.08 * max(0, cycle - 2)
    return replace(state, skill=skill, trick=trick, distinct_correct=_ramp(0.9, 0.7, cycle, 3.0))


def _memorised(cycle: int, rng: np.random.Generator) -> State:
    state = _level(cycle, rng)
    return replace(state, memorised=_ramp(0.0, rng.uniform(2.5, 4.0), cycle, 3.0), spread=1.8)


def _at_token_limit(cycle: int, rng: np.random.Generator) -> State:
    return replace(_level(cycle, rng), truncated=float(rng.uniform(0.2, 0.6)))


def _endless(cycle: int, rng: np.random.Generator) -> State:
    state = _learning(min(cycle, 3), rng)
    return replace(state, truncated=min(0.9, 0.02 + rng.uniform(0.05, 0.12) * cycle))


def _narrowing(cycle: int, rng: np.random.Generator) -> State:
    state, spread = _learning(min(cycle, 3), rng), _ramp(1.2, rng.uniform(4.5, 6.0), cycle, 4.0)
    return replace(
        state,
        entropy=_ramp(0.4, rng.uniform(0.02, 0.1), cycle, 3.0),
        distinct=_ramp(0.95, 0.55, cycle, 3.0),
        distinct_correct=_ramp(0.92, rng.uniform(0.1, 0.35), cycle, 3.0),
        spread=spread,
        kl=0.03,
    )


def _exhausted(cycle: int, rng: np.random.Generator) -> State:
    state = _level(cycle, rng)
    return replace(state, valid=5.0, skill=_ramp(2.6, 3.0, cycle, 1.0), memorised=3.0, spread=0.8, kl=0.005)


def _too_hard(cycle: int, rng: np.random.Generator) -> State:
    return replace(_level(cycle, rng), skill=-6.5 + float(rng.uniform(-0.5, 0.5)), spread=1.5, kl=0.01)


def _failing(rising: bool) -> Course:
    def course(cycle: int, rng: np.random.Generator) -> State:
        share = rng.uniform(0.06, 0.3)
        return replace(_learning(cycle, rng), errors=share * cycle / 8 if rising else share)

    return course


def _ceiling(cycle: int, rng: np.random.Generator) -> State:
    state = _learning(cycle, rng)
    return replace(state, skill=_ramp(2.0, 6.0, cycle, 1.0), valid=_ramp(3.0, 7.0, cycle, 1.0))


def _declining(cycle: int, rng: np.random.Generator) -> State:
    """Decline although the steps and everything else are ordinary."""
    peak, slope = int(rng.integers(2, 5)), rng.uniform(0.25, 0.5)
    state = _learning(min(cycle, peak), rng)
    late = slope * max(0, cycle - peak)
    return replace(state, skill=state.skill - late, valid=state.valid - late / 2)


def _policy(base: Course, change: Callable[[int], dict[str, Any]] = lambda cycle: {}) -> Course:
    """Return the course of a policy gradient, with what `change` returns for each cycle."""
    return lambda cycle, rng: replace(base(cycle, rng), objective="policy", **change(cycle))


KINDS: Mapping[str, Kind] = {
    "healthy": Kind(None, _learning),
    "healthy-long": Kind(None, _learning, cycles=16),
    "healthy-noisy": Kind(None, _learning, prompts=24, heldout=24, samples=4),
    "healthy-fast": Kind(None, _healthy(kl=0.07, update=0.6)),
    "healthy-clipped": Kind(None, _healthy(clipped=0.95, grad_norm=0.6)),
    "healthy-flat-loss": Kind(None, _healthy(loss="flat")),
    "healthy-noisy-loss": Kind(None, _healthy(loss="flat", loss_noise=0.45)),
    "healthy-few-steps": Kind(None, _healthy(steps=5)),
    "healthy-decayed": Kind(None, _decayed, cycles=10),
    "healthy-unmeasured": Kind(None, _unmeasured(_healthy(loss="none"))),
    "level": Kind(None, _level),
    "level-long": Kind(None, _level, cycles=20),
    "level-noisy": Kind(None, _level, prompts=24, heldout=24, samples=4, cycles=12),
    "too-high": Kind(Cause.LR_TOO_HIGH, _collapsing, cycles=3),
    "too-high-unmeasured": Kind(Cause.LR_TOO_HIGH, _unmeasured(_collapsing), cycles=3),
    "too-high-late": Kind(Cause.LR_TOO_HIGH, _rise_and_fall, cycles=10),
    "divergence": Kind(Cause.LR_TOO_HIGH, _unstable("rising")),
    "oscillation": Kind(Cause.LR_TOO_HIGH, _unstable("alternating")),
    "retried": Kind(Cause.LR_TOO_HIGH, _healthy(lr=5e-6, retries=1)),
    "repetition": Kind(Cause.LR_TOO_HIGH, _repetitive, cycles=10),
    "nan": Kind(Cause.DIVERGED, _in_one_cycle("nan")),
    "spike": Kind(Cause.SPIKE, _in_one_cycle("spike")),
    "too-low": Kind(Cause.LR_TOO_LOW, _too_low),
    "too-low-slow": Kind(Cause.LR_TOO_LOW, _slow, cycles=10),
    "too-low-unmeasured": Kind(Cause.LR_TOO_LOW, _unmeasured(_too_low)),
    "zero-rate": Kind(Cause.NO_UPDATE, _without_update(reached=0.0, update=0.0)),
    "frozen": Kind(Cause.NO_UPDATE, _without_update(update=0.0)),
    "no-steps": Kind(Cause.NO_UPDATE, _without_update(steps=0, update=0.0)),
    "warmup": Kind(Cause.WARMUP, _barely_moving(steps=8, reached=0.2)),
    "few-steps": Kind(Cause.TOO_FEW_STEPS, _barely_moving(steps=2)),
    "stale-sampler": Kind(Cause.STALE_SAMPLER, lambda c, rng: replace(_level(c, rng), sampler_error=0.4)),
    "ignored-training": Kind(Cause.STALE_SAMPLER, _unchecked(heldout_changed=0.0)),
    "unchecked-sampler": Kind(Cause.UNCHECKED_SAMPLER, _unchecked()),
    "wrong-paid": Kind(Cause.WRONG_PAID, _wrong_paid, cycles=12),
    "wrong-paid-early": Kind(Cause.WRONG_PAID, _wrong_paid_early),
    "leaky": Kind(Cause.LEAKY_VERIFIER, _leaky, cycles=10),
    "memorised": Kind(Cause.PROMPT_REUSE, _memorised),
    "token-limit": Kind(Cause.TRUNCATION, _at_token_limit),
    "endless": Kind(Cause.TRUNCATION, _endless),
    "narrowing": Kind(Cause.NARROWING, _narrowing, cycles=10),
    "exhausted": Kind(Cause.PROMPTS_EXHAUSTED, _exhausted),
    "too-hard": Kind(Cause.PROMPTS_TOO_HARD, _too_hard),
    "verifier-errors": Kind(Cause.VERIFIER_ERRORS, _failing(rising=False)),
    "verifier-failing": Kind(Cause.VERIFIER_ERRORS, _failing(rising=True)),
    "ceiling": Kind(Cause.CEILING, _ceiling),
    "plateau": Kind(Cause.PLATEAU, _level, heldout=1500, samples=16),
    "decline": Kind(Cause.REGRESSION, _declining, cycles=10),
    "healthy-policy": Kind(None, _policy(_learning)),
    "policy-drift": Kind(Cause.POLICY_DRIFT, _policy(_learning, lambda cycle: {"drift": 0.3})),
    "equal-groups": Kind(Cause.EQUAL_GROUPS, _policy(_learning, lambda cycle: {"taught": 0.1})),
    "entropy-collapse": Kind(
        Cause.ENTROPY_COLLAPSE,
        _policy(_level, lambda cycle: {"policy_entropy": _ramp(0.4, 0.02, cycle, 2.0)}),
    ),
    "longer": Kind(Cause.LENGTH_GROWTH, _policy(_level, lambda cycle: {"length": 40 * 1.12**cycle})),
    "hacked": Kind(Cause.REWARD_HACKING, _policy(_level, lambda cycle: {"hacked": 0.03 * cycle})),
    "failures-selected": Kind(Cause.FAILURES_SELECTED, _healthy(selected=1.4)),
}
"""Every kind by name."""
