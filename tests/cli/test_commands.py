"""Commands that packages add to `halo`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]
Install = Callable[..., Path]
GROUP = "halo.commands"
APP = """
import typer

app = typer.Typer(help="Weigh things.")


@app.command()
def heavy(count: int) -> None:
    print(f"{count} kg")


@app.command()
def light() -> None:
    print("a feather")
"""


@pytest.fixture
def weigh(install: Install) -> None:
    install("acme-weigh", "1.0", {GROUP: "weigh = acme_weigh:app"}, {"acme_weigh": APP})


def test_a_group_of_commands(weigh: None, halo: Halo) -> None:
    assert halo("weigh", "heavy", 3).out == "3 kg\n"
    assert halo("weigh", "light").out == "a feather\n"
    shown = halo("weigh", "--help").out
    assert "Weigh things." in shown
    assert "--install-completion" not in shown


def test_a_function_is_a_command(install: Install, halo: Halo) -> None:
    code = "def greet(name: str = 'world') -> None:\n    print(f'hello {name}')"
    install("acme-greet", "1.0", {GROUP: "greet = acme_greet:greet"}, {"acme_greet": code})
    assert halo("greet", "--name", "you").out == "hello you\n"


def test_help_and_plugins_list_commands_without_importing_them(install: Install, halo: Halo) -> None:
    install(
        "acme-bomb", "1.0", {GROUP: "bomb = acme_bomb:app"}, {"acme_bomb": "raise SystemExit('imported')"}
    )
    assert "bomb      Command of acme-bomb." in halo("--help").out
    rows = [line.split() for line in halo("plugins").out.splitlines()]
    assert ["command", "bomb", "acme-bomb", "1.0", "acme_bomb:app"] in rows


def test_a_command_that_cannot_be_imported_is_reported_in_one_line(install: Install, halo: Halo) -> None:
    install("acme-bad", "1.0", {GROUP: "bad = acme_bad:app"}, {"acme_bad": "import acme_missing"})
    assert "command 'bad' (acme-bad 1.0) cannot be imported" in halo("bad").complaint()
    install("acme-odd", "1.0", {GROUP: "odd = acme_odd:app"}, {"acme_odd": "app = 3"})
    assert "int, not a command" in halo("odd").complaint()
    answer = halo("plugins", "check", "odd")
    assert answer.code == 1
    assert "int, not a command" in answer.out


def test_two_packages_that_provide_one_command_are_both_named(
    weigh: None, install: Install, halo: Halo
) -> None:
    install("acme-scales", "2.0", {GROUP: "weigh = acme_scales:app"}, {"acme_scales": APP})
    assert "Command of acme-" in halo("--help").out
    assert "provided by acme-scales and acme-weigh" in halo("weigh", "light").complaint()
    assert halo("acme-scales:weigh", "light").out == "a feather\n"


def test_a_package_cannot_replace_a_command_of_halo(install: Install, halo: Halo) -> None:
    install("acme-doctor", "1.0", {GROUP: "doctor = acme_doctor:app"}, {"acme_doctor": APP})
    assert "heavy" not in halo("doctor", "--help").out


def test_a_command_of_a_missing_package_names_the_package(
    monkeypatch: pytest.MonkeyPatch, halo: Halo
) -> None:
    monkeypatch.setattr("halo_core.cli.commands._installed", dict)
    monkeypatch.setattr("halo_core.plugin.discovery.entry_points", lambda group: ())
    assert halo("lr", "schedule").remedy() == "pip install halo-lr-policies"


def test_an_unknown_command_is_a_usage_error(halo: Halo) -> None:
    answer = halo("lrr")
    assert answer.code == 2
    assert "lrr" in answer.err
