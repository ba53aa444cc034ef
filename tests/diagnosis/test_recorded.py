"""Recorded runs of the gcc demo, ordinary or deliberately wrong; tests/data/histories/README.md has their settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from halo_core.types import CycleReport

EXPECTED: dict[str, str | None] = {
    "ordinary": None,
    "ordinary-seed-1": None,
    "ordinary-long": None,
    "one-step": None,
    "rate-5e-2": "learning-rate-too-high",
    "rate-2e-2": "learning-rate-too-high",
    "rate-4e-3": "learning-rate-too-high",
    "rate-5e-3": "learning-rate-too-high",
    "rate-1e-6": "learning-rate-too-low",
    "rate-1e-5": "learning-rate-too-low",
    "warmup-2000": "warmup",
    "wrong-paid": "wrong-paid",
    "tokens-24": "truncation",
    "tokens-14": "truncation",
}
Recorded = Callable[[str], list[CycleReport]]
Found = Callable[..., list[str]]


@pytest.mark.parametrize("name", EXPECTED)
def test_recorded_run_has_the_expected_cause(name: str, recorded: Recorded, found: Found) -> None:
    assert next(iter(found(recorded(name))), None) == EXPECTED[name]


@pytest.mark.parametrize("name", [name for name, cause in EXPECTED.items() if cause is None])
def test_ordinary_run_has_no_findings_after_any_cycle(name: str, recorded: Recorded, found: Found) -> None:
    reports = recorded(name)
    assert not [found(reports[:end]) for end in range(1, len(reports) + 1) if found(reports[:end])]


def test_every_recorded_history_is_tested() -> None:
    names = {path.stem for path in (Path(__file__).parents[1] / "data" / "histories").glob("*.json")}
    assert names == EXPECTED.keys()


def test_legacy_gradient_band_is_optional(recorded: Recorded, found: Found) -> None:
    """The norms of these runs are 0.02 and 0.07; the bands call 0.03 too low and 0.3 too high."""
    assert found(recorded("one-step"), legacy_grad_band=True) == ["learning-rate-too-low"]
    assert not found(recorded("ordinary"), legacy_grad_band=True)
    assert found(recorded("ordinary"), legacy_grad_band=True, legacy_max_grad_norm=0.05) == [
        "learning-rate-too-high"
    ]
