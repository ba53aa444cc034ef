from __future__ import annotations

import os
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


def test_no_arguments_is_help(halo: Halo) -> None:
    assert "Commands:" in halo().out + halo().err
    assert "Commands:" in halo("config").out + halo("config").err


@pytest.mark.parametrize(
    "arguments", [("--hlep",), ("rnu",), ("run", "--verifer", "gcc"), ("resume",), ("plugins", "lst")]
)
def test_a_wrong_command_or_flag(halo: Halo, arguments: tuple[str, ...]) -> None:
    answer = halo(*arguments)
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert "Error: " in answer.err


def test_a_misspelt_flag_is_told_the_nearest(halo: Halo) -> None:
    assert "--verifier" in halo("run", "--verifer", "gcc").err


def test_debug_may_stand_anywhere(halo: Halo) -> None:
    from halo_core.errors import ConfigError

    for arguments in (("--debug", "run"), ("run", "--debug")):
        with pytest.raises(ConfigError):
            halo(*arguments)


def test_messages_of_many_lines_become_one(halo: Halo, monkeypatch: pytest.MonkeyPatch) -> None:
    from halo_core.errors import RunError

    def fail(path: Any) -> None:
        raise RunError("one\n  two\n\nthree", hint="four")

    monkeypatch.setattr("halo_core.config.layers.load_yaml", fail)
    answer = halo("run", "--config", "x")
    assert answer.err == "halo: error: one two three\nhalo: hint: four\n"
    assert answer.code == 1


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "halo_core", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("halo ")


def test_doctor_without_torch(halo: Halo) -> None:
    answer = halo("doctor", "--no-torch")
    assert answer.code == 0
    assert f"halo-core     {version('halo-core')}" in answer.out
    assert "sandbox" in answer.out


def test_what_the_terminal_cannot_say_is_escaped(tmp_path: Path) -> None:
    code = "import sys; from halo_core.cli import main; sys.argv = ['halo', 'report', 'h\\u00f6f']; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"halo: error: h\\xf6f holds no run")
