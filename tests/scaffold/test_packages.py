"""Generated packages: their tests are green, their code is clean, and a run with them works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from command_line import editable

from halo_core.config.kinds import KINDS
from halo_core.errors import ConfigError
from halo_core.scaffold.packages import Scaffold, render, write

Halo = Callable[..., Any]
SCAFFOLDS = [
    Scaffold(kind, "best-of-4") for kind in KINDS if kind != "trainer" or find_spec("halo_core.training")
]
ORACLE = """
from dataclasses import replace
from halo_core import driver
from halo_core.testing import FakeGenerator

@driver
class Oracle(FakeGenerator):
    "Knows the reference, and writes it as often as the fake model is right."
    def generate(self, request, context):
        answers = {prompt.id: prompt.reference.get("answer") for prompt in request.prompts}
        for batch in super().generate(request, context):
            yield [
                replace(each, text=f"It is {answers[each.prompt_id] if each.text[0] == 'r' else 0}.")
                for each in batch
            ]
"""


def name_of(scaffold: Scaffold) -> str:
    return f"{scaffold.template}-{scaffold.name}"


each_scaffold = pytest.mark.parametrize("scaffold", SCAFFOLDS, ids=name_of)


def made(scaffold: Scaffold, folder: Path) -> Path:
    """Create the package in `folder`; return its directory."""
    write(folder / scaffold.distribution, render(scaffold))
    return folder / scaffold.distribution


def python(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(package / "src")}
    return subprocess.run(
        [sys.executable, "-m", *words], cwd=package, env=environment, capture_output=True, text=True
    )


@each_scaffold
def test_the_tests_of_a_new_package_are_green(scaffold: Scaffold, tmp_path: Path) -> None:
    done = python(made(scaffold, tmp_path), "pytest", "-q", "-p", "no:cacheprovider")
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@each_scaffold
def test_a_new_package_is_clean(scaffold: Scaffold, tmp_path: Path) -> None:
    package = made(scaffold, tmp_path)
    for command in (("check",), ("format", "--check")):
        done = python(package, "ruff", *command, "--no-cache", "--isolated", "--line-length=110", ".")
        assert done.returncode == 0, done.stdout + done.stderr
    for path in package.rglob("*"):
        if path.is_file() and path.name != "py.typed":
            text = path.read_text()
            assert text.endswith("\n")
            assert "{%" not in text
            assert "{{ it" not in text


@each_scaffold
def test_a_new_package_is_found_and_passes_the_check(
    scaffold: Scaffold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halo: Halo
) -> None:
    monkeypatch.syspath_prepend(str(editable(made(scaffold, tmp_path))))
    answer = halo("plugins", "check", scaffold.name, "--kind", scaffold.kind)
    assert answer.code == 0, answer.out + answer.err


@pytest.mark.parametrize("kind", ["reward", "selector", "lr_policy", "plugin"])
def test_a_run_with_a_new_package_works(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halo: Halo, fakes: list[str]
) -> None:
    directory = tmp_path / "package"
    write(directory, render(Scaffold(kind, "mine")))
    monkeypatch.syspath_prepend(str(editable(directory)))
    flag = f"--{kind.replace('_', '-')}"
    others = fakes[:-2] if kind == "lr_policy" else fakes
    answer = halo("run", *others, flag, "mine", "-n", 2, "--samples", 4, "-o", "run")
    assert answer.code == 0, answer.err
    recorded = json.loads(Path("run/plugins.json").read_text())
    assert f"halo-{kind.replace('_', '-')}-mine" in {row["distribution"] for row in recorded}


def test_a_run_and_an_audit_with_a_new_verifier_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, halo: Halo, fakes: list[str]
) -> None:
    answer = halo("new", "verifier", "sums", "--output", "sums")
    assert answer.code == 0, answer.err
    assert "sums/prompts.jsonl" in answer.out
    monkeypatch.syspath_prepend(str(editable(Path("sums"))))
    (tmp_path / "oracle.py").write_text(ORACLE)
    data = ("--verifier", "sums", "--data", "sums/prompts.jsonl")
    assert "passed" in halo("audit", *data).out
    flags = [*fakes[4:], "--generator", f"{tmp_path / 'oracle.py'}:Oracle", "--model", "m", "-n", 2]
    answer = halo("run", *data, *flags, "--samples", 4, "-o", "run")
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("name", ["", "Roman", "1st", "a b", "a--b", "x-", "../x", "für", "a.b", "_x"])
def test_unusable_names_are_refused(name: str, halo: Halo) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        Scaffold("verifier", name)


def test_other_mistakes_are_refused(halo: Halo) -> None:
    assert halo("new", "verfier", "x").remedy() == "did you mean 'verifier'?"
    assert "--program is for verifiers" in halo("new", "reward", "x", "--program").complaint()
    assert "'gcc' exists already, in halo-verifier-gcc" in halo("new", "verifier", "gcc").complaint()
    assert halo("new", "lr-policy", "mine").code == 0
    assert "halo-lr-policy-mine is not empty" in halo("new", "lr_policy", "mine").complaint()
    Path("file").touch()
    assert "--output" in halo("new", "reward", "x", "--output", "file").remedy()
