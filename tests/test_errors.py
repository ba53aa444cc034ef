from __future__ import annotations

from pathlib import Path

import pytest

from halo_core import errors
from halo_core.config.layers import load_yaml
from halo_core.data import load_prompts
from halo_core.errors import ConfigError, HaloError, did_you_mean, first_line

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HaloError)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_each_error_has_a_message_a_hint_and_an_exit_code(kind: type[HaloError]) -> None:
    error = kind("it broke", hint="fix it")
    assert str(error) == "it broke"
    assert error.hint == "fix it"
    assert kind("it broke").hint == ""
    assert 0 < kind.exit_code < 256


def test_errors_of_the_user_have_exit_code_2() -> None:
    assert ConfigError.exit_code == errors.DataError.exit_code == 2
    assert errors.UnknownPluginError.exit_code == 2
    assert errors.Interrupted.exit_code == 130


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("exponental", ["exponential", "manual"], "did you mean 'exponential'?"),
        ("zzz", ["b", "a"], "known: a, b"),
        ("temp", ["system", "temperature", "top_p"], "did you mean 'temperature'?"),
        ("max", ["max_tokens", "max_rows"], "known: max_rows, max_tokens"),
        ("zzz", [], ""),
    ],
)
def test_did_you_mean(word: str, known: list[str], expected: str) -> None:
    assert did_you_mean(word, known) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "OSError"),
        (" \n", "OSError"),
        ("one\ntwo", "one"),
        ("these are missing:\n  a.bin\nand more", "these are missing: a.bin"),
        ("alone:", "alone:"),
    ],
)
def test_first_line_is_one_line_and_never_empty(text: str, expected: str) -> None:
    assert first_line(OSError(text)) == expected


def test_a_command_names_the_program_that_the_shell_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / ".venv" / "bin" / "halo"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [str(program), "run"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert errors.command("halo", "resume", "my run") == ".venv/bin/halo resume 'my run'"
    assert errors.command("halo", "runs", after_cd=True) == f"{program} runs"
    assert errors.command("pip", "list") == "pip list", "uv makes environments without pip"
    program.with_name("pip").touch()
    assert errors.command("pip", "list") == ".venv/bin/pip list"
    assert errors.command("--adapter", "x") == "--adapter x"
    monkeypatch.setattr("sys.argv", [".venv/bin/halo", "run"])
    assert errors.command("halo", "runs") == ".venv/bin/halo runs"
    assert errors.command("halo", "runs", after_cd=True) == f"{program} runs"
    monkeypatch.chdir("/")
    monkeypatch.setattr("sys.argv", [str(program), "run"])
    assert errors.command("halo", "runs") == str(program.relative_to("/")) + " runs"
    monkeypatch.setenv("PATH", str(program.parent))
    assert errors.command("halo", "resume", "run") == "halo resume run"
    monkeypatch.setattr("sys.argv", ["pytest"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert errors.command("halo", "runs") == "halo runs"


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("missing", "No such file or directory", "a relative one starts at"),
        (".", "Is a directory", "name a file"),
        ("latin", "not UTF-8 text", "save it as UTF-8"),
        ("bracket", "expected", "check indentation, brackets and quotes"),
    ],
)
def test_a_file_that_cannot_be_read_has_a_remedy(
    name: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("latin").write_bytes(b"caf\xe9")
    Path("bracket").write_text("a: [1,\nb: }")
    for read in (load_yaml, load_prompts) if name != "bracket" else (load_yaml,):
        with pytest.raises(HaloError, match=message) as caught:
            read(Path(name))
        assert hint in caught.value.hint, read


def test_the_remedy_for_an_absolute_path_names_no_directory(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml(tmp_path / "missing")
    assert caught.value.hint == "check the path"
