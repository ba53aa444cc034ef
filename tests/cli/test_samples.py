"""`halo samples` and the filters that it shares with `halo export`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger

Halo = Callable[..., Any]
Rows = Callable[[Any], list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        (["--cycle", 1], lambda row: row["cycle"] == 1),
        (["--split", "heldout"], lambda row: row["split"] == "heldout"),
        (["--prompt", "d3"], lambda row: row["prompt_id"] == "d3"),
        (["--stage", "wrong"], lambda row: row["stage"] == "wrong"),
        (["--status", "pass"], lambda row: row["status"] == "pass"),
        (["--min-reward", 0.9], lambda row: row["reward"] is not None and row["reward"] >= 0.9),
        (["--max-reward", 0.9], lambda row: row["reward"] is not None and row["reward"] <= 0.9),
        (["--text", "RIGHT 1"], lambda row: "right 1" in row["completion"]),
        (["--chosen"], lambda row: row["weight"] > 0),
        (["-c", 2, "--split", "train", "-s", "correct"],
         lambda row: (row["cycle"], row["split"], row["stage"]) == (2, "train", "correct")),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)  # fmt: skip
def test_filters(
    rows: Rows, run: Halo, halo: Halo, flags: list[object], wanted: Callable[[Any], bool]
) -> None:
    run()
    everything = rows(halo("export", "run"))
    assert len(everything) == 3 * 4 * 8 + 2 * 8 * 4, (
        "held-out samples of cycles 0 to 2, training samples of 1 and 2"
    )
    expected = [row for row in everything if wanted(row)]
    assert 0 < len(expected) < len(everything)
    assert rows(halo("export", "run", *flags)) == expected
    shown = halo("samples", "run", "--limit", 1000, *flags).out
    assert sum(line.startswith("cycle ") for line in shown.splitlines()) == len(expected)


def test_sample_is_shown_with_its_verdict_and_reward(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    for columns, side_by_side in (("150", True), ("70", False)):
        monkeypatch.setenv("COLUMNS", columns)
        shown = halo("samples", "run", "--chosen", "--cycle", 1, "-n", 1).out
        title, *body = shown.splitlines()
        assert title.startswith("cycle 1 train  |  d0 #")
        assert "pass, correct  |  reward 1" in title
        assert all(any(word in line for line in body) for word in ("demo task 0", "right", "diagnostics"))
        assert any("prompt" in line and "completion" in line for line in body) == side_by_side
        assert max(map(len, shown.splitlines())) <= int(columns)


@pytest.mark.parametrize("columns", ["150", "100", "70"])
def test_verified_part_is_shown_beside_the_completion(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    run()
    monkeypatch.setenv("COLUMNS", columns)
    shown = halo("samples", "run", "--chosen", "-n", 1).out
    assert "verified part" in shown
    assert re.search(r"│ right +│", shown)
    assert max(map(len, shown.splitlines())) <= int(columns)
    page = Path(halo("report", "run").out.split()[-1]).read_text()
    assert "<h3>verified part</h3>" in page


def test_samples_need_no_verifier(run: Halo, halo: Halo) -> None:
    run()
    path = Path("run/run.yaml")
    path.write_text(path.read_text().replace(":Words", ":Gone"))
    assert "verified part" not in halo("samples", "run", "-n", 1).out
    assert "diagnostics" in halo("samples", "run", "-n", 1).out
    assert halo("report", "run").code == 0


def test_warnings_and_signals_are_shown(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE verdicts SET warnings = 2, signals = '{\"format\": 0.25}'")
    title = halo("samples", "run", "--chosen", "--cycle", 1, "-n", 1).out.splitlines()[0]
    assert "pass, correct  |  2 warnings  |  format 0.25  |" in title


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the terminal room for a title on one line."""
    monkeypatch.setenv("COLUMNS", "400")


def titles(halo: Halo, *flags: object) -> list[str]:
    shown = halo("samples", "run", "-n", 1000, *flags).out
    return [line for line in shown.splitlines() if line.startswith("cycle ")]


@pytest.mark.usefixtures("wide")
def test_the_reason_for_a_reward_and_for_not_being_selected_is_shown(run: Halo, halo: Halo) -> None:
    run("run", "-S", "threshold=0.8", "-S", "keep_top=0.4")
    for title in titles(halo, "--cycle", 1, "--split", "train"):
        below = "not trained on: its reward is below the threshold of 0.8" in title
        worse = "not trained on: not among the best 40% of its prompt" in title
        counted = "whose weight counts it" in title
        assert below + worse + counted + ("trained on, weight" in title) == 1, title
        assert below == ("fail, wrong" in title), title
    assert not any("trained on" in title for title in titles(halo, "--split", "heldout"))
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE verdicts SET warnings = 1 WHERE status = 'pass'")
        db.execute("UPDATE rewards SET reward = 0.3 WHERE reward = 1")
        db.execute("UPDATE rewards SET reward = 0.25 WHERE reward = 0.7")
    found = titles(halo, "--cycle", 1, "--split", "train")
    assert all("1 warning  |  reward 0.3 (at most 0.3 with warnings)" in t for t in found if "pass" in t)
    assert all("reward 0.25 (set by a plugin)" in t for t in found if "wrong" in t and "reward 0.25" in t)


@pytest.mark.usefixtures("wide")
def test_truncated_completions_and_errors_are_explained(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("DELETE FROM selections WHERE completion % 2")
        db.execute("UPDATE completions SET finish = 'length' WHERE id % 2")
        db.execute("UPDATE verdicts SET status = 'error' WHERE status = 'fail'")
        db.execute("DELETE FROM rewards WHERE reward < 1")
    found = titles(halo, "--cycle", 1, "--split", "train")
    assert any("not trained on: the token limit cut it short  |  truncated" in title for title in found)
    assert any("not trained on: a verdict of error gets no reward" in title for title in found)


@pytest.mark.usefixtures("wide")
def test_samples_of_a_run_whose_drivers_are_gone_are_shown(run: Halo, halo: Halo) -> None:
    run()
    config = Path("run/run.yaml")
    config.write_text(config.read_text().replace("name: raft", "name: gone"))
    assert any("not trained on: the selector left it out" in title for title in titles(halo))


def test_one_line_more_is_singular(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET text = ?", ("one\ntwo\nthree",))
    shown = halo("samples", "run", "-n", 1, "--lines", 2).out
    assert "... 1 more line " in shown


def test_more_samples_are_announced(run: Halo, halo: Halo) -> None:
    run()
    assert "there are more: use --limit 30" in halo("samples", "run", "-n", 3).out
    assert "there are more" not in halo("samples", "run", "-n", 160).out


@pytest.mark.parametrize(
    ("flags", "message", "remedy"),
    [
        (["--stage", "rong"], "--stage: unknown stage 'rong'", "did you mean 'wrong'?"),
        (["--status", "passed"], "--status: unknown status 'passed'", "did you mean 'pass'?"),
        (["--split", "test"], "--split: unknown split 'test'", "known: heldout, train"),
        (["--prompt", "d33"], "has no prompt 'd33'", "did you mean"),
        (["--prompt", "zzz"], "has no prompt 'zzz'", "prompts are d0, d1, d2, d3, d4, ..."),
        (["--prompt", "\udcff"], "has no prompt", "prompts are"),
        (["--cycle", "9"], "no samples of cycle 9", "the last cycle is 2"),
        (["--cycle", "0", "--chosen"], "has no samples that match", "cycle 0 measures"),
        (["--split", "heldout", "--min-reward", "0"], "has no samples that match", "get no reward"),
        (["--text", "\udcff"], "has no samples that match", "remove a filter"),
        (["--text", "zzz", "-n", "9" * 30], "has no samples that match", "remove a filter"),
    ],
)
def test_filters_that_match_no_sample(
    run: Halo, halo: Halo, flags: list[str], message: str, remedy: str
) -> None:
    run()
    for command in ("samples", "export"):
        answer = halo(command, "run", *(flags if command == "samples" else flags[:4]))
        if "-n" not in flags or command == "samples":
            assert message in answer.complaint()
            assert remedy in answer.remedy()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--min-reward", "nan"], "take numbers, not nan"),
        (["--min-reward", "1", "--max-reward", "0"], "--min-reward 1 is above --max-reward 0"),
    ],
)
def test_invalid_reward_filters(run: Halo, halo: Halo, flags: list[str], message: str) -> None:
    run()
    assert message in halo("samples", "run", *flags).complaint()


def test_run_without_samples(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("DELETE FROM rewards")
        db.execute("DELETE FROM selections")
        db.execute("DELETE FROM completions")
        db.execute("UPDATE rounds SET batches = 0")
    assert "run has no samples yet" in halo("samples", "run").complaint()


def test_text_filter_matches_literally_and_ignores_case(rows: Rows, run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        for row, text in ((1, b"right \xed\xa0\x80 Lone%Some"), (2, "a\0lone%some"), (3, "lone-some")):
            db.execute("UPDATE completions SET text = ? WHERE id = ?", (text, row))
    found = rows(halo("export", "run", "--text", "lone%some"))
    assert [row["completion"] for row in found] == ["right \ufffd Lone%Some", "a\0lone%some"]


def test_long_lines_and_wide_characters_are_folded(
    run: Halo, halo: Halo, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rich.cells import cell_len

    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET text = ? WHERE id = 1", ("x" * 5000,))
        db.execute("UPDATE completions SET text = ? WHERE id = 2", ("right \u6f22\u5b57" * 30,))
        db.execute("UPDATE completions SET text = ? WHERE id = 3", ("[/red] [bold]kept[/bold]",))
    for columns in (40, 120):
        monkeypatch.setenv("COLUMNS", str(columns))
        long, wide, markup = halo("samples", "run", "-n", 3, "--lines", 5).out.split("cycle 0")[1:]
        assert len(long.splitlines()) < 15 + 5
        assert "more lines" in long
        assert "\u2026" not in wide, "a folded line loses nothing"
        assert max(cell_len(line) for line in wide.splitlines()[1:]) <= columns
        assert "[/red] [bold]kept[/bold]" in markup


def test_control_characters_are_not_printed(run: Halo, halo: Halo) -> None:
    run()
    with Ledger(Path("run")).writing() as db:
        db.execute("UPDATE completions SET text = ?", ("right \x1b[2J\r\x07 é",))
    shown = halo("samples", "run", "-n", 1).out
    assert not {"\x1b", "\r", "\x07"} & set(shown)
    assert "é" in shown


def test_a_cycle_that_selected_nothing_gives_its_reasons(run: Halo, halo: Halo) -> None:
    run("run", "-S", "threshold=2", "--set", "when_none=skip")
    shown = halo("samples", "run", "--cycle", 1, "--split", "train", "-n", 1).out
    assert "its reward is below the threshold of 2" in " ".join(shown.split())
