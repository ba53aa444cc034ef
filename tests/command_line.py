"""Fixtures that install a distribution for a test and call the command line in this process."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return a function that installs a distribution during a test: modules by name, entry points by group,
    and its requirements."""
    number = 0

    def make(
        name: str,
        version: str,
        entry_points: dict[str, str],
        modules: dict[str, str] | None = None,
        requires: Sequence[str] = (),
    ) -> Path:
        nonlocal number
        number += 1
        site = tmp_path / f"site-{number}"
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {requirement}" for requirement in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text(
            "".join(f"[{g}]\n{rows}\n" for g, rows in entry_points.items())
        )
        for module, code in (modules or {}).items():
            (site / f"{module}.py").write_text(code)
            monkeypatch.delitem(sys.modules, module, raising=False)
        monkeypatch.syspath_prepend(str(site))
        return site

    return make


def editable(package: Path) -> Path:
    """Simulate an editable installation without a network: write metadata beside the sources; return their folder."""
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = package / "src" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {project['name']}", f"Version: {project['version']}"]
    lines += [f"Requires-Dist: {requirement}" for requirement in project.get("dependencies", ())]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    groups = project.get("entry-points", {}).items()
    sections = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in names.items()) for group, names in groups)
    (info / "entry_points.txt").write_text("\n".join(sections))
    return info.parent


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
