"""The contract of hook plugins, as a test class to subclass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, ClassVar

import pytest

from halo_core.config.options import build, driver
from halo_core.drivers.base import Reward
from halo_core.drivers.rewards import Graduated
from halo_core.errors import Interrupted
from halo_core.loop import run_cycles
from halo_core.model.contexts import TrainingContext
from halo_core.plugin.discovery import Source
from halo_core.plugin.manager import Hooks
from halo_core.plugin.observers import watches_only
from halo_core.testing.fakes import FakeTrainer, fake_run
from halo_core.types import CycleReport, Sample, TrainStats

_CYCLES = 3


class HookPluginContract(ABC):
    """Tests of the contract of a hook plugin: a module, or an object with methods marked by `@hookimpl`.

    They run cycles of fakes with the plugin. Subclass it and define the fixture.
    """

    only_observes: ClassVar[bool] = False
    """True for a plugin that must not change the result of a run, such as a tracker; true anyway for a plugin with
    `watches_only = True`."""

    @pytest.fixture
    @abstractmethod
    def plugin(self) -> object:
        """The plugin to test, as a run would register it."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        """Arguments of `fake_run` that the plugin needs: a verifier, or the number of prompts."""
        return {}

    def test_registers(self, plugin: object) -> None:
        """Check that the plugin implements a hook, and only hooks that exist, with their arguments."""
        Hooks().register(plugin, _SOURCE)
        assert _has_hooks(plugin), "the plugin implements no hook: mark its functions with @hookimpl"

    def test_a_run_with_it_works(self, plugin: object, settings: dict[str, Any], tmp_path: Path) -> None:
        """Check that all cycles run, and that every answer of a hook is accepted."""
        reports = _run(tmp_path / "run", plugin, settings)
        assert len(reports) > 1, "the plugin ended the run before its first cycle"

    def test_a_run_repeats(self, plugin: object, settings: dict[str, Any], tmp_path: Path) -> None:
        """Check that two runs give the same results: no clock, no global randomness, no state of another run."""
        first = _run(tmp_path / "first", plugin, settings)
        second = _run(tmp_path / "second", plugin, settings)
        assert second == first, "a second run with the same plugin object differs"
        assert _run(tmp_path / "third", _rebuilt(plugin), settings) == first, (
            "a run with a new object differs"
        )

    @pytest.mark.parametrize("cycle", range(1, _CYCLES + 1))
    def test_a_resumed_run_gives_the_same(
        self, plugin: object, settings: dict[str, Any], tmp_path: Path, cycle: int
    ) -> None:
        """Check that a run that is stopped in a cycle and resumed in another process gives the same results."""
        uninterrupted = _run(tmp_path / "one", plugin, settings)
        stopping = {**settings, "trainer": _StopsIn(cycle=cycle)}
        if len(uninterrupted) <= cycle:  # the plugin ends the run before
            assert _run(tmp_path / "two", plugin, stopping) == uninterrupted
            return
        with pytest.raises(Interrupted):
            _run(tmp_path / "two", plugin, stopping)
        assert _run(tmp_path / "two", _rebuilt(plugin), settings) == uninterrupted

    def test_a_failed_run_ends_with_its_own_error(
        self, plugin: object, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """Check that an error of another step reaches the user, without one of the plugin's added."""
        with pytest.raises(ZeroDivisionError, match="the trainer fails") as caught:
            _run(tmp_path / "run", plugin, {**settings, "trainer": _Fails()})
        notes = [note for note in getattr(caught.value, "__notes__", ()) if "then raised" in note]
        assert not notes

    def test_takes_samples_without_a_reward(
        self, plugin: object, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """Check that a run works if some samples are not eligible: their reward is None."""
        _run(tmp_path / "run", plugin, {**settings, "reward": _Sparse()})

    def test_only_observes_if_it_claims_so(
        self, plugin: object, settings: dict[str, Any], tmp_path: Path
    ) -> None:
        """Check that a plugin changes no result if it only observes."""
        same = _run(tmp_path / "with", plugin, settings) == _run(tmp_path / "without", None, settings)
        assert same or not (self.only_observes or watches_only(plugin))

    def test_writes_only_into_the_run_directory(
        self, plugin: object, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Check that the plugin leaves no files elsewhere."""
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        _run(tmp_path / "run", plugin, settings)
        assert not list(elsewhere.iterdir())

    def test_options_round_trip(self, plugin: object) -> None:
        """Check that a plugin that is built again, as in a resumed run, has the same class and the same options."""
        rebuilt = _rebuilt(plugin)
        assert type(rebuilt) is type(plugin)
        assert rebuilt == plugin or not is_dataclass(plugin)


_SOURCE = Source("plugin", "tested", "tests", "0", "tested")


def _run(directory: Path, plugin: object | None, settings: dict[str, Any]) -> list[CycleReport]:
    """Run or resume cycles of fakes; return the reports without the times."""
    plugins = [] if plugin is None else [plugin]
    run, hooks = fake_run(directory, plugins=plugins, **{"cycles": _CYCLES, **settings})
    try:
        reports = [replace(report, seconds={}) for report in run_cycles(run, hooks)]
        warnings = [text for _, kind, text in run.ledger.events() if kind == "warning"]
        assert not warnings, "a plugin with watches_only raised an exception"
        return reports
    finally:
        run.ledger.close()


def _has_hooks(value: object) -> bool:
    return any(hasattr(getattr(value, name, None), "halo_impl") for name in dir(value))


def _rebuilt(plugin: object) -> object:
    """Return a new object with the options of `plugin`, as a resumed run builds it; a module is returned unchanged."""
    cls = type(plugin)
    if is_dataclass(plugin) and not isinstance(plugin, type):
        return build(cls, asdict(plugin), where="plugin")
    takes_nothing = not any(_is_required(each) for each in signature(cls).parameters.values())
    return cls() if takes_nothing and _has_hooks(cls) else plugin


def _is_required(parameter: Parameter) -> bool:
    variadic = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    return parameter.default is Parameter.empty and parameter.kind not in variadic


@driver
class _StopsIn(FakeTrainer):
    """Stops the run in one cycle, as Ctrl-C would."""

    cycle: int = 1
    """Counted from 1."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        if context.cycle == self.cycle:
            raise Interrupted("stopped")
        return FakeTrainer.train(self, samples, context)


@driver
class _Fails(FakeTrainer):
    """Fails in every cycle."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        raise ZeroDivisionError("the trainer fails")


@driver
class _Sparse(Reward):
    """Excludes every second completion."""

    def reward(self, sample: Sample) -> float | None:
        return None if sample.completion.index % 2 else Graduated().reward(sample)
