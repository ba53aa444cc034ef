"""Runs of fake drivers, for the commands that read runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def run(halo: Callable[..., Any], fakes: list[str]) -> Callable[..., Any]:
    """Call `halo run` with fake drivers on their demo and any further flags; return the answer."""

    def call(name: str = "run", *flags: object) -> Any:
        answer = halo("run", *fakes, "-n", 2, "--samples", 4, "-o", name, *flags)
        assert answer.code == 0, answer.err
        return answer

    return call


@pytest.fixture
def rows() -> Callable[[Any], list[dict[str, Any]]]:
    """Return a function that parses the JSON Lines of an answer."""

    def read(answer: Any) -> list[dict[str, Any]]:
        assert answer.code == 0, answer.err
        return [json.loads(line) for line in answer.out.splitlines()]

    return read


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    """20 prompts in a file."""
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"id": n, "prompt": f"task {n}"}) + "\n" for n in range(20)))
    return path


@pytest.fixture
def run_prompts(halo: Callable[..., Any], fakes: list[str], prompts: Path) -> Callable[..., Any]:
    """Call `halo run` with fake drivers on `prompts` and any further flags; return the answer."""

    def call(*flags: object) -> Any:
        small = ["--data", prompts, "--model", "m", "-n", 2, "--samples", 4, "-o", "run"]
        drivers = fakes[2:] if "--verifier" in flags else fakes  # --verifier adds to the others
        return halo("run", *drivers, *small, *flags)

    return call
