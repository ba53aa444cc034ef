"""Checks that a run can be resumed, and extension by more cycles."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from halo_core import sandbox
from halo_core.config.schema import RunConfig, read_config
from halo_core.drivers import LRPolicy, driver
from halo_core.errors import RunError, SandboxError
from halo_core.ledger.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.run import resume
from halo_core.testing import FakePolicy, FakeVerifier, fake_run
from halo_core.types import CycleReport, Prompt
from halo_core.verification.verifiers import VerifierSet

PLUGINS: list[dict[str, Any]] = [{"kind": "verifier", "name": "it", "distribution": "acme", "version": "1"}]


def config(**settings: Any) -> RunConfig:
    return read_config({"verifier": ["fake"], "cycles": 2, "samples_per_prompt": 4, **settings})


def verifiers(fingerprint: str) -> VerifierSet:
    """Return a set of one verifier named "it" with a given fingerprint."""

    @driver
    class Stub(FakeVerifier):
        removed_options: ClassVar[dict[str, object]] = {"once": True}

        def fingerprint(self) -> str:
            return fingerprint

    return VerifierSet({"it": Stub()})


@pytest.fixture
def started(tmp_path: Path) -> Callable[..., Ledger]:
    """Return a function that starts a run with a recorded environment."""

    def start(machine: dict[str, Any], fingerprint: str = "V()", **settings: Any) -> Ledger:
        ledger = Ledger(tmp_path / "run")
        ledger.create(
            config(**settings).model_dump(mode="json"),
            PLUGINS,
            [Prompt("a", "x")],
            [],
            machine,
            {"it": fingerprint},
        )
        return ledger

    return start


def test_a_run_is_not_resumed_in_a_lower_tier(
    started: Callable[..., Ledger], monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = started({"sandbox": "strong"})
    monkeypatch.setattr(sandbox, "running", lambda: SimpleNamespace(tier="standard"))
    with pytest.raises(SandboxError, match="started in sandbox tier 'strong', and only 'standard' holds"):
        resume.check_tier(ledger)
    monkeypatch.setattr(sandbox, "running", lambda: SimpleNamespace(tier="strong"))
    resume.check_tier(ledger)


# Changes since the start

HERE = {"python": "3.11.7", "versions": {"halo-core": "0.1", "torch": "2.13"}, "inputs": {"model": "abc"}}


@pytest.mark.parametrize(
    ("now", "message"),
    [
        (HERE, ""),
        (HERE | {"python": "3.12.1"}, "python was 3.11.7 and is 3.12.1"),
        (HERE | {"versions": {"torch": "2.14"}}, "torch was 2.13 and is 2.14"),
        (HERE | {"versions": {"halo-core": "0.2"}}, ""),
        (HERE | {"inputs": {"model": "abd"}}, "the files of model have changed"),
        (HERE | {"inputs": {}}, ""),
        (HERE | {"inputs": {"model": "abc", "adapter": "x"}}, ""),
    ],
)
def test_changed_libraries_and_inputs_are_reported_or_accepted(
    started: Callable[..., Ledger], now: dict[str, Any], message: str
) -> None:
    ledger = started(HERE | {"sandbox": "strong"})

    def check(accept: bool) -> None:
        resume.check_unchanged(ledger, PLUGINS, verifiers("V()"), now, accept=accept)

    if not message:
        return check(accept=False)
    with pytest.raises(RunError, match=f"started with other plugins or tools: {message}") as caught:
        check(accept=False)
    assert "--changed" in caught.value.hint
    check(accept=True)
    check(accept=False)  # the accepted state is recorded
    assert ledger.machine()["sandbox"] == "strong", "the tier of the start holds for the whole run"
    assert ledger.events()[-1][1:] == ("changed", message)
    return None


@pytest.mark.parametrize(
    ("now", "message"),
    [
        ("GCC(std='c17', flags='-O0') gcc 13.1 0.1.0", "had 12.2 and has 13.1"),
        (
            "GCC(std='c23', flags='-O0') gcc 12.2 0.1.0",
            "had GCC(std='c17', and has GCC(std='c23',",
        ),
        ("GCC(std='c17', flags='-O0') gcc 12.2 0.1.0 more", "had less and has more"),
    ],
)
def test_only_the_difference_of_two_fingerprints_is_reported(now: str, message: str) -> None:
    before = {"it": "GCC(std='c17', flags='-O0') gcc 12.2 0.1.0"}
    assert resume._changed_verifiers(before, {"it": now}, []) == [f"verifier 'it' {message}"]


@pytest.mark.parametrize(
    ("recorded", "current"),
    [
        ("V(once=True, a=1) gcc 12", "V(a=1) gcc 12"),
        ("V(a=1, once=True, b=2)", "V(a=1, b=2)"),
        ("V(a=1, once=True) gcc 12", "V(a=1) gcc 12"),
        ("V(once=True)", "V()"),
    ],
)
def test_a_removed_option_with_its_harmless_value_does_not_change_the_fingerprint(
    started: Callable[..., Ledger], recorded: str, current: str
) -> None:
    resume.check_unchanged(started({}, recorded), PLUGINS, verifiers(current), HERE, accept=False)


@pytest.mark.parametrize("recorded", ["V(once=False, a=1)", "V(at_once=True, a=1)", "V(once=True1, a=1)"])
def test_other_values_and_options_change_the_fingerprint(
    started: Callable[..., Ledger], recorded: str
) -> None:
    with pytest.raises(RunError, match="verifier 'it' had "):
        resume.check_unchanged(started({}, recorded), PLUGINS, verifiers("V(a=1)"), HERE, accept=False)


def test_values_that_an_early_halo_did_not_record_are_not_compared(started: Callable[..., Ledger]) -> None:
    resume.check_unchanged(started({}), PLUGINS, verifiers("V()"), HERE, accept=False)


def test_the_content_hash_of_an_input(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    weights = bytearray(3 << 20)
    (model / "weights").write_bytes(weights)
    hashes = [resume.content_hash(model)]
    for place in (0, len(weights) - 1):
        weights[place] = 1
        (model / "weights").write_bytes(weights)
        hashes.append(resume.content_hash(model))
    (model / "weights").rename(model / "others")
    hashes.append(resume.content_hash(model))
    (model / "runs").mkdir()
    (model / "runs" / "report.html").write_text("a run below its model")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "config.json").write_text("{}")
    (tmp_path / "moved" / "others").write_bytes(weights)
    assert len(set(hashes)) == len(hashes)
    assert resume.content_hash(tmp_path / "moved") == hashes[-1], "independent of location and time"
    assert resume.content_hash(model / "config.json") != resume.content_hash(model / "others")


def test_the_environment_of_a_run_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    (tmp_path / "pairs.jsonl").write_text("{}")
    settings = {"model": {"name": str(tmp_path), "adapter": "org/on-the-hub"}}
    recorded = resume.environment(
        config(**settings, mix={"mode": "replay", "pairs": str(tmp_path / "pairs.jsonl")})
    )
    assert set(recorded["inputs"]) == {"model", "mix.pairs"}
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert recorded["threads"] == str(len(os.sched_getaffinity(0)))
    assert resume.environment(config())["threads"] == "3"
    assert set(recorded["versions"]) == {"halo-core", "torch", "transformers", "peft", "accelerate"}


# More cycles


@driver
class Falling(LRPolicy):
    """Falls linearly to zero after the last cycle."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the learning rate."""
        return 0.1 * (1 - cycle / (cycles + 1))


def finished(place: Path, **settings: Any) -> Ledger:
    run, hooks = fake_run(place, cycles=2, **settings)
    run_cycles(run, hooks)
    return run.ledger


def test_an_extended_run_equals_one_started_with_all_cycles(tmp_path: Path) -> None:
    ledger = finished(tmp_path / "run")
    resume.check_same(ledger.directory, config(cycles=2), config(cycles=4), extend=True)
    resume.extend(ledger, config(cycles=4), FakePolicy())
    ledger.close()
    run, hooks = fake_run(tmp_path / "run", cycles=4)
    assert list(run.remaining_cycles()) == [3, 4]
    longer = run_cycles(run, hooks)
    whole = run_cycles(*fake_run(tmp_path / "whole", cycles=4))
    assert [report.heldout for report in longer] == [report.heldout for report in whole]
    assert ledger.config()["cycles"] == 4
    assert ("extended", "from 2 to 4 cycles") in [event[1:] for event in ledger.events()]


def test_learning_rates_that_depend_on_the_number_of_cycles_prevent_extension(tmp_path: Path) -> None:
    ledger = finished(tmp_path / "run")
    with pytest.raises(
        RunError, match=r"cycle 1 was 0.0667 and would have been 0.08 with 4 cycles"
    ) as caught:
        resume.extend(ledger, config(cycles=4), Falling())
    assert f"--adapter {ledger.adapter(2)}" in caught.value.hint
    assert ledger.config()["cycles"] == 2


def test_a_cycle_whose_weights_are_stored_prevents_extension_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that was killed between the weights of a cycle and its report."""
    run, hooks = fake_run(tmp_path / "run", cycles=2)
    write = run.ledger.write_report

    def killed(report: CycleReport) -> None:
        if report.cycle:
            raise KeyboardInterrupt
        write(report)

    monkeypatch.setattr(run.ledger, "write_report", killed)
    with pytest.raises(KeyboardInterrupt):
        run_cycles(run, hooks)
    ledger = Ledger(tmp_path / "run")
    assert len(ledger.reports()) == 1
    assert ledger.trained(1) is not None
    with pytest.raises(RunError, match="depend on the number of cycles: that of cycle 1"):
        resume.extend(ledger, config(cycles=4), Falling())
    resume.extend(ledger, config(cycles=4), FakePolicy())


def test_invalid_extensions(tmp_path: Path) -> None:
    ledger = finished(tmp_path / "run")
    with pytest.raises(RunError, match="started with 2 cycles, not 1"):
        resume.extend(ledger, config(cycles=1), FakePolicy())
    with pytest.raises(RunError, match="a curriculum selects depend on the number of cycles"):
        resume.extend(ledger, config(cycles=3, curriculum={"order": "easy_first"}), FakePolicy())
    resume.extend(ledger, config(cycles=2), Falling())  # nothing to do
    assert ledger.config()["cycles"] == 2
    with pytest.raises(RunError, match="cycles: was 2, is 4") as caught:
        resume.check_same(Path("my run"), config(), config(cycles=4))
    assert caught.value.hint.endswith("halo resume 'my run' --cycles 4")
    with pytest.raises(RunError, match="plugin: none there, gate here"):
        resume.check_same(Path("run"), config(), config(plugins=["gate"]))
    with pytest.raises(RunError, match="seed: was 0, is 1"):
        resume.check_same(ledger.directory, config(), config(cycles=4, seed=1), extend=True)


def test_another_distribution_of_a_driver_is_a_change(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.create({}, PLUGINS, [Prompt("p")], [], {}, {"it": "same"})
    moved = [PLUGINS[0] | {"distribution": "other", "version": "2"}]
    with pytest.raises(RunError, match="verifier 'it' was acme 1 and is other 2"):
        resume.check_unchanged(ledger, moved, verifiers("same"), {}, accept=False)
