"""`halo diff`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]


def test_equal_seeds_give_identical_runs_and_different_seeds_do_not(run: Halo, halo: Halo) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(name, "--seed", seed)
    same = halo("diff", "a", "b")
    assert same.code == 0
    assert same.out.splitlines()[-1] == "identical"
    other = halo("diff", "a", "c")
    assert other.code == 1
    assert other.out.splitlines()[-1] == "not identical: the first difference is in configuration"
    assert "seed: A 0, B 1" in other.out
    assert "cycle 0 heldout, prompt 'd8', completion 0: " in other.out


def test_settings_that_do_not_change_the_result_may_differ(run: Halo, halo: Halo) -> None:
    run("a", "--set", "workers=2", "--set", "checkpoint_seconds=5")
    run("b", "--set", "workers=3", "--set", "checkpoint_seconds=6")
    assert halo("diff", "a", "b").out.splitlines()[-1] == "identical"


def test_diff_of_a_directory_without_a_run(run: Halo, halo: Halo) -> None:
    run()
    answer = halo("diff", "run", "nowhere")
    assert "nowhere contains no run" in answer.complaint()
    assert answer.code == 2, "1 would mean that the runs differ"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda place: shutil.rmtree(place), "B adapter missing"),
        (lambda place: next(place.iterdir()).write_text("other"), "cycle 2: A adapter "),
    ],
    ids=["deleted", "edited"],
)
def test_diff_compares_the_stored_adapters(
    run: Halo, halo: Halo, change: Callable[[Path], Any], expected: str
) -> None:
    run()
    shutil.copytree("run", "copy")
    change(Path("copy/cycles/002/adapter"))
    answer = halo("diff", "run", "copy")
    assert answer.code == 1
    assert expected in answer.out
    assert answer.out.splitlines()[-1] == "not identical: the first difference is in adapters"


def test_diff_of_a_damaged_run(run: Halo, halo: Halo) -> None:
    run()
    shutil.copytree("run", "copy")
    for damage in ("UPDATE cycles SET report = '{'", "UPDATE contexts SET tokens = x'09'"):
        with Ledger(Path("copy")).writing() as db:
            db.execute(damage)
        answer = halo("diff", "run", "copy")
        assert "copy/ledger.db is damaged" in answer.complaint()
        assert answer.code == 2
        shutil.rmtree("copy")
        shutil.copytree("run", "copy")
    Path("copy/plugins.json").write_text('{"a": 1}')
    assert "copy/plugins.json is damaged" in halo("diff", "run", "copy").complaint()


def test_diff_shows_the_first_difference_of_long_texts(run: Halo, halo: Halo) -> None:
    run()
    for name, last in (("a", "x"), ("b", "y")):
        shutil.copytree("run", name)
        with Ledger(Path(name)).writing() as db:
            db.execute("UPDATE completions SET text = ? WHERE id = 1", ("same " * 100 + last,))
            db.execute("UPDATE completions SET text = ? WHERE id = 2", ("" if name == "a" else "\x1b[2J",))
    shown = halo("diff", "a", "b").out
    assert "same x, B ..." in shown
    assert "\x1b" not in shown
