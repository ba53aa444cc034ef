"""A run that starts from what it has in common with another is equal to a run on its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from halo_core.errors import RunError
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.model import actor
from halo_core.run.plan import Plan
from halo_core.run.sharing import Shared, share, shared
from halo_core.testing import FakeActor

DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
BASE: dict[str, Any] = {
    "verifier": f"{DRIVERS}:Words",
    "generator": f"{DRIVERS}:Skilled",
    "trainer": {"name": f"{DRIVERS}:Adder"},
    "lr_policy": {"name": "constant", "base_lr": 0.1},
    "cycles": 3,
}
SAME_IN_CYCLE_1 = {"lr_policy": {"name": "exponential", "base_lr": 0.1, "decay": 0.5}}
OTHER_RATE = {"lr_policy": {"name": "constant", "base_lr": 0.05}}


@pytest.fixture(autouse=True)
def fake_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actor, "Actor", lambda config: FakeActor())


def plan(**settings: Any) -> Plan:
    return Plan.from_raw({**BASE, **settings})


def complete(plan: Plan, directory: Path) -> Path:
    with plan.open(directory) as (run, hooks):
        run_cycles(run, hooks)
    return directory


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(complete(plan(), tmp_path / "source"))) as ledger:
        yield ledger


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Shared(3, sampled=False)),
        ({"workers": 1}, Shared(3, sampled=False)),
        ({"cycles": 5}, Shared(3, sampled=False)),
        ({"cycles": 2}, Shared(2, sampled=False)),
        (SAME_IN_CYCLE_1, Shared(1, sampled=True)),
        (OTHER_RATE, Shared(0, sampled=True)),
        ({"trainer": {"name": f"{DRIVERS}:Adder", "steps": 2}}, Shared(0, sampled=True)),
        ({"selector": {"threshold": 1.0}}, Shared(0, sampled=True)),
        ({"per_cycle": {"selector": {"threshold": [0.5, 0.5, 1.0]}}}, Shared(2, sampled=True)),
        ({"per_cycle": {"generator": {"batch": [16, 4]}}}, Shared(1, sampled=False)),
        ({"mix": {"mode": "accumulate"}}, Shared(0, sampled=True)),
        ({"start_from": "base"}, Shared(0, sampled=True)),
        ({"samples_per_prompt": 3}, Shared(0, sampled=False)),
        ({"curriculum": {"order": "frontier"}}, Shared(0, sampled=False)),
        ({"rounds": {"size": 2}}, Shared(0, sampled=False)),
        ({"plugins": ["gate"]}, Shared(0, sampled=True)),
        ({"when_none": "lower"}, Shared(0, sampled=True)),
        ({"keep_adapters": "best"}, Shared(0, sampled=True)),
        ({"seed": 1}, None),
        ({"heldout": {"samples_per_prompt": 3}}, None),
        ({"generator": {"name": f"{DRIVERS}:Skilled", "batch": 4}}, None),
        ({"verifier": {"name": f"{DRIVERS}:Words", "mode": "strict"}}, None),
        ({"data": {"limit": 4}}, None),
    ],
    ids=str,
)
def test_a_run_that_shares_cycles_equals_one_on_its_own(
    tmp_path: Path, source: Ledger, settings: dict[str, Any], expected: Shared | None
) -> None:
    other = plan(**settings)
    assert shared(plan(), other, source.reports()) == expected
    assert share(other, source, tmp_path / "fork") == expected
    assert (tmp_path / "fork").exists() == bool(expected)
    if expected is None:
        return
    with closing(Ledger(tmp_path / "fork")) as fork:
        assert len(fork.reports()) == expected.closed + 1
        assert bool(fork.batches(expected.closed + 1, "train", fork.prompts("train"))) == expected.sampled
    complete(other, tmp_path / "fork")
    complete(other, tmp_path / "alone")
    with closing(Ledger(tmp_path / "fork")) as fork, closing(Ledger(tmp_path / "alone")) as alone:
        assert [part for part in compare(fork, alone) if not part.same] == []


def test_a_run_in_progress_is_shared_as_far_as_it_is(tmp_path: Path, source: Ledger) -> None:
    with source.writing() as db:
        db.execute("DELETE FROM cycles WHERE cycle > 1")
    assert share(plan(), source, tmp_path / "fork") == Shared(1, sampled=True)


def test_other_prompts_are_not_shared(tmp_path: Path, source: Ledger) -> None:
    with source.writing() as db:
        db.execute("UPDATE prompts SET body = replace(body, 'task', 'chore') WHERE id = 1")
    assert share(plan(), source, tmp_path / "fork") is None


def test_other_libraries_are_not_shared(tmp_path: Path, source: Ledger) -> None:
    machine = source.machine()
    source.write_machine(machine | {"versions": machine["versions"] | {"torch": "0.1"}})
    assert share(plan(), source, tmp_path / "fork") is None


def test_a_plugin_that_might_sample_is_not_shared(tmp_path: Path, source: Ledger) -> None:
    plugin = tmp_path / "upper.py"
    plugin.write_text(
        "from halo_core import hookimpl\n\nclass Upper:\n    @hookimpl\n"
        "    def on_cycle_end(self, report):\n        pass\n"
    )
    assert share(plan(plugins=[f"{plugin}:Upper"]), source, tmp_path / "fork") is None


def test_a_directory_with_other_files_is_not_replaced(tmp_path: Path, source: Ledger) -> None:
    (tmp_path / "fork").mkdir()
    (tmp_path / "fork/notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        share(plan(), source, tmp_path / "fork")
    assert (tmp_path / "fork/notes.txt").read_text() == "mine"


def test_the_source_is_unchanged(tmp_path: Path, source: Ledger) -> None:
    share(plan(**OTHER_RATE), source, tmp_path / "fork")
    complete(plan(), tmp_path / "again")
    with closing(Ledger(tmp_path / "again")) as again:
        assert all(part.same for part in compare(source, again))
