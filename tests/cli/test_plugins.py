"""`halo plugins`."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]
Install = Callable[..., Path]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
VERIFIERS = """
from halo_core.drivers import Verifier, driver
from halo_core.errors import PluginError

@driver
class Checker(Verifier):
    "Checks."
    def check(self, prompt, completion): ...

class Picky(Checker):
    def preflight(self):
        raise PluginError("no tool", hint="install the tool")

@driver
class Needy(Checker):
    tool: str
    "Program to run."
"""
HOOKS = """
from halo_core import hookimpl
from halo_core.drivers import driver

class Plain:
    "Watches."
    @hookimpl
    def on_cycle_end(self, report): ...

class Typo:
    @hookimpl
    def on_cycle_ends(self, report): ...

@driver
class Needy:
    "Wraps."
    factor: float
    "Factor of the rewards."
    @hookimpl(wrapper=True)
    def reward(self):
        return (yield)
"""


def test_plugins_are_listed_as_a_table(halo: Halo) -> None:
    answer = halo("plugins")
    rows = [line.split() for line in answer.out.splitlines()]
    assert rows[0] == ["kind", "name", "distribution", "version", "target"]
    assert ["selector", "raft", "halo-core", version("halo-core"), "halo_core.drivers.raft:RAFT"] in rows
    assert {row[0] for row in rows[1:]} >= {"generator", "reward", "selector", "trainer", "lr_policy"}
    assert not any(line.endswith(" ") for line in answer.out.splitlines())


def test_json_and_table_agree(halo: Halo) -> None:
    listed = json.loads(halo("plugins", "--json").out)
    table = [line.split() for line in halo("plugins").out.splitlines()[1:]]
    assert [
        [row[key] for key in ("kind", "name", "distribution", "version", "target")] for row in listed
    ] == table


def test_listing_imports_no_plugin_and_no_heavy_module(install: Install) -> None:
    site = install(
        "acme", "1", {"halo.verifiers": "bomb = acme_bomb:X"}, {"acme_bomb": "raise SystemExit('imported')"}
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv = ['halo', 'plugins']\n"
        "from halo_core.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'acme_bomb', 'torch', 'transformers', 'numpy', 'yaml', 'halo_core.drivers', 'halo_lr_policies'}\n"
        "sys.exit(repr(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "acme_bomb:X" in done.stdout


def test_show_prints_docstring_and_options(halo: Halo) -> None:
    out = halo("plugins", "show", "exponential").out
    assert out.startswith(f"lr_policy 'exponential' (halo-lr-policies {version('halo-lr-policies')})\n\n")
    assert "base_lr x decay^(cycle - 1)" in out
    assert re.search(r"decay +float +0.85 +Factor from one cycle to the next", out)
    raft = halo("plugins", "show", "raft").out
    assert "Literal['prompt', 'run']" in raft
    assert "int | none" in raft
    assert "no options" in halo("plugins", "show", "binary").out


@pytest.mark.parametrize("installed", ["gcc", "exponential"])
def test_show_names_the_package_to_install(
    halo: Halo, monkeypatch: pytest.MonkeyPatch, installed: str
) -> None:
    monkeypatch.setattr("halo_core.plugin.discovery.entry_points", lambda group: [])
    assert halo("plugins", "show", installed).remedy().startswith("pip install halo-")


def test_show_suggests_the_nearest_of_any_kind(halo: Halo) -> None:
    answer = halo("plugins", "show", "exponental")
    assert "no plugin named 'exponental' is installed" in answer.complaint()
    assert answer.remedy() == "did you mean 'exponential'?"
    assert (
        halo("plugins", "show", "exponental", "--kind", "reward").remedy()
        == "known: binary, fraction, graduated, weighted"
    )


def test_show_of_an_ambiguous_name(halo: Halo, install: Install) -> None:
    install("acme-one", "1", {"halo.verifiers": "twin = acme_one:Checker"}, {"acme_one": VERIFIERS})
    install("acme-two", "2", {"halo.verifiers": "twin = acme_two:Checker", "halo.rewards": "raft = acme_two:Checker"},
            {"acme_two": VERIFIERS})  # fmt: skip
    assert halo("plugins", "show", "twin").remedy() == "choose one: acme-one:twin or acme-two:twin"
    assert halo("plugins", "show", "acme-two:twin").out.startswith("verifier 'twin' (acme-two 2)")
    assert halo("plugins", "show", "raft").remedy() == "choose one: --kind reward or --kind selector"
    assert halo("plugins", "show", "raft", "--kind", "selector").code == 0


def test_show_of_a_file(halo: Halo, tmp_path: Path) -> None:
    verifiers, hooks = tmp_path / "verifiers.py", tmp_path / "hooks.py"
    verifiers.write_text(VERIFIERS)
    hooks.write_text('"""Shapes rewards."""\n' + HOOKS)
    needy = halo("plugins", "show", f"{verifiers}:Needy").out
    assert needy.startswith(f"verifier 'Needy' ({verifiers} sha256:")
    assert "tool    str   required  Program to run." in needy
    assert halo("plugins", "show", f"{hooks}:Needy").out.startswith("plugin 'Needy'")
    assert "Shapes rewards." in halo("plugins", "show", hooks).out


def test_unknown_kind(halo: Halo) -> None:
    for command in (("show", "raft"), ("check",), ("check", "raft")):
        answer = halo("plugins", *command, "--kind", "vrifier")
        assert "unknown kind 'vrifier'" in answer.complaint()
        assert answer.remedy() == "did you mean 'verifier'?"


def test_check_of_working_plugins(halo: Halo) -> None:
    answer = halo("plugins", "check", "raft", "exponential")
    assert answer.code == 0
    assert [line[:4] for line in answer.out.splitlines()] == ["ok  ", "ok  "]


def test_check_of_a_kind_checks_all_its_plugins(halo: Halo) -> None:
    lines = halo("plugins", "check", "--kind", "reward").out.splitlines()
    assert [line.split("'")[1] for line in lines] == ["binary", "fraction", "graduated", "weighted"]


def test_check_continues_after_a_failure(halo: Halo, install: Install) -> None:
    names = ("Picky", "Needy", "PluginError")
    rows = "\n".join(["bomb = acme_bomb:X", *(f"{name} = acme_verifiers:{name}" for name in names)])
    install(
        "acme",
        "1",
        {"halo.verifiers": rows},
        {"acme_bomb": "raise ValueError('x')", "acme_verifiers": VERIFIERS},
    )
    answer = halo("plugins", "check", "bomb", *names, "raft")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert [line[:4] for line in lines] == ["FAIL", "FAIL", "ok  ", "FAIL", "ok  "]
    assert "cannot be imported: ValueError: x; reinstall acme" in lines[0]
    assert lines[1] == "FAIL  verifier 'Picky' (acme 1): no tool; install the tool"
    assert "is not a Verifier" in lines[3]
    assert "Traceback" not in answer.out + answer.err


@pytest.mark.parametrize(
    ("name", "ok"),
    [("Plain", True), ("Needy", True), ("Typo", False)],
    ids=["plain", "needs an option", "misspelt"],
)
def test_check_registers_hook_plugins(halo: Halo, tmp_path: Path, name: str, ok: bool) -> None:
    path = tmp_path / "hooks.py"
    path.write_text(HOOKS)
    answer = halo("plugins", "check", f"{path}:{name}")
    assert answer.code == (0 if ok else 1)
    assert ok or "which is not a hook; did you mean 'on_cycle_end'?" in answer.out


def test_check_of_files(halo: Halo, tmp_path: Path) -> None:
    path = tmp_path / "shape.py"
    path.write_text("from halo_core import hookimpl\n@hookimpl\ndef on_run_start(run): ...\n")
    assert halo("plugins", "check", path).code == 0
    assert halo("plugins", "check", f"{DRIVERS}:Words").out.startswith("ok    verifier 'Words'")
    assert "cannot be read" in halo("plugins", "check", tmp_path / "nowhere.py").complaint()
