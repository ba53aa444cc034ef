"""Runs of fakes for the commands that work on runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture
def run(halo: Callable[..., Any], fakes: list[str]) -> Callable[..., Any]:
    """`halo run` with fakes on their demo; more flags go over that. Returns what `halo` does."""

    def call(name: str = "run", *flags: object) -> Any:
        answer = halo("run", *fakes, "-n", 2, "--samples", 4, "-o", name, *flags)
        assert answer.code == 0, answer.err
        return answer

    return call


@pytest.fixture
def rows() -> Callable[[Any], list[dict[str, Any]]]:
    """Return what reads the JSON Lines that a command printed."""

    def read(answer: Any) -> list[dict[str, Any]]:
        assert answer.code == 0, answer.err
        return [json.loads(line) for line in answer.out.splitlines()]

    return read
