"""`--json`: every command that prints a table prints the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
COMMANDS: dict[str, tuple[list[object], int]] = {
    "runs": (["runs", "."], 0),
    "compare": (["compare", "a", "b"], 0),
    "diff": (["diff", "a", "a"], 0),
    "diff of different runs": (["diff", "a", "b"], 1),
    "reverify": (["reverify", "a", "-V", "mode=strict"], 0),
    "reselect": (["reselect", "a", "-S", "keep_top=1"], 0),
    "diagnose": (["diagnose", "a"], 0),
    "plugins": (["plugins"], 0),
    "plugins show": (["plugins", "show", "raft"], 0),
    "plugins check": (["plugins", "check", "raft", f"{DRIVERS}:Words"], 0),
    "samples": (["samples", "a", "--chosen", "-n", 2], 0),
    "doctor": (["doctor", "--no-torch"], 0),
    "lr schedule": (["lr", "schedule", "--lr-policy", "exponential"], 0),
    "lr compare": (["lr", "compare", "constant", "exponential"], 0),
    "lr simulate": (["lr", "simulate", "a", "constant"], 0),
    "lr recommend": (["lr", "recommend", "raft"], 0),
    "lr steps": (["lr", "steps", "100"], 0),
}
"""Arguments and exit code."""


@pytest.fixture
def answer(run: Halo, halo: Halo, request: pytest.FixtureRequest) -> Any:
    run("a")
    run("b", "--seed", 1)
    arguments, code = COMMANDS[request.param]
    answer = halo(*arguments, "--json")
    assert answer.code == code, answer.err
    return json.loads(answer.out)


@pytest.mark.parametrize("answer", COMMANDS, indirect=True)
def test_output_is_one_json_value(answer: Any) -> None:
    assert answer is not None


@pytest.mark.parametrize("answer", ["runs"], indirect=True)
def test_runs_have_their_reports(answer: Any) -> None:
    assert [(row["directory"], row["status"], row["done"]) for row in answer] == [
        ("a", "finished", 2),
        ("b", "finished", 2),
    ]
    assert [report["cycle"] for report in answer[0]["reports"]] == [0, 1, 2]


@pytest.mark.parametrize("answer", ["compare"], indirect=True)
def test_comparison_has_the_paired_difference(answer: Any) -> None:
    assert {row["run"] for row in answer["cycles"]} == {"a", "b"}
    (difference,) = answer["differences"]
    assert difference["run"] == "b"
    assert set(difference["passed"]) == {"before", "after", "difference", "interval"}


@pytest.mark.parametrize("answer", ["samples"], indirect=True)
def test_samples_have_verdict_and_verified_part(answer: Any) -> None:
    assert [row["verified_part"] for row in answer] == ["right", "right"]
    assert all(row["verdict"]["status"] == "pass" and row["weight"] > 0 for row in answer)


@pytest.mark.parametrize("answer", ["plugins show"], indirect=True)
def test_plugin_has_its_options(answer: Any) -> None:
    assert answer["name"] == "raft"
    assert {option["name"]: option["default"] for option in answer["options"]}["threshold"] == 0.5


@pytest.mark.parametrize("answer", ["plugins check"], indirect=True)
def test_checked_plugins_have_their_problem(answer: Any) -> None:
    assert [row["ok"] for row in answer] == [True, True]


def test_check_of_a_broken_plugin(halo: Halo, tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("raise ValueError('no')\n")
    failed = halo("plugins", "check", file, "raft", "--json")
    if failed.out:
        rows = json.loads(failed.out)
        assert [row["ok"] for row in rows] == [False, True]
    assert failed.code == 1
