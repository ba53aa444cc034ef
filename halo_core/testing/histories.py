"""Simulated histories of runs whose trouble is known: what a doctor, a gate or a policy can be tried on.

    reports = simulate("too-high", seed=3)          # the reports of cycles 0, 1, ...
    KINDS["too-high"].cause                         # what a diagnosis should name first; None: nothing

A kind says how the run's hidden state (skill, validity, truncation, entropy, size of the steps) moves from cycle to
cycle, with its numbers drawn anew for each seed. What the reports hold is sampled from it: every prompt has a
difficulty of its own, completions are binomial draws, intervals are those of the ratio over prompts. So the noise is
that of a real run, but for one thing: held-out rounds of a real run share their random numbers over the cycles, which
makes its comparisons sharper than these. None of it is fitted to the rules of `halo_core.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from halo_core.diagnosis import Cause
from halo_core.metrics import gini, pass_at
from halo_core.types import CycleReport, EvalMetrics, PairedDifference, TrainStats


@dataclass(frozen=True, slots=True)
class State:
    """What is hidden behind one cycle: the model after it, and how it was trained. Healthy by default."""

    skill: float = 0.0
    """Log-odds that a valid completion of a prompt of middling difficulty passes."""
    valid: float = 1.2
    """Log-odds that a completion is valid."""
    heart: float = 0.0
    """What is added to the skill on training prompts that were solvable from the start."""
    trick: float = 0.0
    """Share of the completions of training prompts that pass by fooling their verifier."""
    truncated: float = 0.01
    errors: float = 0.0
    """Share without a verdict."""
    entropy: float = 0.4
    distinct: float = 0.95
    distinct_correct: float = 0.9
    spread: float = 1.2
    """Standard deviation of the prompts' difficulty, in log-odds."""
    lr: float = 5e-5
    reached: float = 1.0
    """Share of the rate that the steps reach."""
    retries: int = 0
    """How often the cycle diverged first; `lr` is what it was trained at in the end."""
    steps: int = 24
    kl: float | None = 0.02
    update: float = 0.2
    """Change of the weights relative to their norm; 0: none."""
    loss: str = "settling"
    """settling, flat, rising, alternating, spike, nan or none."""
    loss_noise: float = 0.08
    clipped: float = 0.1
    grad_norm: float = 0.15
    selected: float = 0.9
    """Sequences selected, relative to those that passed."""
    gini: float | None = None
    sampler_error: float | None = 1e-4


Course = Callable[[int, np.random.Generator], State]
"""From a cycle to its state. Called once for each cycle, with a generator that begins anew each time."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A way for a run to go."""

    cause: Cause | None
    course: Course
    cycles: int = 8
    prompts: int = 64
    heldout: int = 128
    samples: int = 8


def simulate(kind: str, seed: int) -> list[CycleReport]:
    """Return the reports of a run of `kind`."""
    what = KINDS[kind]
    number = list(KINDS).index(kind)
    states = [what.course(cycle, np.random.default_rng([seed, number])) for cycle in range(what.cycles + 1)]
    source = np.random.default_rng([seed, number, 1])
    train, held = _Prompts(source, what.prompts), _Prompts(source, what.heldout)
    reports: list[CycleReport] = []
    results: list[np.ndarray] = []
    for cycle, state in enumerate(states):
        rates, passes = held.rates(source, state, what.samples)
        results.append(passes)
        report = CycleReport(cycle=cycle, heldout=rates)
        reports.append(_cycle(report, states, train, what, source, results) if cycle else report)
    return reports


def _cycle(
    report: CycleReport,
    states: Sequence[State],
    train: _Prompts,
    kind: Kind,
    source: np.random.Generator,
    results: Sequence[np.ndarray],
) -> CycleReport:
    """Add to a report with held-out rates what training leaves there."""
    cycle, state = report.cycle, states[report.cycle]
    rates, passes = train.rates(source, states[cycle - 1], kind.samples, training=True)
    best = max(range(cycle), key=lambda c: float(results[c][:, 0].sum() / results[c][:, 1].sum()))
    return replace(
        report,
        lr=state.lr,
        sampled=rates,
        reward_mean=0.3 * rates.valid + 0.7 * rates.passed,
        selected=max(1, round(state.selected * rates.passed * rates.samples)),
        train=_training(source, state),
        seconds={"sample": 20.0, "train": 10.0, "heldout": 8.0},
        started_from=cycle - 1,
        kept_gini=gini(passes[:, 0].tolist()) if state.gini is None else state.gini,
        improvement=_change(results[cycle - 1], results[cycle]),
        best=best,
        versus_best=_change(results[best], results[cycle]),
        sampler_error=state.sampler_error,
    )


class _Prompts:
    """A set of prompts, each with its difficulty."""

    def __init__(self, source: np.random.Generator, count: int) -> None:
        self.ease = source.standard_normal(count)
        self.brittle = source.standard_normal(count)

    def rates(
        self, source: np.random.Generator, state: State, samples: int, *, training: bool = False
    ) -> tuple[EvalMetrics, np.ndarray]:
        """Sample every prompt; return the rates, and passes and judged completions by prompt."""
        logit = state.skill + state.spread * self.ease
        if training:
            logit = logit + state.heart * (self.ease > -1.0)
        right = 1 / (1 + np.exp(-logit))
        judged = source.binomial(samples, 1 - state.errors, len(logit))
        cut = source.binomial(judged, state.truncated)
        runs = source.binomial(judged - cut, 1 / (1 + np.exp(-state.valid - 0.8 * self.brittle)))
        passes = source.binomial(runs, right)
        if training and state.trick:
            fooled = source.binomial(judged - passes, state.trick)
            passes, runs = passes + fooled, np.maximum(runs, passes + fooled)
        table = np.stack([passes, judged], axis=1)
        return self._summed(source, state, table, runs, cut, samples), table

    def _summed(
        self,
        source: np.random.Generator,
        state: State,
        table: np.ndarray,
        runs: np.ndarray,
        cut: np.ndarray,
        samples: int,
    ) -> EvalMetrics:
        passes, judged = table[:, 0], table[:, 1]
        total, lost = int(judged.sum()), len(judged) * samples - int(judged.sum())
        rows = [(int(c), int(n)) for c, n in table if n]
        return EvalMetrics(
            samples=total,
            valid=float(runs.sum() / total),
            passed=float(passes.sum() / total),
            valid_interval=_interval(runs, judged),
            passed_interval=_interval(passes, judged),
            stages={"correct": int(passes.sum()), "wrong": int((runs - passes).sum())},
            errors=lost - lost // 4,
            inconclusive=lost // 4,
            truncated=float(cut.sum() / total),
            distinct=_jitter(source, state.distinct, total),
            distinct_correct=_jitter(source, state.distinct_correct, int(passes.sum())),
            entropy=state.entropy * float(np.exp(0.03 * source.standard_normal())),
            all_pass=float(np.mean(passes == judged)),
            all_fail=float(np.mean(passes == 0)),
            pass_at={str(k): value for k, value in pass_at(rows).items()},
            prompts=len(rows),
        )


def _interval(hits: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    share = hits.sum() / counts.sum()
    half = 1.96 * _error(hits - share * counts, counts)
    return (max(0.0, float(share - half)), min(1.0, float(share + half)))


def _change(before: np.ndarray, after: np.ndarray) -> PairedDifference:
    first, last = (table[:, 0].sum() / table[:, 1].sum() for table in (before, after))
    rest = (after[:, 0] - last * after[:, 1]) - (before[:, 0] - first * before[:, 1])
    half = 1.96 * _error(rest, after[:, 1])
    gain = float(last - first)
    return PairedDifference(float(first), float(last), gain, (gain - half, gain + half))


def _error(rest: np.ndarray, counts: np.ndarray) -> float:
    """Standard error of a ratio of sums over prompts, from what each prompt deviates by."""
    return float(np.sqrt((rest**2).sum()) / counts.sum())


def _jitter(source: np.random.Generator, share: float, count: int) -> float:
    return float(source.binomial(count, share) / count) if count else 0.0


def _training(source: np.random.Generator, state: State) -> TrainStats:
    losses = _losses(source, state) if state.steps else ()
    norms = state.grad_norm * np.exp(0.3 * source.standard_normal(state.steps))
    kl = None if state.kl is None else state.kl * float(np.exp(0.25 * source.standard_normal()))
    norm = 12.0
    return TrainStats(
        lr=state.lr * state.reached,
        steps=state.steps,
        samples=state.steps * 16,
        tokens=state.steps * 16 * 40,
        loss_first=losses[0] if losses else 0.0,
        loss_last=losses[-1] if losses else 0.0,
        lr_peak=state.lr * state.reached,
        lr_sum=state.lr * state.reached * state.steps,
        grad_norm_median=float(np.median(norms)) if state.steps else 0.0,
        clipped_fraction=state.clipped,
        update_norm=norm * state.update * float(np.exp(0.1 * source.standard_normal())),
        weight_norm=norm if state.loss != "none" else 0.0,
        kl=kl,
        losses=losses if state.loss != "none" else (),
        grad_norms=tuple(norms.tolist()) if state.loss != "none" else (),
        retries=state.retries,
    )


def _losses(source: np.random.Generator, state: State) -> tuple[float, ...]:
    place = np.arange(state.steps) / max(1, state.steps - 1)
    shape = {
        "settling": 1 - 0.15 * place,
        "rising": 0.8 + 1.2 * place**1.5,
        "alternating": 1 + 0.45 * (-1.0) ** np.arange(state.steps),
    }.get(state.loss, np.ones(state.steps))
    losses = 0.6 * state.entropy * shape * np.exp(state.loss_noise * source.standard_normal(state.steps))
    if state.loss in ("spike", "nan"):
        where = int(source.integers(state.steps // 2, state.steps - 2))
        losses[where] = float("nan") if state.loss == "nan" else losses[where] * source.uniform(4, 12)
    return tuple(losses.tolist())


def _ramp(first: float, last: float, cycle: int, over: float) -> float:
    """Go from `first` to `last`, most of the way in the first `over` cycles."""
    return last + (first - last) * float(np.exp(-cycle / over))


def _learning(cycle: int, rng: np.random.Generator) -> State:
    """Learn as a run should, at this seed's own pace."""
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
        kl=float(rng.uniform(0.008, 0.05)) * _ramp(1.0, 0.6, cycle, 3.0),
        update=float(rng.uniform(0.1, 0.5)),
        loss_noise=float(rng.uniform(0.05, 0.15)),
    )


def _level(cycle: int, rng: np.random.Generator) -> State:
    """Stay where it is, at this seed's own level, with steps of an ordinary size."""
    return replace(_learning(0, rng), skill=float(rng.uniform(-0.8, 0.6)))


def _healthy(**changes: object) -> Course:
    return lambda cycle, rng: replace(_learning(cycle, rng), **changes)  # type: ignore[arg-type]


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
    """Learn for some cycles, then be driven off by steps that have become too large."""
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


def _once(loss: str) -> Course:
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
    """Leave out what old reports and other trainers do not tell."""

    def without(cycle: int, rng: np.random.Generator) -> State:
        return replace(course(cycle, rng), kl=None, sampler_error=None)

    return without


def _still(**changes: object) -> Course:
    def course(cycle: int, rng: np.random.Generator) -> State:
        return replace(_level(cycle, rng), kl=float(10 ** rng.uniform(-6, -3.3)), **changes)  # type: ignore[arg-type]

    return course


def _idle(**changes: object) -> Course:
    return lambda cycle, rng: replace(_level(cycle, rng), kl=0.0, **changes)  # type: ignore[arg-type]


def _wrong_paid(cycle: int, rng: np.random.Generator) -> State:
    """Validity grows for ever; skill grows, then falls as wrong programs crowd in."""
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


def _by_heart(cycle: int, rng: np.random.Generator) -> State:
    state = _level(cycle, rng)
    return replace(state, heart=_ramp(0.0, rng.uniform(2.5, 4.0), cycle, 3.0), spread=1.8)


def _short(cycle: int, rng: np.random.Generator) -> State:
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
    return replace(state, valid=5.0, skill=_ramp(2.6, 3.0, cycle, 1.0), heart=3.0, spread=0.8, kl=0.005)


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


def _drifting_off(cycle: int, rng: np.random.Generator) -> State:
    """Decline while the steps are ordinary and everything else is in order."""
    peak, slope = int(rng.integers(2, 5)), rng.uniform(0.25, 0.5)
    state = _learning(min(cycle, peak), rng)
    late = slope * max(0, cycle - peak)
    return replace(state, skill=state.skill - late, valid=state.valid - late / 2)


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
    "nan": Kind(Cause.DIVERGED, _once("nan")),
    "spike": Kind(Cause.SPIKE, _once("spike")),
    "too-low": Kind(Cause.LR_TOO_LOW, _too_low),
    "too-low-slow": Kind(Cause.LR_TOO_LOW, _slow, cycles=10),
    "too-low-unmeasured": Kind(Cause.LR_TOO_LOW, _unmeasured(_too_low)),
    "zero-rate": Kind(Cause.NO_UPDATE, _idle(reached=0.0, update=0.0)),
    "frozen": Kind(Cause.NO_UPDATE, _idle(update=0.0)),
    "no-steps": Kind(Cause.NO_UPDATE, _idle(steps=0, update=0.0)),
    "warmup": Kind(Cause.WARMUP, _still(steps=8, reached=0.2)),
    "few-steps": Kind(Cause.TOO_FEW_STEPS, _still(steps=2)),
    "stale-sampler": Kind(Cause.STALE_SAMPLER, lambda c, rng: replace(_level(c, rng), sampler_error=0.4)),
    "wrong-paid": Kind(Cause.WRONG_PAID, _wrong_paid, cycles=12),
    "wrong-paid-early": Kind(Cause.WRONG_PAID, _wrong_paid_early),
    "leaky": Kind(Cause.LEAKY_VERIFIER, _leaky, cycles=10),
    "by-heart": Kind(Cause.PROMPT_REUSE, _by_heart),
    "token-limit": Kind(Cause.TRUNCATION, _short),
    "endless": Kind(Cause.TRUNCATION, _endless),
    "narrowing": Kind(Cause.NARROWING, _narrowing, cycles=10),
    "exhausted": Kind(Cause.PROMPTS_EXHAUSTED, _exhausted),
    "too-hard": Kind(Cause.PROMPTS_TOO_HARD, _too_hard),
    "verifier-errors": Kind(Cause.VERIFIER_ERRORS, _failing(rising=False)),
    "verifier-failing": Kind(Cause.VERIFIER_ERRORS, _failing(rising=True)),
    "ceiling": Kind(Cause.CEILING, _ceiling),
    "plateau": Kind(Cause.PLATEAU, _level, heldout=1500, samples=16),
    "decline": Kind(Cause.REGRESSION, _drifting_off, cycles=10),
}
"""Every kind by name."""
