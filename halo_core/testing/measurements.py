"""Measurements of a cycle with given numbers, for tests of policies, plugins and reports."""

from __future__ import annotations

from typing import Any

from halo_core.types import EvalMetrics, TrainStats


def make_metrics(
    passed: float = 0.5, *, half: float = 0.0, samples: int = 100, **changes: Any
) -> EvalMetrics:
    """Return the metrics of `samples` distinct completions of which a share of `passed` passed, and no other is valid.

    Intervals reach `half` to both sides, within 0 and 1. `changes` replace any field.
    """
    interval = (max(0.0, passed - half), min(1.0, passed + half))
    fields: dict[str, Any] = {
        "samples": samples,
        "valid": passed,
        "passed": passed,
        "valid_interval": interval,
        "passed_interval": interval,
        "stages": {},
        "errors": 0,
        "inconclusive": 0,
        "truncated": 0.0,
        "distinct": 1.0,
    }
    return EvalMetrics(**fields | changes)


def make_stats(lr: float = 1e-3, *, steps: int = 4, **changes: Any) -> TrainStats:
    """Return the statistics of a training of `steps` optimizer steps at a constant learning rate of `lr`.

    The loss falls from 1 to 0.5, and no gradient is clipped. `changes` replace any field.
    """
    fields: dict[str, Any] = {
        "lr": lr,
        "steps": steps,
        "samples": 8 * steps,
        "tokens": 400 * steps,
        "loss_first": 1.0,
        "loss_last": 0.5,
        "lr_peak": lr,
        "lr_sum": lr * steps,
        "grad_norm_median": 0.1,
        "clipped_fraction": 0.0,
        "update_norm": 0.1,
    }
    return TrainStats(**fields | changes)
