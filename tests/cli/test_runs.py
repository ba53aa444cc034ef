"""`halo runs` and `halo compare`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from present import present

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"


def test_runs_are_listed_with_status_and_results(run: Halo, halo: Halo, tmp_path: Path) -> None:
    run("runs/a")
    plugin = tmp_path / "stop.py"
    plugin.write_text(
        "from halo_core import hookimpl\n@hookimpl\ndef on_cycle_end(run, report):\n    run.interrupt()\n"
    )
    halo("run", *["--verifier", f"{DRIVERS}:Words"], "-p", plugin, "-n", 2, "-o", "runs/b",
         "--generator", f"{DRIVERS}:Skilled", "--trainer", f"{DRIVERS}:Adder")  # fmt: skip
    Path("runs/c").mkdir()
    Path("runs/c/run.yaml").write_text("- x")
    Path("runs/other").mkdir()
    listed = {line.split()[0]: line for line in halo("runs").out.splitlines()[1:]}
    assert set(listed) == {"runs/a", "runs/b", "runs/c"}
    assert "finished" in listed["runs/a"]
    assert "2/2" in listed["runs/a"]
    assert "stopped" in listed["runs/b"]
    assert "unreadable" in listed["runs/c"]
    assert "halo: runs/c: runs/c/run.yaml is damaged" in halo("runs").err
    assert halo("runs", "runs/a").out.splitlines()[1].startswith("runs/a "), (
        "the path of a single run works too"
    )
    for text in ("cycles: x", "a: 1", "{verifier: 3, lr_policy: 4, model: 5, seed: [], cycles: 1}"):
        Path("runs/c/run.yaml").write_text(text)
        answer = halo("runs")
        assert answer.code == 0
        assert "runs/c/run.yaml is damaged" in answer.err
        assert "finished" in answer.out


def test_locked_run_is_listed_as_running(run: Halo, halo: Halo, tmp_path: Path) -> None:
    import fcntl

    run("runs/a", "-n", 2)
    with Ledger(Path("runs/a")).writing() as db:
        db.execute("DELETE FROM cycles WHERE cycle = 2")
    assert "stopped" in halo("runs").out
    with Path("runs/a/.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "running" in halo("runs").out


def test_no_runs(halo: Halo) -> None:
    assert "runs is not a directory" in halo("runs").complaint()
    Path("runs").mkdir()
    assert "no runs in runs" in halo("runs").complaint()


def test_runs_side_by_side(run: Halo, halo: Halo) -> None:
    run("one", "--seed", 0)
    run("two", "--seed", 1, "-n", 3)
    shown = halo("compare", "one", "two", "-o", "both.csv")
    lines = shown.out.splitlines()
    assert lines[1].split()[:5] == ["a", "one", "Flat", "0", "2/2"]
    assert lines[2].split()[:5] == ["b", "two", "Flat", "1", "3/3"]
    reports = Ledger(Path("one")).reports()
    (by_cycle,) = [line for line in lines if line.startswith("a ") and "one" not in line]
    assert by_cycle.split()[1:] == [f"{present(report.heldout).passed:.1%}" for report in reports]
    assert lines[-1] == "wrote both.csv"
    assert len(Path("both.csv").read_text().splitlines()) == 1 + 3 + 4
    assert "cycle |" in shown.out
    assert "cycle |" not in halo("compare", "one", "two", "--no-plot").out


def test_runs_with_equal_held_out_prompts_are_compared_by_prompt(
    run: Halo, halo: Halo, tmp_path: Path
) -> None:
    from halo_core.metrics import paired_difference

    run("one", "--seed", 0)
    run("two", "--seed", 1, "-n", 1)
    (tmp_path / "held.jsonl").write_text('{"prompt": "other"}\n')
    run("three", "--heldout", tmp_path / "held.jsonl")
    lines = halo("compare", "one", "two", "three").out.splitlines()
    passes = [Ledger(Path(name)).passes("heldout", n, n) for name, n in (("one", 2), ("two", 1))]
    change = paired_difference(*passes, seed=0)
    (second,) = [line for line in lines if line.startswith("b against a: ")]
    low, high = (f"{100 * bound:+.1f}" for bound in change.interval)
    assert second.startswith(f"b against a: {100 * change.difference:+.1f} points after the last cycle")
    assert f"(95% interval {low} to {high}" in second
    assert ("not significant" in second) == (not change.significant)
    assert "c against a: different held-out prompts; the pass rates cannot be compared" in lines
    with Ledger(Path("two")).writing() as db:
        db.execute("UPDATE verifiers SET fingerprint = 'other'")
    assert "with different verifiers" in halo("compare", "one", "two").out
    assert "against" not in halo("compare", "one").out


def test_runs_without_results_yet(run: Halo, halo: Halo) -> None:
    run("some")
    run("none")
    for name, first in (("some", 1), ("none", 0)):
        with Ledger(Path(name)).writing() as db:
            db.execute("DELETE FROM cycles WHERE cycle >= ?", (first,))
    (report,) = Ledger(Path("some")).reports()
    heldout = present(report.heldout)
    rate = f"{heldout.passed:.1%}"
    shown = halo("compare", "none", "some", "-o", "x.csv")
    assert shown.code == 0
    assert "b against a: not measured yet" in shown.out
    (row,) = [line for line in shown.out.splitlines() if line.startswith("b  some")]
    assert row.split()[5:] == [rate, "0", str(heldout.samples), "0", "0.0"], "no pass rate after training"
    labels = [line.split("%")[0] for line in shown.out.splitlines() if "% |" in line]
    assert all(0 <= float(label) <= 100 for label in labels)
    assert len(labels) == 15
    assert "by cycle" not in halo("compare", "none", "-o", "y.csv").out
    assert Path("y.csv").read_text() == Path("x.csv").read_text().splitlines()[0] + "\n"
    listed = halo("runs", ".").out
    assert rate in listed
    assert ">" not in listed


@pytest.mark.parametrize("suffix", ["json", "svg", "png"])
def test_comparison_is_written_to_a_file(run: Halo, halo: Halo, suffix: str) -> None:
    run("one")
    assert halo("compare", "one", "-o", f"x.{suffix}").code == 0
    content = Path(f"x.{suffix}").read_bytes()
    assert content.startswith({"json": b"[", "svg": b"<?xml", "png": b"\x89PNG"}[suffix])
    unknown = halo("compare", "one", "-o", "x.gif")
    assert unknown.remedy().startswith(("known", "did you mean"))
    assert unknown.out == "", "the suffix is checked first"
    assert "No such file" in halo("compare", "one", "-o", f"no/x.{suffix}").complaint()


@pytest.mark.parametrize("room", [40, 60, 80])
def test_comparison_has_the_columns_that_fit(
    room: int, halo: Halo, run: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    monkeypatch.setattr("halo_core.tables.terminal_width", lambda: room)
    lines = halo("compare", "run").out.splitlines()
    assert max(map(len, lines[:8])) <= room, "the chart has a width of its own"
    assert {"run", "after", "points"} <= set(lines[0].split())
    assert lines[5].split() == ["0", "1", "2"]
