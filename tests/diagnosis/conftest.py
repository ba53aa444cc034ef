"""Fixtures: recorded histories, and the causes that a diagnosis finds in a history."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from halo_core.types import CycleReport

RECORDED = Path(__file__).parents[1] / "data" / "histories"


@pytest.fixture
def recorded() -> Callable[[str], list[CycleReport]]:
    """Return a function that reads a recorded history: the reports of a run of the gcc demo."""

    def read(name: str) -> list[CycleReport]:
        rows = json.loads((RECORDED / f"{name}.json").read_text())
        return TypeAdapter(list[CycleReport]).validate_python(rows)

    return read


@pytest.fixture
def found() -> Callable[..., list[str]]:
    """Return a function that lists the causes that a diagnosis finds, in order."""
    from halo_core.diagnosis import Thresholds, diagnose

    def causes(reports: list[CycleReport], **options: Any) -> list[str]:
        return [finding.cause.value for finding in diagnose(reports, Thresholds(**options))]

    return causes
