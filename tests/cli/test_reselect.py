"""`halo reselect`: select again from the samples of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
Rows = Callable[[Any], list[dict[str, Any]]]


def test_same_drivers_select_the_same(run: Halo, halo: Halo) -> None:
    run()
    head, *lines = halo("reselect", "run").out.splitlines()
    assert head.split()[:3] == ["cycle", "samples", "reward"]
    assert len(lines) == 2
    for line in lines:
        assert line.split()[6] == "100%", line
        assert line.split()[3] == line.split()[4] == line.split()[5]


def test_another_selection_is_compared(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    (_, first, _) = halo("reselect", "run", "-S", "keep_top=1", "-S", "threshold=0.9").out.splitlines()
    before, after, shared = map(int, first.split()[3:6])
    right = [
        row for row in rows(halo("export", "run", "-c", 1, "--status", "pass")) if row["split"] == "train"
    ]
    assert after == len({(row["prompt_id"], tuple(row["token_ids"])) for row in right})
    assert shared <= min(before, after)
    assert first.split()[6] == f"{shared / (before + after - shared):.0%}"
    binary = halo("reselect", "run", "--reward", "binary").out.splitlines()[1].split()
    assert float(binary[2]) == pytest.approx(len(right) / 32, abs=1e-3)


def test_equal_completions_count_once_whichever_is_selected(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:  # all completions of a prompt become equal
        db.execute("UPDATE completions SET text = 'right', tokens = x'0107'")
        db.execute("DELETE FROM selections")
        last = "SELECT max(completions.id), 1 FROM completions JOIN rounds ON round = rounds.id"
        db.execute(f"INSERT INTO selections {last} WHERE split = 'train' GROUP BY cycle, prompt")
    for line in halo("reselect", "run", "-S", "threshold=0.1").out.splitlines()[1:]:
        assert line.split()[3:7] == ["8", "8", "8", "100%"]


def test_unknown_option(run: Halo, halo: Halo) -> None:
    run()
    assert "did you mean 'threshold'?" in halo("reselect", "run", "-S", "treshold=1").remedy()


def test_other_drivers_of_the_run_need_not_be_installed(run: Halo, halo: Halo) -> None:
    run()
    config = Path("run/run.yaml")
    before = halo("reselect", "run").out
    config.write_text(config.read_text().replace(f"{DRIVERS}:", "gone-"))
    assert halo("reselect", "run").out == before
    assert "no reward named 'x' is installed" in halo("reselect", "run", "--reward", "x").complaint()


def test_given_options_hold_in_every_cycle(run: Halo, halo: Halo) -> None:
    run()
    config = Path("run/run.yaml")
    strict = halo("reselect", "run", "-S", "threshold=0.9").out.splitlines()
    every = halo("reselect", "run").out.splitlines()
    changing = "per_cycle: {selector: {threshold: [0.5, 0.9]}}"
    config.write_text(config.read_text().replace("per_cycle: {}", changing))
    assert changing in config.read_text()
    assert halo("reselect", "run").out.splitlines() == [*every[:2], strict[2]]
    assert halo("reselect", "run", "-S", "threshold=0.9").out.splitlines() == strict
    assert halo("reselect", "run", "--selector", "raft").out.splitlines()[1:] == every[1:]


def test_each_cycle_has_its_own_selector(run: Halo, halo: Halo) -> None:
    run()
    config = Path("run/run.yaml")
    strict = halo("reselect", "run", "-S", "threshold=0.9").out.splitlines()
    every = halo("reselect", "run").out.splitlines()
    turns = "per_cycle: {selector: {name: [raft, {name: raft, threshold: 0.9}]}}"
    config.write_text(config.read_text().replace("per_cycle: {}", turns))
    assert halo("reselect", "run").out.splitlines() == [*every[:2], strict[2]]
    assert halo("reselect", "run", "--selector", "raft").out.splitlines()[1:] == every[1:]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise RuntimeError('fell over')", "fell over"),
        ("return float('nan')", "nan"),
    ],
)
def test_failing_reward_is_named(run: Halo, halo: Halo, tmp_path: Path, body: str, message: str) -> None:
    run()
    plugin = tmp_path / "odd.py"
    plugin.write_text(
        "from halo_core.drivers import Reward, driver\n\n@driver\nclass Odd(Reward):\n"
        f"    def reward(self, sample):\n        {body}\n"
    )
    complaint = halo("reselect", "run", "--reward", f"{plugin}:Odd").complaint()
    assert f"raised by reward 'Odd' ({plugin} sha256:" in complaint
    assert message in complaint


def test_a_threshold_that_was_lowered_is_lowered_again(run: Halo, halo: Halo) -> None:
    run("run", "-S", "threshold=2", "--set", "when_none=lower")
    _, *lines = halo("reselect", "run").out.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.split()[3] == line.split()[4] == line.split()[5] != "0"
