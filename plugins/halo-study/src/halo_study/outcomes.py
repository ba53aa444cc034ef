"""The outcomes of a run: numbers that arms are compared by.

Most follow from the held-out pass rates by cycle, so they can be computed again for resampled prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from halo_study.results import RunResult

Array = np.ndarray


@dataclass(frozen=True, slots=True)
class Outcome:
    """One outcome, computed from a run for each row of prompt weights."""

    label: str
    of: Callable[[RunResult, Array], Array]
    """(run, weights of shape (draws, prompts)) -> value for each draw."""
    share: bool = True
    """True if it is a share between 0 and 1, or a difference of shares: shown in percent."""
    by_prompt: bool = True
    """True if it depends on the weights of the prompts."""
    better: int = 1
    """1: higher is better; -1: lower is better; 0: neither."""
    change: bool = False
    """True if 0 means no change, so that one arm alone can be compared with 0."""


def curves(run: RunResult, weights: Array) -> Array:
    """Return the held-out pass rate by cycle, of shape (draws, cycles + 1), for each row of `weights`.

    A cycle that the run did not reach, because its training failed, has the rate of the last one that it did.
    """
    return _rates(run.passes, run.verdicts, weights)


def _rates(passes: Array, verdicts: Array, weights: Array) -> Array:
    rates: Array = (weights @ passes.T) / np.maximum(weights @ verdicts.T, 1)
    return rates


def _final(run: RunResult, weights: Array) -> Array:
    return _rates(run.passes[-1:], run.verdicts[-1:], weights)[:, 0]


def _peak(run: RunResult, weights: Array) -> Array:
    found: Array = curves(run, weights).max(axis=1)
    return found


def _peak_cycle(run: RunResult, weights: Array) -> Array:
    found: Array = curves(run, weights).argmax(axis=1).astype(float)
    return found


def _drop(run: RunResult, weights: Array) -> Array:
    found: Array = _peak(run, weights) - _final(run, weights)
    return found


def _area(run: RunResult, weights: Array) -> Array:
    found: Array = curves(run, weights)[:, 1:].mean(axis=1)
    return found


def _late(run: RunResult, weights: Array) -> Array:
    rates = curves(run, weights)[:, 1:]
    found: Array = rates[:, -max(1, rates.shape[1] // 3) :].mean(axis=1)
    return found


def _gain(run: RunResult, weights: Array) -> Array:
    rates = curves(run, weights)
    found: Array = rates[:, -1] - rates[:, 0]
    return found


def _late_change(run: RunResult, weights: Array) -> Array:
    """Mean of the last third of the cycles minus the middle third; unlike `drop` it has no bias from a maximum."""
    rates = curves(run, weights)[:, 1:]
    third = max(1, rates.shape[1] // 3)
    found: Array = rates[:, -third:].mean(axis=1) - rates[:, -2 * third : -third].mean(axis=1)
    return found


def _pass_at_k(run: RunResult, weights: Array) -> Array:
    """pass@k of the last cycle, with k the completions of a prompt: the share of prompts with a pass.

    A prompt with an inconclusive completion is left out, so that k is the same in all runs.
    """
    totals = run.verdicts[-1]
    complete = totals == totals.max()
    rates: Array = (weights @ (complete & (run.passes[-1] > 0))) / np.maximum(weights @ complete, 1)
    return rates


def _column(name: str, *, last: bool = False) -> Callable[[RunResult, Array], Array]:
    def of(run: RunResult, weights: Array) -> Array:
        column = run.columns[name]
        return np.full(len(weights), column[-1] if last else np.nansum(column))

    return of


def _cycles(run: RunResult, weights: Array) -> Array:
    return np.full(len(weights), float(np.isfinite(run.columns["lr_sum"]).sum()))


OUTCOMES: Mapping[str, Outcome] = {
    "final": Outcome("held-out pass rate after the last cycle", _final),
    "peak": Outcome("highest held-out pass rate", _peak),
    "peak_cycle": Outcome("cycle of the highest pass rate", _peak_cycle, share=False, better=0),
    "drop": Outcome("fall from the peak to the last cycle", _drop, better=-1),
    "area": Outcome("mean held-out pass rate of all cycles", _area),
    "late": Outcome("mean held-out pass rate of the last third of the cycles", _late),
    "gain": Outcome("change from before training to the last cycle", _gain, change=True),
    "late_change": Outcome(
        "change from the middle third of the cycles to the last third", _late_change, change=True
    ),
    "pass_at_k": Outcome("held-out pass@k after the last cycle, k: all completions of a prompt", _pass_at_k),
    "diversity": Outcome(
        "distinct among the passing training samples, last cycle",
        _column("diversity", last=True),
        by_prompt=False,
    ),
    "lr_sum": Outcome("summed learning rate", _column("lr_sum"), share=False, by_prompt=False, better=0),
    "tokens": Outcome("tokens sampled", _column("tokens"), share=False, by_prompt=False, better=-1),
    "trained_cycles": Outcome(
        "cycles trained before the run ended", _cycles, share=False, by_prompt=False, better=0
    ),
    "seconds": Outcome("seconds", _column("seconds"), share=False, by_prompt=False, better=-1),
}
"""By name, as the study file names them."""


def value_of(run: RunResult, outcome: str) -> float:
    """Return an outcome of a run, all prompts weighted equally."""
    return float(OUTCOMES[outcome].of(run, np.ones((1, run.passes.shape[1])))[0])
