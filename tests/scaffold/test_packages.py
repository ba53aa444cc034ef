"""Generated packages: their tests are green, their code is clean, and a run with them works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import editable

from halo_core import Plan, run_cycles
from halo_core.config.kinds import KINDS
from halo_core.errors import ConfigError
from halo_core.scaffold.packages import Scaffold, render, write
from halo_core.testing import tiny_actor

Halo = Callable[..., Any]
SCAFFOLDS = [*(Scaffold(kind, "best-of-4") for kind in KINDS), Scaffold("verifier", "my_tool", program=True)]
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


EVEN = """
from halo_core import Stage, Status, Verdict, Verifier, driver

@driver
class Even(Verifier):
    "Accepts completions with an even number of characters."
    def check(self, prompt, completion):
        if completion.text and len(completion.text) % 2 == 0:
            return Verdict(Status.PASS, Stage.CORRECT, 1.0)
        return Verdict(Status.FAIL, Stage.WRONG)
"""


def test_a_run_of_a_real_model_with_a_new_generator_and_trainer_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("generator", "trainer", "selector"):
        monkeypatch.syspath_prepend(str(editable(made(Scaffold(kind, "mine"), tmp_path))))
    (tmp_path / "even.py").write_text(EVEN)
    lines = (json.dumps({"id": f"p{number}", "prompt": f"Count to {number}."}) for number in range(8))
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    raw = {
        "verifier": f"{tmp_path / 'even.py'}:Even",
        "model": {"name": tiny_actor().config.name, "device": "cpu", "dtype": "float32"},
        "data": {"prompts": str(tmp_path / "prompts.jsonl")},
        "generator": {"name": "mine", "max_new_tokens": 8},
        "trainer": {"name": "mine", "lora_rank": 4},
        "selector": "mine",
        "lr_policy": {"name": "constant", "base_lr": 1e-3},
        "cycles": 1,
    }
    with Plan.from_raw(raw).open(tmp_path / "run") as (run, hooks):
        _, report = run_cycles(run, hooks)
    assert report.train is not None
    assert report.train.update_norm > 0
    assert report.sampler_error is not None, "the generator recorded no log-probabilities"


@pytest.mark.parametrize("name", ["", "Roman", "1st", "a b", "a--b", "x-", "../x", "für", "a.b", "_x"])
def test_unusable_names_are_refused(name: str, halo: Halo) -> None:
    with pytest.raises(ConfigError, match="cannot be the name"):
        Scaffold("verifier", name)


def test_a_class_never_has_the_name_of_its_base() -> None:
    assert Scaffold("verifier", "program", program=True).cls == "MyProgramVerifier"
    assert Scaffold("lr_policy", "l-r").cls == "MyLRPolicy"
    assert Scaffold("reward", "less_is-more2").cls == "LessIsMore2Reward"


def test_other_mistakes_are_refused(halo: Halo) -> None:
    assert halo("new", "verfier", "x").remedy() == "did you mean 'verifier'?"
    assert "--program is for verifiers" in halo("new", "reward", "x", "--program").complaint()
    assert "'gcc' exists already, in halo-verifier-gcc" in halo("new", "verifier", "gcc").complaint()
    assert halo("new", "lr-policy", "mine").code == 0
    assert "halo-lr-policy-mine is not empty" in halo("new", "lr_policy", "mine").complaint()
    Path("file").touch()
    assert "--output" in halo("new", "reward", "x", "--output", "file").remedy()
