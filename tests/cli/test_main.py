"""The command line as a whole: help, errors, exit codes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]


def test_version(halo: Halo) -> None:
    answer = halo("--version")
    assert (answer.code, answer.out) == (0, f"halo {version('halo-core')}\n")


@pytest.mark.parametrize(
    "command", [(), ("run",), ("resume",), ("plugins",), ("plugins", "show"), ("config", "show")]
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(halo: Halo, command: tuple[str, ...], flag: str) -> None:
    answer = halo(*command, flag)
    assert answer.code == 0
    assert answer.out.startswith(f"Usage: {' '.join(('halo', *command))} ")


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]], ids=" ".join)
def test_help_imports_no_heavy_module(arguments: list[str]) -> None:
    heavy = {"torch", "transformers", "numpy", "yaml", "pluggy", "stevedore", "halo_core.config.schema"}
    heavy |= (
        {"pydantic"} if arguments == ["--help"] else set()
    )  # Typer imports it to parse the flags of a command
    code = (
        f"import sys; sys.argv = ['halo', *{arguments!r}]\n"
        "from halo_core.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"found = sorted({heavy!r} & set(sys.modules))\n"
        "sys.exit(repr(found) if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: halo")


@pytest.mark.parametrize("group", [(), ("plugins",), ("config",), ("lr",), ("study",)], ids=" ".join)
def test_help_shows_whole_summaries(
    halo: Halo, monkeypatch: pytest.MonkeyPatch, group: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    summaries = halo(*group, "--help").out.partition("Commands:\n")[2].splitlines()
    assert summaries
    for line in summaries:
        assert re.fullmatch(r"  [a-z]+ +[A-Z].*[^.]\.", line), line


def test_no_arguments_is_help(halo: Halo) -> None:
    assert "Commands:" in halo().out + halo().err
    assert "Commands:" in halo("config").out + halo("config").err


@pytest.mark.parametrize(
    "arguments", [("--hlep",), ("rnu",), ("run", "--verifer", "gcc"), ("resume",), ("plugins", "lst")]
)
def test_unknown_command_or_flag(halo: Halo, arguments: tuple[str, ...]) -> None:
    answer = halo(*arguments)
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert answer.err.startswith("halo: error: ")
    assert answer.err.count("\n") == 2


def test_misspelt_flag_suggests_the_nearest(halo: Halo) -> None:
    assert "--verifier" in halo("run", "--verifer", "gcc").err


def test_debug_is_allowed_in_any_position(halo: Halo) -> None:
    from halo_core.errors import ConfigError

    for arguments in (("--debug", "run"), ("run", "--debug")):
        with pytest.raises(ConfigError):
            halo(*arguments)


def test_multiline_message_is_printed_as_one_line(halo: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    from halo_core.errors import RunError

    def fail(path: Any) -> None:
        raise RunError("one\n  two\n\nthree", hint="four")

    monkeypatch.setattr("halo_core.config.layers.load_yaml", fail)
    answer = halo("run", "--config", "x")
    assert answer.err == "halo: error: one two three\nhalo: hint: four\n"
    assert answer.code == 1


def test_python_m_halo_core_is_halo() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "halo_core", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("halo ")


def test_doctor_without_torch(halo: Halo) -> None:
    answer = halo("doctor", "--no-torch")
    assert answer.code == 0
    assert f"halo-core     {version('halo-core')}" in answer.out
    assert "sandbox" in answer.out


def test_characters_outside_the_encoding_are_escaped(tmp_path: Path) -> None:
    code = "import sys; from halo_core.cli import main; sys.argv = ['halo', 'report', 'h\\u00f6f']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"halo: error: h\\xf6f contains no run")


@pytest.mark.parametrize("debug", [False, True])
def test_warnings_about_deprecated_parts_of_libraries_are_printed_with_debug_only(
    tmp_path: Path, debug: bool
) -> None:
    plugin = tmp_path / "noisy.py"
    plugin.write_text(
        "import warnings\n"
        "from halo_core import hookimpl\n"
        "warnings.simplefilter('always')\n"
        "warnings.warn('old part', DeprecationWarning)\n"
        "warnings.warn('real trouble', UserWarning)\n"
        "class Noisy:\n"
        "    @hookimpl\n"
        "    def on_cycle_end(self, run, history):\n"
        "        pass\n"
    )
    command = [sys.executable, "-m", "halo_core", *(["--debug"] if debug else [])]
    done = subprocess.run(
        [*command, "plugins", "check", f"{plugin}:Noisy"], capture_output=True, text=True, check=False
    )
    assert ("old part" in done.stderr) is debug
    assert "real trouble" in done.stderr
