"""`halo config validate`: every check that a run makes before it starts; and the paths of a configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import CommandResult

from halo_core.errors import ModelError

Halo = Callable[..., CommandResult]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
GCC_TEST = {"tests": [{"stdin": "1 2", "stdout": "3"}]}


def write(name: str, *rows: dict[str, Any]) -> Path:
    path = Path(name)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_validate_prints_the_size_of_the_run(halo: Halo, fakes: list[str], prompts: Path) -> None:
    answer = halo("config", "validate", *fakes, "--data", prompts, "--model", "m", "-n", 3)
    assert answer.out.startswith("ok: 3 cycles of 18 prompts x 8 samples, 2 held-out prompts x 8")
    assert "2 held-out prompts are too few" in answer.out
    assert not list(Path.cwd().iterdir())
    prompts.write_text("nonsense\n")
    assert ":1: not JSON" in halo("config", "validate", *fakes, "--data", prompts, "--model", "m").complaint()


@pytest.mark.parametrize(
    ("flags", "problem", "remedy"),
    [
        (["-V", "missing_tool=true"], "no C compiler", "apt-get install gcc"),
        (["-p", "trackio"], "package 'trackio' is not installed", "pip install trackio"),
        (["-p", "./needy.py"], "no licence", "buy one"),
    ],
)
def test_validate_checks_what_drivers_and_plugins_need(
    halo: Halo,
    fakes: list[str],
    prompts: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: list[str],
    problem: str,
    remedy: str,
) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    Path("needy.py").write_text(
        "from halo_core import hookimpl\nfrom halo_core.errors import PluginError\n"
        "@hookimpl\ndef on_cycle_end(report):\n    pass\n"
        "def preflight():\n    raise PluginError('no licence', hint='buy one')\n"
    )
    for command in (("config", "validate"), ("run",)):
        answer = halo(*command, *fakes, "-d", prompts, "-m", "m", *flags)
        assert problem in answer.complaint()
        assert answer.err.count(problem) == 1
        assert remedy in answer.remedy()
    assert not Path("runs").exists() or not list(Path("runs").iterdir()), "no run was started"


def test_validate_checks_the_model(
    halo: Halo, fakes: list[str], prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_core.testing import FakeActor

    def missing(_self: FakeActor) -> str:
        raise ModelError("there is no directory './nowhere'", hint="check the path of the model")

    validate = ["config", "validate", *fakes, "-d", prompts, "-m", "owner/name"]
    monkeypatch.setattr(FakeActor, "preflight", lambda self: "owner/name")
    assert "note: owner/name is not on this machine" in halo(*validate).out
    monkeypatch.setattr(FakeActor, "preflight", missing)
    assert "no directory" in halo(*validate).complaint()


def test_a_misspelt_reference_is_a_warning_of_validate_and_of_the_run(halo: Halo) -> None:
    data = write("p.jsonl", *({"prompt": f"Print {n}.", "refrence": GCC_TEST} for n in range(10)))
    answer = halo("config", "validate", "-v", "gcc", "-d", data, "-m", "m")
    assert answer.code == 0
    assert "warning: unknown key 'refrence': did you mean 'reference'?" in answer.out
    assert "warning: 0 of 10 prompts have tests: no completion can pass" in answer.out
    answer = halo("run", "-v", "gcc", "--generator", f"{DRIVERS}:Skilled", "-d", data, "-m", "m", "-n", 1)
    assert "data     0 of 10 prompts have tests: no completion can pass" in answer.out


def test_some_prompts_without_tests_are_counted(halo: Halo) -> None:
    rows = [{"prompt": f"Print {n}.", "reference": GCC_TEST if n else {}} for n in range(10)]
    answer = halo("config", "validate", "-v", "gcc", "-d", write("p.jsonl", *rows), "-m", "m")
    assert "warning: 1 of 10 prompts have no tests: their completions never pass" in answer.out
    complete = write("q.jsonl", *rows[1:])
    assert "warning" not in halo("config", "validate", "-v", "gcc", "-d", complete, "-m", "m").out


def test_an_error_in_a_reference_names_its_line(halo: Halo) -> None:
    rows = [
        {"prompt": "a", "reference": GCC_TEST},
        {"id": "b", "prompt": "b", "reference": {"test": []}},
    ]
    answer = halo("config", "validate", "-v", "gcc", "-d", write("p.jsonl", *rows), "-m", "m")
    assert "/p.jsonl:2: unknown key 'test' in reference" in answer.complaint()


def test_an_error_about_a_missing_reference_names_the_misspelt_key(halo: Halo) -> None:
    rows = [{"prompt": f"{n} + 1?", "refrence": {"answer": "2"}} for n in range(4)]
    answer = halo("config", "validate", "-v", "sympy", "-d", write("p.jsonl", *rows), "-m", "m")
    assert "p.jsonl:1: " in answer.complaint()
    assert answer.remedy() == "the data has a key 'refrence': did you mean 'reference'?"


@pytest.mark.parametrize("verifier", ["sympy", "sql", "jsonschema"])
def test_an_error_about_a_missing_reference_names_the_columns_to_take_it_from(
    halo: Halo, verifier: str
) -> None:
    rows = [{"prompt": f"{n} + 1?", "solution": "2", "level": n} for n in range(4)]
    answer = halo("config", "validate", "-v", verifier, "-d", write("p.jsonl", *rows), "-m", "m")
    assert answer.remedy().endswith("--set data.columns.KEY=COLUMN takes KEY from a column (level, solution)")


def test_a_prompt_in_both_files_is_named_by_its_lines(halo: Halo, fakes: list[str]) -> None:
    write("p.jsonl", {"prompt": "a"}, {"prompt": "b"})
    write("h.jsonl", {"prompt": "c"}, {"prompt": "b", "level": 2})
    answer = halo("config", "validate", *fakes, "-d", "p.jsonl", "--heldout", "h.jsonl", "-m", "m")
    here = Path.cwd()
    assert (
        f"held-out prompt {here}/h.jsonl:2 is also a training prompt ({here}/p.jsonl:2)" in answer.complaint()
    )


@pytest.mark.parametrize(
    "text",
    ["data: {prompts: p.jsonl}", "plugins: [./shape.py]", "model: {name: p.jsonl}", "reward: ./r.py:Mine"],
)
def test_a_path_that_exists_only_beside_the_configuration_is_an_error_with_the_right_path(
    halo: Halo, fakes: list[str], text: str
) -> None:
    Path("sub").mkdir()
    for name in ("p.jsonl", "shape.py", "r.py"):
        Path("sub", name).write_text("")
    Path("sub/c.yaml").write_text(f"{text}\n")
    answer = halo("config", "show", *fakes, "-c", "sub/c.yaml")
    assert answer.code == 2
    assert "in the working directory" in answer.complaint()
    assert "write sub/" in answer.remedy()


def test_a_path_that_a_flag_overrides_is_not_checked(halo: Halo, fakes: list[str], prompts: Path) -> None:
    Path("sub").mkdir()
    write("sub/q.jsonl", {"prompt": "a"})
    Path("sub/c.yaml").write_text("data: {prompts: q.jsonl}\n")
    assert halo("config", "show", *fakes, "-c", "sub/c.yaml", "-d", prompts, "-m", "m").code == 0


def test_a_misspelt_name_is_invalid_input(halo: Halo) -> None:
    for command in (("run", "-v", "gccc"), ("plugins", "show", "gccc"), ("audit", "-v", "./no.py:X")):
        assert halo(*command).code == 2
