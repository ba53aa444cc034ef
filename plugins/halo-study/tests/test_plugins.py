"""The plugins that serve as arms: a verifier that leaks, and rules that end a run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from halo_core.ledger.browse import Filter, find
from halo_core.loop import run_cycles
from halo_core.testing import fake_run
from halo_core.testing.histories import simulate
from halo_core.types import Status
from halo_study.plugins import Leak, StopRule


def passed(directory: Path, **settings: Any) -> tuple[float, float]:
    """Return the shares of passing training and held-out samples of a run."""
    run, hooks = fake_run(directory, prompts=40, heldout=40, cycles=1, samples_per_prompt=8, **settings)
    with closing(run.ledger):
        run_cycles(run, hooks)
        shares = []
        for split in ("train", "heldout"):
            found = list(find(run.ledger, Filter(cycle=1 if split == "train" else 0, split=split)))
            shares.append(sum(each.sample.verdict.status is Status.PASS for each in found) / len(found))
    return shares[0], shares[1]


def test_a_leak_accepts_its_share_of_wrong_training_answers_only(tmp_path: Path) -> None:
    tight, held = passed(tmp_path / "tight")
    leaky, held_leaky = passed(tmp_path / "leaky", plugins=[Leak(share=0.5)])
    assert held == held_leaky, "held-out verdicts stay true"
    assert leaky == pytest.approx(tight + 0.5 * (1 - tight), abs=0.12)
    assert passed(tmp_path / "none", plugins=[Leak(share=0.0)])[0] == tight
    assert passed(tmp_path / "all", plugins=[Leak(share=1.0)])[0] == 1.0


def test_the_same_answer_always_leaks_alike(tmp_path: Path) -> None:
    first = passed(tmp_path / "one", plugins=[Leak(share=0.3)])
    assert passed(tmp_path / "two", plugins=[Leak(share=0.3)]) == first


@pytest.mark.parametrize("rule", ["heldout", "training"])
def test_a_run_ends_when_its_rate_falls(tmp_path: Path, rule: str) -> None:
    plugin = StopRule(rule=rule, window=2)  # type: ignore[arg-type]
    stopped: list[str] = []
    run: Any = SimpleNamespace(stop=stopped.append)
    key = "heldout" if rule == "heldout" else "sampled"
    other = "sampled" if rule == "heldout" else "heldout"

    def history(*rates: float) -> list[Any]:
        return [SimpleNamespace(**{key: SimpleNamespace(passed=rate), other: None}) for rate in rates]

    for rates in ((0.5, 0.4, 0.3), (0.3, 0.4, 0.4, 0.4), (0.5, 0.1, 0.1, 0.5)):
        plugin.on_cycle_end(run=run, history=history(*rates))
        assert stopped == []
    plugin.on_run_start(run=run, history=history(0.9, 0.4, 0.5, 0.4, 0.3))
    assert len(stopped) == 1, "a resumed run repeats the decision"
    assert rule in stopped[0]
    plugin.on_run_start(run=run, history=[])


@pytest.mark.parametrize(("kind", "ends"), [("healthy", False), ("too-high", True)])
def test_the_doctor_as_a_rule_ends_a_run_that_goes_wrong(kind: str, ends: bool) -> None:
    stopped: list[str] = []
    run: Any = SimpleNamespace(stop=stopped.append)
    history = simulate(kind, seed=0)
    for cycle in range(1, len(history) + 1):
        StopRule(rule="doctor").on_cycle_end(run=run, history=history[:cycle])
    assert bool(stopped) is ends
    assert all("learning-rate-too-high" in reason for reason in stopped[:1])
