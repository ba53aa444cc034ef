"""Simulated histories of runs with known problems, for testing plugins (a doctor, a gate) and policies.

    reports = simulate("too-high", seed=3)          # the reports of cycles 0, 1, ...
    KINDS["too-high"].cause                         # the cause of the first finding; None: no finding

A kind defines how the hidden state of a run (skill, validity, truncation, entropy, step size) changes from cycle to
cycle, with different numbers for each seed. The reports are sampled from that state: every prompt has its own
difficulty, completions are binomial draws, and intervals are those of the ratio over prompts. The noise is therefore
that of a real run, with one exception: held-out requests of a real run share their random numbers over the cycles,
which makes its comparisons sharper than these. The simulation is not fitted to the rules of `halo_core.diagnosis`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from halo_core.metrics import gini, pass_at
from halo_core.testing.courses import KINDS, Kind, State
from halo_core.types import CycleReport, EvalMetrics, PairedDifference, TrainStats

__all__ = ["KINDS", "Kind", "State", "simulate"]


def simulate(kind: str, seed: int) -> list[CycleReport]:
    """Return the reports of a run of `kind`."""
    definition = KINDS[kind]
    number = list(KINDS).index(kind)
    states = [
        definition.course(cycle, np.random.default_rng([seed, number]))
        for cycle in range(definition.cycles + 1)
    ]
    source = np.random.default_rng([seed, number, 1])
    train, heldout = _Prompts(source, definition.prompts), _Prompts(source, definition.heldout)
    reports: list[CycleReport] = []
    results: list[np.ndarray] = []
    for cycle, state in enumerate(states):
        metrics, passes = heldout.metrics(source, state, definition.samples)
        results.append(passes)
        report = CycleReport(cycle=cycle, heldout=metrics)
        reports.append(_cycle(report, states, train, definition, source, results) if cycle else report)
    return reports


def _cycle(
    report: CycleReport,
    states: Sequence[State],
    train: _Prompts,
    kind: Kind,
    source: np.random.Generator,
    results: Sequence[np.ndarray],
) -> CycleReport:
    """Add the training's part to a report that has held-out metrics."""
    cycle, state = report.cycle, states[report.cycle]
    metrics, passes = train.metrics(source, states[cycle - 1], kind.samples, training=True)
    best = max(range(cycle), key=lambda c: float(results[c][:, 0].sum() / results[c][:, 1].sum()))
    return replace(
        report,
        lr=state.lr,
        sampled=metrics,
        reward_mean=0.3 * metrics.valid + 0.7 * metrics.passed + states[cycle - 1].hacked,
        selected=max(1, round(state.selected * metrics.passed * metrics.samples)),
        selected_prompts=round(state.taught * metrics.prompts),
        train=_training(source, state),
        seconds={"sample": 20.0, "train": 10.0, "heldout": 8.0},
        started_from=cycle - 1,
        kept_gini=gini(passes[:, 0].tolist()) if state.gini is None else state.gini,
        improvement=_change(results[cycle - 1], results[cycle]),
        best=best,
        versus_best=_change(results[best], results[cycle]),
        sampler_error=state.sampler_error,
        sampler_unchecked=state.sampler_unchecked,
        heldout_changed=state.heldout_changed,
    )


class _Prompts:
    """A set of prompts, each with its own difficulty."""

    def __init__(self, source: np.random.Generator, count: int) -> None:
        self.ease = source.standard_normal(count)
        self.brittle = source.standard_normal(count)

    def metrics(
        self, source: np.random.Generator, state: State, samples: int, *, training: bool = False
    ) -> tuple[EvalMetrics, np.ndarray]:
        """Sample every prompt; return the metrics, and the passing and conclusive completions of each prompt."""
        logit = state.skill + state.spread * self.ease
        if training:
            logit = logit + state.memorised * (self.ease > -1.0)
        right = 1 / (1 + np.exp(-logit))
        conclusive = source.binomial(samples, 1 - state.errors, len(logit))
        cut = source.binomial(conclusive, state.truncated)
        runs = source.binomial(conclusive - cut, 1 / (1 + np.exp(-state.valid - 0.8 * self.brittle)))
        passes = source.binomial(runs, right)
        if training and state.trick:
            fooled = source.binomial(conclusive - passes, state.trick)
            passes, runs = passes + fooled, np.maximum(runs, passes + fooled)
        table = np.stack([passes, conclusive], axis=1)
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
        passes, conclusive = table[:, 0], table[:, 1]
        total, lost = int(conclusive.sum()), len(conclusive) * samples - int(conclusive.sum())
        rows = [(int(c), int(n)) for c, n in table if n]
        return EvalMetrics(
            samples=total,
            valid=float(runs.sum() / total),
            passed=float(passes.sum() / total),
            valid_interval=_interval(runs, conclusive),
            passed_interval=_interval(passes, conclusive),
            stages={"correct": int(passes.sum()), "wrong": int((runs - passes).sum())},
            errors=lost - lost // 4,
            inconclusive=lost // 4,
            truncated=float(cut.sum() / total),
            distinct=_jitter(source, state.distinct, total),
            distinct_correct=_jitter(source, state.distinct_correct, int(passes.sum())),
            entropy=state.entropy * float(np.exp(0.03 * source.standard_normal())),
            all_pass=float(np.mean(passes == conclusive)),
            all_fail=float(np.mean(passes == 0)),
            pass_at={str(k): value for k, value in pass_at(rows).items()},
            length=state.length,
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
    """Return the standard error of a ratio of sums over prompts, from the deviation of each prompt."""
    return float(np.sqrt((rest**2).sum()) / counts.sum())


def _jitter(source: np.random.Generator, share: float, count: int) -> float:
    return float(source.binomial(count, share) / count) if count else 0.0


def _training(source: np.random.Generator, state: State) -> TrainStats:
    losses = _losses(source, state) if state.steps else ()
    norms = state.grad_norm * np.exp(0.3 * source.standard_normal(state.steps))
    kl = None if state.kl is None else state.kl * float(np.exp(0.25 * source.standard_normal()))
    norm = 12.0
    return TrainStats(
        lr=state.lr,
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
        objective=state.objective,
        metrics=_statistics(source, state) if state.objective == "policy" else {},
        retries=state.retries,
    )


def _statistics(source: np.random.Generator, state: State) -> dict[str, float]:
    drift, entropy = (
        value * float(np.exp(0.1 * source.standard_normal())) for value in (state.drift, state.policy_entropy)
    )
    return {"ratio": 1.0, "clip_share": 0.02, "kl_to_sampler": drift, "entropy": entropy}


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
