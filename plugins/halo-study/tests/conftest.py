"""Studies of a model of 6,000 parameters, which take seconds, and simulated results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import halo, install

from halo_core.testing import tiny_actor
from halo_study.study import Study, parse_study

__all__ = ["halo", "install"]
LETTERS = Path(__file__).with_name("letters.py")


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A configuration of runs that take about a second."""
    directory = tmp_path_factory.mktemp("tiny")
    for name, first in (("train", 0), ("heldout", 100)):
        rows = [{"id": f"{name}-{n}", "prompt": f"task {first + n}"} for n in range(6)]
        (directory / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {
        "verifier": f"{LETTERS}:Letters",
        "model": {"name": tiny_actor().config.name, "device": "cpu"},
        "data": {"prompts": str(directory / "train.jsonl"), "heldout": str(directory / "heldout.jsonl")},
        "generator": {"max_new_tokens": 12, "temperature": 1.0, "top_p": 1.0},
        "selector": {"keep_top": 1.0, "truncated": True},
        "trainer": {"batch_size": 4},
        "lr_policy": {"name": "constant", "base_lr": 1e-2},
        "cycles": 2,
        "samples_per_prompt": 4,
        "heldout": {"samples_per_prompt": 2},
    }


@pytest.fixture
def content(base: dict[str, Any]) -> dict[str, Any]:
    """The content of a study file."""
    return {
        "question": "Does a falling learning rate end higher?",
        "base": base,
        "seeds": 2,
        "arms": {
            "constant": {},
            "falling": {"set": {"lr_policy": {"name": "exponential", "base_lr": 1e-2, "decay": 0.5}}},
            "equal sum": {"equal_sum_of": "falling"},
        },
        "comparisons": [{"arm": "falling", "against": "constant"}],
    }


@pytest.fixture
def make_study(content: dict[str, Any], tmp_path: Path) -> Callable[..., Study]:
    """Return a function that checks a study with changed keys."""

    def make(**changes: Any) -> Study:
        return parse_study(content | changes, tmp_path / "study.yaml")

    return make


@pytest.fixture
def study_file(content: dict[str, Any], tmp_path: Path) -> Path:
    """The study file."""
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path
