"""Drivers as third parties would write them, from the documentation alone: short, and within the contracts."""

from __future__ import annotations

import ast
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from halo_core import Sample, SelectionContext, Selector, Trainer, TrainingContext, TrainingError
from halo_core.plugin.discovery import load
from halo_core.testing import SelectorContract, TrainerContract, make_samples, tiny_actor

HERE = Path(__file__).parent
FILES = [path for path in sorted(HERE.glob("*.py")) if not path.name.startswith("test_")]
PUBLIC = {"halo_core", "halo_core.training"}


def example(kind: str, name: str, **options: Any) -> Any:
    """Return a driver of a file in this directory, loaded like a user's: `--selector ./rso.py:RSO`."""
    return load(kind, f"{HERE / name.lower()}.py:{name.replace('_', '')}").value(**options)


class TestBestOfN(SelectorContract):
    @pytest.fixture
    def selector(self) -> Selector:
        found: Selector = example("selector", "Best_Of_N", n=2)
        return found


class TestRSO(SelectorContract):
    @pytest.fixture
    def selector(self) -> Selector:
        found: Selector = example("selector", "RSO")
        return found


class TestDPO(TrainerContract):
    @pytest.fixture
    def trainer(self) -> Trainer:
        found: Trainer = example("trainer", "DPO", batch_size=3, lora_rank=4)
        return found


class TestGRPO(TrainerContract):
    @pytest.fixture
    def trainer(self) -> Trainer:
        found: Trainer = example("trainer", "GRPO", batch_size=6, lora_rank=4)
        return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_example_is_short_and_uses_public_names_only(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 80
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    assert {node.module for node in imports if str(node.module).startswith("halo_core")} <= PUBLIC


def rewards(selector: Selector, samples: Sequence[Sample], seed: int) -> list[float | None]:
    return [sample.reward for sample in selector.select(samples, SelectionContext(seed=seed))]


def test_best_of_n_keeps_the_best() -> None:
    samples = make_samples({"p": [0.5, 1.0, 0.7, 0.0], "q": [0.4, 0.3], "r": [1.0]})
    assert rewards(example("selector", "Best_Of_N", n=2), samples, 0) == [1.0, 0.7, 1.0]


@pytest.mark.parametrize(
    "rewards_of_prompt", [[1.0, 0.5, 0.0], [0.0, 0.5, 1.0]], ids=["best first", "best last"]
)
def test_rso_draws_from_its_target(rewards_of_prompt: list[float]) -> None:
    """One of three, with probabilities proportional to exp(reward / beta), whatever the order."""
    samples = make_samples({f"p{n}": rewards_of_prompt for n in range(3000)})
    drawn = Counter(rewards(example("selector", "RSO", n=1, beta=0.5), samples, 1))
    total = sum(math.exp(reward / 0.5) for reward in rewards_of_prompt)
    for reward in rewards_of_prompt:
        assert drawn[reward] / 3000 == pytest.approx(math.exp(reward / 0.5) / total, abs=0.03)


def test_dpo_needs_pairs() -> None:
    samples = make_samples({"p": [1.0, 1.0]})
    with pytest.raises(TrainingError, match="positive and of negative weight"):
        example("trainer", "DPO").train(samples, TrainingContext(actor=tiny_actor(), lr=1e-3, seed=0))
