"""Fixtures of the core's tests: factories of samples, fake distributions, and the command line in this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict

settings.register_profile("halo", deadline=None, derandomize=True)  # a slow machine is not a failure
settings.load_profile("halo")
DRIVERS = Path(__file__).with_name("fake_drivers.py")


@pytest.fixture(scope="session", autouse=True)
def no_sync() -> Iterator[None]:
    """Skip fsync, which only tests of power cuts need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a package of halo that is never installed, so that tests can observe the error about it."""
    from halo_core.config.kinds import PACKAGES

    monkeypatch.setitem(PACKAGES, ("verifier", "lean"), "halo-verifier-lean")


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """Return a factory of samples with defaults for every field."""

    def make(
        prompt: str = "p",
        index: int = 0,
        *,
        reward: float | None = 1.0,
        text: str = "",
        ids: tuple[int, ...] | None = None,
        finish: str = "stop",
        status: Status = Status.PASS,
        stage: Stage = Stage.CORRECT,
        warnings: int = 0,
        score: float = 1.0,
        weight: float = 1.0,
    ) -> Sample:
        text = text or f"{prompt}/{index}"
        token_ids = tuple(text.encode()) if ids is None else ids
        completion = Completion(prompt, index, text, (1,), token_ids, finish)
        verdict = Verdict(status, stage, score, warnings)
        return Sample(Prompt(prompt, f"task {prompt}"), completion, verdict, reward, weight)

    return make


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that installs a distribution during a test: modules by name, entry points by group."""
    number = 0

    def make(
        name: str, version: str, entry_points: dict[str, str], modules: dict[str, str] | None = None
    ) -> Path:
        nonlocal number
        number += 1
        site = tmp_path / f"site-{number}"
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(
            "".join(f"[{g}]\n{rows}\n" for g, rows in entry_points.items())
        )
        for module, code in (modules or {}).items():
            (site / f"{module}.py").write_text(code)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(site))
        return site

    return make


@dataclass(frozen=True)
class CommandResult:
    """The result of one call of the command line."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """Return stderr; fail unless it is one line with the error, and at most one with a hint."""
        assert self.code not in (0, None), self.out
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert lines, "no error was printed"
        assert lines[0].startswith("halo: error: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("halo: hint: ")), self.err
        assert "bug in halo" not in self.err, self.err
        return self.err

    def remedy(self) -> str:
        """Return the hint; fail if there is none."""
        lines = self.complaint().splitlines()
        assert len(lines) == 2, f"no hint: {lines}"
        return lines[1].removeprefix("halo: hint: ")


@pytest.fixture
def halo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., CommandResult]:
    """Return a function that calls the command line in this process, in an empty directory, with a `FakeActor`.

    The report is not written after each cycle, because drawing it would take longer than everything else.
    """
    from halo_core.builtin.report import ReportFile
    from halo_core.cli import main
    from halo_core.testing import FakeActor

    monkeypatch.setattr(ReportFile, "_write", lambda self, run: None)
    monkeypatch.setattr("halo_core.model.actor.Actor", lambda config: FakeActor())
    working_directory = tmp_path / "here"
    working_directory.mkdir(exist_ok=True)
    monkeypatch.chdir(working_directory)

    def call(*arguments: object) -> CommandResult:
        monkeypatch.setattr(sys, "argv", ["halo", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return CommandResult(code if isinstance(code, int) else int(bool(code)), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def fakes() -> list[str]:
    """Return flags that select drivers of `fake_drivers.py`, so that torch is not needed."""
    kinds = {"verifier": "Words", "generator": "Skilled", "trainer": "Adder", "lr-policy": "Flat"}
    return [text for kind, name in kinds.items() for text in (f"--{kind}", f"{DRIVERS}:{name}")]
