from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest
import yaml
from command_line import CommandResult

from halo_core.config.options import build
from halo_core.drivers import LRPolicy
from halo_core.drivers.constant import Constant
from halo_core.errors import ConfigError
from halo_core.plugin.discovery import available, load
from halo_core.testing import LRPolicyContract

DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
VERIFIER = """
from halo_core import Stage, Status, Verdict, Verifier, driver

@driver
class Even(Verifier):
    def check(self, prompt, completion):
        good = len(completion.text) % 2 == 0
        return Verdict(Status.PASS if good else Status.FAIL, Stage.CORRECT if good else Stage.WRONG)
"""
Install = Callable[..., Path]
Halo = Callable[..., CommandResult]


class TestConstantContract(LRPolicyContract):
    @pytest.fixture
    def policy(self) -> LRPolicy:
        return Constant()


@pytest.fixture
def core_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the entry points of every distribution except halo-core."""

    def own(group: str) -> list[EntryPoint]:
        return [entry for entry in entry_points(group=group) if entry.dist and entry.dist.name == "halo-core"]

    monkeypatch.setattr("halo_core.plugin.discovery.entry_points", own)


def test_every_cycle_has_the_same_rate() -> None:
    policy = Constant(base_lr=3e-5)
    assert [policy.lr(cycle=cycle, cycles=3, history=()) for cycle in (1, 2, 3)] == [3e-5] * 3


@pytest.mark.parametrize("rate", [0, -1e-5, "nan", "inf", 5])
def test_a_rate_out_of_range_is_rejected(rate: object) -> None:
    with pytest.raises(ConfigError, match=r"^it: base_lr: "):
        build(Constant, {"base_lr": rate}, where="it")


@pytest.mark.usefixtures("core_alone")
def test_the_core_alone_runs_a_verifier_from_a_file(halo: Halo) -> None:
    Path("mine.py").write_text(VERIFIER)
    Path("p.jsonl").write_text("".join(json.dumps({"prompt": f"task {n}"}) + "\n" for n in range(12)))
    fakes = ["--generator", f"{DRIVERS}:Skilled", "--trainer", f"{DRIVERS}:Adder"]
    answer = halo("run", "-v", "./mine.py:Even", *fakes, "-m", "fake", "-d", "p.jsonl", "-n", 1, "-o", "r")
    assert answer.code == 0, answer.err
    assert yaml.safe_load(Path("r/run.yaml").read_text())["lr_policy"] == {
        "name": "constant",
        "base_lr": 5e-5,
    }


def test_names_and_options_that_earlier_runs_stored_are_accepted() -> None:
    assert load("lr_policy", "halo-lr-policies:constant").source.distribution == "halo-core"
    stored = {"base_lr": 1e-4, "floor": 1e-7, "ceiling": None}
    assert build(Constant, stored, where="lr_policy 'constant'") == Constant(base_lr=1e-4)


def test_an_older_package_that_still_provides_the_name_is_no_conflict(install: Install) -> None:
    install(
        "halo-lr-policies", "0.0.9", {"halo.lr_policies": "constant = halo_lr_policies.policies:Constant"}
    )
    assert load("lr_policy", "constant").value is Constant
    assert [source.distribution for source in available("lr_policy") if source.name == "constant"] == [
        "halo-core"
    ]
