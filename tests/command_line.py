"""Fixtures that install a distribution for a test and call the command line in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Install a distribution for the length of a test: its modules by name, its entry points by group."""
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
class Answer:
    """What one call of the command line came to."""

    code: int
    out: str
    err: str

    def complaint(self) -> str:
        """The one line that says what is wrong; fails when there is more or less than that."""
        assert self.code not in (0, None), self.out
        assert "Traceback" not in self.err
        lines = self.err.splitlines()
        assert lines, "nothing was said"
        assert lines[0].startswith("halo: error: ")
        assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("halo: hint: ")), self.err
        assert "bug in halo" not in self.err, self.err
        return self.err

    def remedy(self) -> str:
        """The hint, which must be there."""
        lines = self.complaint().splitlines()
        assert len(lines) == 2, f"no hint: {lines}"
        return lines[1].removeprefix("halo: hint: ")


@pytest.fixture
def halo(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Answer]:
    """Call the command line in this process, in an empty directory, with a model of one weight.

    The report is not drawn after each cycle, which would take longer than everything else.
    """
    from halo_core.builtin.report import ReportFile
    from halo_core.cli import main
    from halo_core.testing import FakeActor

    monkeypatch.setattr(ReportFile, "_write", lambda self, run: None)
    monkeypatch.setattr("halo_core.model.actor.Actor", lambda config: FakeActor())
    here = tmp_path / "here"
    here.mkdir(exist_ok=True)
    monkeypatch.chdir(here)

    def call(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["halo", *map(str, arguments)])
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        captured = capsys.readouterr()
        return Answer(code if isinstance(code, int) else int(bool(code)), captured.out, captured.err)

    return call
