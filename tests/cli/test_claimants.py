"""A run uses the drivers of the distributions that it was started with, whatever else claims their names since."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import open_run

Halo = Callable[..., Any]
Install = Callable[..., Path]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
GROUPS = {"verifier": "Words", "generator": "Skilled", "trainer": "Adder", "lr_policy": "Flat"}
HOOKS = """
from halo_core import hook_plugin, hookimpl

@hook_plugin
class Count:
    every: int = 1

    def __post_init__(self):
        self._cycles = 0

    @hookimpl
    def on_cycle_end(self, run):
        self._cycles += 1
        run.log("count", f"{self._cycles} of {self.every}")
"""


def entry_points(module: str) -> dict[str, str]:
    groups = {f"halo.{kind}s": f"own = {module}:{name}" for kind, name in GROUPS.items()}
    groups["halo.lr_policies"] = groups.pop("halo.lr_policys")
    return groups | {"halo.plugins": f"own = {module}_hooks:Count"}


@pytest.fixture
def own(install: Install) -> list[str]:
    """Install the first claimant of the name "own" of each kind; return the flags of a run with all of them."""
    code = {"acme": DRIVERS.read_text(), "acme_hooks": HOOKS}
    install("acme-drivers", "1.0", entry_points("acme"), code)
    kinds = [kind.replace("_", "-") for kind in (*GROUPS, "plugin")]
    return [text for kind in kinds for text in (f"--{kind}", "own")]


@pytest.fixture
def rival(install: Install) -> Callable[[], None]:
    """Return a function that installs a second claimant of every name, which cannot even be imported."""

    def make() -> None:
        install("zeta", "9.9", entry_points("zeta"), {"zeta": "1 / 0", "zeta_hooks": "1 / 0"})

    return make


def test_a_run_that_was_started_before_keeps_working(
    halo: Halo, own: list[str], rival: Callable[[], None]
) -> None:
    start = ("run", *own, "-n", 2, "--samples", 4, "-o", "run")
    assert halo(*start).code == 0
    rival()
    commands: list[tuple[object, ...]] = [
        ("resume", "run", "--cycles", 3),
        ("resume", "run"),
        ("reverify", "run"),
        ("reverify", "run", "-V", "mode=strict"),
        ("reselect", "run"),
        ("eval", "run", "-o", "evaluation"),
        ("samples", "run"),
        ("report", "run"),
        ("diagnose", "run"),
        ("runs", "."),
        ("run", *own, "-n", 3, "--samples", 4, "-o", "run"),
    ]
    for command in commands:
        answer = halo(*command)
        assert answer.code == 0, (command, answer.err)
    assert len(open_run(Path("run")).reports()) == 4


def test_a_new_run_names_both_claimants(halo: Halo, own: list[str], rival: Callable[[], None]) -> None:
    rival()
    answer = halo("run", *own, "-o", "new")
    assert "verifier 'own' is provided by acme-drivers and zeta" in answer.complaint()
    assert answer.remedy() == "name one: acme-drivers:own or zeta:own"


def test_a_distribution_that_is_gone_is_named_even_if_another_claims_the_name(
    halo: Halo, own: list[str], rival: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    assert halo("run", *own, "-n", 1, "--samples", 4, "-o", "run").code == 0
    rival()
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not Path(each, "acme.py").exists()])
    answer = halo("resume", "run")
    assert (
        "was started with verifier 'own' of acme-drivers, which is not installed; zeta" in answer.complaint()
    )
    assert answer.remedy() == "pip install acme-drivers"
    assert "verifier 'own' (zeta 9.9) cannot be imported" in halo("resume", "run", "--changed").complaint()


def test_a_plugin_with_options_and_state(halo: Halo, own: list[str]) -> None:
    answer = halo("run", *own, "--plugin-opt", "every=3", "-n", 2, "--samples", 4, "-o", "run")
    assert answer.code == 0, answer.err
    assert "count    3 of 3" in answer.out + answer.err
    assert open_run(Path("run")).plugins()[-1]["options"] == {"every": 3}
