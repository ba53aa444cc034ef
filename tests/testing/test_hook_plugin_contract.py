"""The contract of hook plugins: those of the core satisfy it, and broken ones fail each of its tests."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from halo_core.builtin.doctor import Doctor
from halo_core.builtin.gate import Gate
from halo_core.builtin.report import ReportFile
from halo_core.builtin.trackers import JSONLines
from halo_core.drivers import driver
from halo_core.errors import HaloError
from halo_core.hookspecs import hookimpl
from halo_core.testing import HookPluginContract


class TestDoctor(HookPluginContract):
    only_observes = True

    @pytest.fixture
    def plugin(self) -> object:
        return Doctor(patience=2)


class TestReport(HookPluginContract):
    only_observes = True

    @pytest.fixture
    def plugin(self) -> object:
        return ReportFile()


class TestTracker(HookPluginContract):
    @pytest.fixture
    def plugin(self) -> object:
        return JSONLines()


class TestGate(HookPluginContract):
    @pytest.fixture
    def plugin(self) -> object:
        return Gate(patience=1)


class TestModule(HookPluginContract):
    @pytest.fixture
    def plugin(self) -> object:
        module = ModuleType("shorter")

        @hookimpl(wrapper=True)
        def reward(samples: Any) -> Any:
            rewards = yield
            return [None if value is None else value - 0.01 for value in rewards]

        vars(module)["reward"] = reward
        return module


class StopsAfterTwoCycles:
    """A run with it has no third cycle in which it could be stopped."""

    @hookimpl
    def on_cycle_end(self, run: Any, report: Any) -> None:
        if report.cycle == 2:
            run.stop("enough")


class TestEarlyEnd(HookPluginContract):
    @pytest.fixture
    def plugin(self) -> object:
        return StopsAfterTwoCycles()


class Idle:
    """Has no hook."""

    def reward(self, samples: Any) -> None:
        """Is not marked as one."""


class UnknownHook:
    @hookimpl
    def on_cycle(self, run: Any) -> None: ...


class UnknownArgument:
    @hookimpl
    def on_cycle_end(self, cycles: Any) -> None: ...


class TooFewRewards:
    @hookimpl
    def reward(self, samples: Any) -> Any:
        return [1.0]


class RaisesWhileItWatches:
    """Its exception is a warning in a run."""

    watches_only = True

    @hookimpl
    def on_cycle_end(self, history: Any) -> None:
        raise ConnectionError("no route")


class Stops:
    @hookimpl
    def on_cycle_end(self, run: Any) -> None:
        run.stop("enough")


class Counts:
    """Has state that a resumed run lacks."""

    def __init__(self) -> None:
        self.calls = 0

    @hookimpl(wrapper=True)
    def lr_for_cycle(self) -> Any:
        lr = yield
        self.calls += 1
        return lr / self.calls


class Clock:
    @hookimpl(wrapper=True)
    def lr_for_cycle(self) -> Any:
        lr = yield
        return lr / (1 + time.monotonic_ns() % 1000)


class Warmup:
    """Counts cycles from the start of the process, not from the history."""

    @hookimpl
    def on_run_start(self) -> None:
        self.cycles = 0

    @hookimpl(wrapper=True)
    def lr_for_cycle(self) -> Any:
        lr = yield
        self.cycles += 1
        return lr / (1 + self.cycles)


class NeedsCompletedRun:
    @hookimpl
    def on_run_end(self, history: Any) -> None:
        print(history[-1].heldout.passed, history[3].lr)


class AddsToNone:
    @hookimpl(wrapper=True)
    def reward(self) -> Any:
        rewards = yield
        return [value + 1 for value in rewards]


class Meddles:
    """Claims only to observe, and halves the learning rate."""

    @hookimpl(wrapper=True)
    def lr_for_cycle(self) -> Any:
        lr = yield
        return lr / 2


class Logs:
    @hookimpl
    def on_cycle_end(self) -> None:
        Path("log.txt").write_text("a cycle")


@driver
class Normalises:
    """Changes an option when it is built."""

    scale: float = 1.0
    """A factor."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", self.scale / 2)

    @hookimpl
    def on_run_start(self) -> None: ...


class Becomes:
    """Is an object of another class once it is built again."""

    def __new__(cls) -> Any:
        return object.__new__(Idle)

    @hookimpl
    def on_run_start(self) -> None: ...


def becomes() -> object:
    """Return an object of `Becomes`, which calling the class does not give."""
    return object.__new__(Becomes)


VIOLATIONS: dict[str, dict[str, Callable[[], object]]] = {
    "registers": {"no hook": Idle, "unknown hook": UnknownHook, "unknown argument": UnknownArgument},
    "a_run_with_it_works": {
        "too few rewards": TooFewRewards,
        "stops at once": Stops,
        "raises": RaisesWhileItWatches,
    },
    "a_run_repeats": {"state": Counts, "a clock": Clock},
    "a_resumed_run_gives_the_same": {"counts in memory": Warmup},
    "a_failed_run_ends_with_its_own_error": {"expects every cycle": NeedsCompletedRun},
    "takes_samples_without_a_reward": {"adds to None": AddsToNone},
    "only_observes_if_it_claims_so": {"changes the learning rate": Meddles},
    "writes_only_into_the_run_directory": {"a log": Logs},
    "options_round_trip": {"changes an option": Normalises, "becomes another class": becomes},
}


class Claims(HookPluginContract):
    """A contract whose subject claims only to observe."""

    only_observes = True

    @pytest.fixture
    def plugin(self) -> object:
        return Idle()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        pytest.param(name, make, id=violation)
        for name, makers in VIOLATIONS.items()
        for violation, make in makers.items()
    ],
)
def test_a_plugin_that_violates_the_contract_is_caught(
    name: str, make: Callable[[], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fixtures = {
        "plugin": make(),
        "settings": {},
        "tmp_path": tmp_path,
        "monkeypatch": monkeypatch,
        "cycle": 2,
    }
    test = getattr(Claims(), f"test_{name}")
    names = test.__code__.co_varnames[1 : test.__code__.co_argcount]
    with pytest.raises((AssertionError, HaloError, TypeError)):
        test(**{each: fixtures[each] for each in names})


def test_every_contract_test_is_violated_above() -> None:
    tests = {name for name in vars(HookPluginContract) if name.startswith("test_")}
    assert tests == {f"test_{name}" for name in VIOLATIONS}


def test_a_plugin_that_claims_to_watch_is_held_to_it(tmp_path: Path) -> None:
    class Spoils:
        watches_only = True

        @hookimpl
        def on_cycle_end(self, run: Any) -> None:
            run.actor.skill = 0.1

    with pytest.raises(AssertionError):
        TestGate().test_only_observes_if_it_claims_so(Spoils(), {}, tmp_path)
