"""A run whose work a cluster does: what it is asked for, and what stays with halo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core import sandbox
from halo_core.drivers import Workers
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model.contexts import SamplingContext, TrainingContext
from halo_core.run.resume import weakest_tier
from halo_core.testing import FakeGenerator, FakeTrainer, FakeVerifier, fake_run
from halo_core.types import Completion, CycleReport, Prompt, Sample, SamplingRequest, TrainStats, Verdict


class Elsewhere(Workers):
    """Does the work of the given kinds, and counts it."""

    def __init__(self, *kinds: str) -> None:
        self.kinds, self.done = kinds, Counter[str]()
        self.seen: list[tuple[str, str]] = []

    def generate(
        self, request: SamplingRequest, context: SamplingContext
    ) -> Iterator[Sequence[Completion]] | None:
        self.done["generate"] += 1
        return FakeGenerator(batch=8).generate(request, context) if "generate" in self.kinds else None

    def verify(
        self, prompts: Sequence[Prompt], completions: Sequence[Completion], interrupt: Callable[[], None]
    ) -> Sequence[Verdict] | None:
        interrupt()
        self.done["verify"] += 1
        if "verify" not in self.kinds:
            return None
        self.seen += [(p.id, c.text) for p, c in zip(prompts, completions, strict=True)]
        return [FakeVerifier().check(*task) for task in zip(prompts, completions, strict=True)]

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats | None:
        self.done["train"] += 1
        return FakeTrainer().train(samples, context) if "train" in self.kinds else None

    def waits(self) -> Mapping[str, float]:
        return {"samplers": 1.5}


def run_in(directory: Path, workers: Workers | None) -> list[CycleReport]:
    run, hooks = fake_run(directory, generator=FakeGenerator(batch=8))
    if workers:
        run.workers = workers
    reports = run_cycles(run, hooks)
    run.ledger.close()
    return reports


@pytest.mark.parametrize(
    "kinds", [(), ("generate",), ("verify",), ("train",), ("generate", "verify", "train")]
)
def test_a_run_on_a_cluster_is_the_same(kinds: tuple[str, ...], tmp_path: Path) -> None:
    run_in(tmp_path / "alone", None)
    workers = Elsewhere(*kinds)
    reports = run_in(tmp_path / "cluster", workers)
    assert workers.done["generate"] == 5
    assert workers.done["train"] == 2
    assert [report.waits for report in reports] == [{"samplers": 1.5}] * 3
    parts = compare(Ledger(tmp_path / "alone"), Ledger(tmp_path / "cluster"))
    assert [part.first for part in parts if not part.same] == []


def test_equal_texts_are_verified_once_and_known_ones_never(tmp_path: Path) -> None:
    workers = Elsewhere("verify")
    run, hooks = fake_run(tmp_path)
    run.workers = workers
    prompts = [run.prompts[0]] * 3 + [run.prompts[1]]
    completions = [Completion(p.id, n, t) for n, (p, t) in enumerate(zip(prompts, "aaba", strict=True))]
    assert len(hooks.verify(run=run, prompts=prompts, completions=completions)) == 4
    assert workers.seen == [("t0", "a"), ("t0", "b"), ("t1", "a")]


@pytest.mark.parametrize(
    ("here", "there", "weakest"),
    [
        ("strong", None, "strong"),
        ("strong", "standard", "standard"),
        ("standard", "strong", "standard"),
        (None, "weak", "weak"),
        (None, None, None),
    ],
)
def test_the_tier_of_a_run_is_the_weakest(
    here: Any, there: Any, weakest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "running", lambda: here and SimpleNamespace(tier=here))
    assert weakest_tier(there) == weakest
