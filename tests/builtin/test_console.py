from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from halo_core.builtin.console import ConsoleReport, JSONReport, describe_change
from halo_core.builtin.cycle_table import header, row
from halo_core.hookspecs import hookimpl
from halo_core.loop import run_cycles
from halo_core.testing import fake_run, make_metrics, make_stats
from halo_core.types import CycleReport, PairedDifference, Stage, Status, Verdict

METRICS = make_metrics(0.25, half=0.05, samples=512, valid=0.625, valid_interval=(0.5, 0.75), distinct=0.875)
STATS = make_stats(5e-5, steps=3, loss_first=1.25, clipped_fraction=0.25)
REPORT = CycleReport(
    cycle=2,
    heldout=METRICS,
    lr=4.25e-5,
    sampled=METRICS,
    reward_mean=0.5,
    selected=96,
    train=STATS,
    seconds={"sample": 12.3, "train": 4.0, "heldout": 5.6},
)


def report_run(directory: Path, report: Any, **options: Any) -> None:
    run, hooks = fake_run(directory, progress=report, prompts=16, heldout=16, **options)
    hooks.register(report, name="console")
    run_cycles(run, hooks)


def test_row_contains_every_number_of_the_cycle() -> None:
    words = row(REPORT).split()
    assert words[:10] == ["2", "4.25e-05", "512", "62.5%", "25.0%", "96", "0.88", "1.250", ">", "0.500"]
    assert words[10] == "12+4+6", "seconds by stage"
    assert " ".join(words[11:]) == "62.5% [50.0, 75.0] 25.0% [20.0, 30.0]"


def test_row_counts_conclusive_completions_if_some_are_not() -> None:
    metrics = replace(METRICS, samples=180, errors=5, inconclusive=15)
    assert row(replace(REPORT, heldout=metrics)).endswith("25.0% [20.0, 30.0]  180 of 200 conclusive")
    assert row(CycleReport(cycle=0, heldout=metrics)).endswith("  180 of 200 conclusive")
    assert "conclusive" not in row(REPORT)


def test_row_of_the_untrained_model() -> None:
    text = row(CycleReport(cycle=0, heldout=METRICS, seconds={"heldout": 5.0}))
    assert "before training" in text
    assert "62.5% [50.0, 75.0]" in text
    assert row(CycleReport(cycle=0)).split() == ["0", "before", "training"]


def test_columns_of_rows_are_aligned() -> None:
    full, first = row(REPORT), row(CycleReport(cycle=0, heldout=METRICS, seconds={"heldout": 5.0}))
    assert full.index("62.5% [") == first.index("62.5% [")


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (
            140,
            "cycle lr samples compiles pass selected distinct loss seconds held-out compiles held-out pass",
        ),
        (120, "cycle lr samples compiles pass selected distinct loss seconds held-out pass"),
        (80, "cycle lr compiles pass selected loss held-out pass"),
        (60, "cycle lr pass selected held-out pass"),
        (40, "cycle pass held-out pass"),
        (10, "cycle"),
    ],
)
def test_a_terminal_gets_the_columns_that_fit(width: int, columns: str) -> None:
    untrained = CycleReport(cycle=0, heldout=METRICS, seconds={"heldout": 5.0})
    lines = [header("compiles", width), row(untrained, width), row(REPORT, width)]
    assert lines[0].split() == columns.split()
    assert max(map(len, lines)) <= width
    if "held-out pass" in columns:
        assert lines[1].index("25.0% [") == lines[2].index("25.0% ["), "columns are aligned"
        assert "before" in lines[1]


def test_a_change_takes_two_lines_on_a_narrow_terminal() -> None:
    change = PairedDifference(0.5, 0.48, -0.02, (-0.1, 0.05))
    whole = describe_change("held-out pass", change)
    assert describe_change("held-out pass", change, 120) == whole
    assert " ".join(describe_change("held-out pass", change, 79).split()) == " ".join(whole.split())
    assert max(map(len, describe_change("held-out pass", change, 79).splitlines())) < 79


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_nothing_of_a_run_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    report = ConsoleReport(valid_label="compiles")
    report._console = Console(file=(file := io.StringIO()), force_terminal=True, width=width, soft_wrap=True)
    with report.stage("cycle 1 held-out", 64, "samples") as advance:
        advance(0.5, note="12345 tokens")
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())
    assert "cycle 1 held-out" in plain
    assert " 0/64" in plain
    assert max(len(line.rstrip()) for line in re.split(r"[\r\n]", plain)) <= width


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            PairedDifference(0.59, 0.78, 0.19, (0.12, 0.26)),
            "59.0% >  78.0%   +19.0 points (95% interval +12.0 to +26.0)",
        ),
        (
            PairedDifference(0.5, 0.48, -0.02, (-0.1, 0.05)),
            "-2.0 points (95% interval -10.0 to +5.0; not significant)",
        ),
    ],
)
def test_change_is_described_in_points_with_its_interval(change: PairedDifference, expected: str) -> None:
    assert expected in describe_change("held-out pass", change)


def test_output_is_plain_lines_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_run(tmp_path / "run", ConsoleReport(valid_label="compiles"))
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\r" not in out
    lines = out.splitlines()
    assert lines[0] == f"run      {tmp_path / 'run'}"
    assert lines[2].split()[:5] == ["cycle", "lr", "samples", "compiles", "pass"]
    assert [line.split()[0] for line in lines[3:6]] == ["0", "1", "2"]
    assert lines[-4].startswith("held-out compiles")
    assert lines[-3].startswith("held-out pass")
    assert lines[-2] == f"adapter  {tmp_path / 'run/cycles/002/adapter'}"
    assert lines[-1] == f"try it   halo generate {tmp_path / 'run'} 'held-out task 0'"


@pytest.mark.parametrize(("heldout", "warned"), [(7, True), (8, False)])
def test_too_few_held_out_prompts_give_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], heldout: int, warned: bool
) -> None:
    report = ConsoleReport()
    run, hooks = fake_run(tmp_path, progress=report, heldout=heldout)
    hooks.register(report, name="console")
    run_cycles(run, hooks)
    assert (f"heldout  {heldout} held-out prompts are too few" in capsys.readouterr().out) is warned


def test_long_directory_is_not_wrapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = tmp_path / ("x" * 120) / ("y" * 120)
    report_run(directory, ConsoleReport())
    assert f"try it   halo generate {directory} " in capsys.readouterr().out


def test_markup_in_names_is_printed_literally(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_run(tmp_path / "[bold]run[/bold]", ConsoleReport())
    assert "[bold]run[/bold]" in capsys.readouterr().out


def test_quiet_prints_only_the_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_run(tmp_path, ConsoleReport(quiet=True))
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert [line.split()[0] for line in lines] == ["held-out", "held-out", "adapter", "try"]


def test_resumed_run_prints_the_existing_cycles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_run(tmp_path, ConsoleReport())
    first = capsys.readouterr().out
    report_run(tmp_path, ConsoleReport())
    assert capsys.readouterr().out == first


def test_reason_for_stopping_early_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Stopper:
        @hookimpl
        def on_cycle_end(self, run: Any, report: CycleReport) -> None:
            if report.cycle == 1:
                run.stop("no progress")

    report_run(tmp_path, ConsoleReport(), plugins=[Stopper()])
    assert "stopped after cycle 1: no progress" in capsys.readouterr().out


def test_error_is_left_to_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="none of"):
        report_run(tmp_path, ConsoleReport(), verifier=hopeless())
    assert "adapter" not in capsys.readouterr().out


def test_failed_run_prints_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Failing:
        @hookimpl
        def on_cycle_end(self, report: CycleReport) -> None:
            if report.cycle == 1:
                raise OSError("tracker failed")

    with pytest.raises(OSError, match="tracker failed"):
        report_run(tmp_path, ConsoleReport(), plugins=[Failing()])
    assert "adapter" not in capsys.readouterr().out


def hopeless() -> Any:
    from halo_core.drivers import driver
    from halo_core.testing import FakeVerifier

    @driver
    class Hopeless(FakeVerifier):
        def check(self, prompt: Any, completion: Any) -> Verdict:
            return Verdict(Status.FAIL, Stage.INVALID)

    return Hopeless()


def test_terminal_shows_a_bar_for_each_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    screen = io.StringIO()
    report = ConsoleReport()
    monkeypatch.setattr(report, "_console", Console(file=screen, force_terminal=True, width=120))
    report_run(tmp_path, report)
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    for stage in ("cycle 0 held-out", "cycle 1 sample", "cycle 1 train", "cycle 2 held-out"):
        assert stage in shown
    assert re.search(r"\d+ samples/s", shown)
    assert "64/64" in shown


def events(text: str) -> list[dict[str, Any]]:
    def refuse(constant: str) -> Any:
        raise AssertionError(f"{constant} is not JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_json_report_is_one_object_per_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report_run(tmp_path, JSONReport())
    start, *cycles, end = events(capsys.readouterr().out)
    assert start == {"event": "run_start", "directory": str(tmp_path), "cycles_done": 0}
    assert [event["cycle"] for event in cycles] == [0, 1, 2]
    assert cycles[1]["train"]["steps"] == 1
    assert cycles[1]["sampled"]["stages"].keys() <= {stage.value for stage in Stage}
    assert end["event"] == "run_end"
    assert end["error"] is None
    assert end["adapter"] == str(tmp_path / "cycles/002/adapter")
    assert end["passed"]["difference"] == pytest.approx(
        cycles[2]["heldout"]["passed"] - cycles[0]["heldout"]["passed"]
    )
    assert end["passed"]["interval"][0] <= end["passed"]["difference"] <= end["passed"]["interval"][1]


def test_json_report_contains_the_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exception, match="none of"):
        report_run(tmp_path, JSONReport(), verifier=hopeless())
    end = events(capsys.readouterr().out)[-1]
    assert end["event"] == "run_end"
    assert "none of 64 completions was selected" in end["error"]


@pytest.mark.parametrize("report", [ConsoleReport, JSONReport])
def test_reports_work_without_heldout_prompts(
    tmp_path: Path, report: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run, hooks = fake_run(tmp_path, heldout=0)
    hooks.register(report(), name="console")
    run_cycles(run, hooks)
    assert str(tmp_path) in capsys.readouterr().out


def test_report_does_not_change_the_history(tmp_path: Path) -> None:
    seen: list[Sequence[CycleReport]] = []

    class Spy:
        @hookimpl
        def on_run_end(self, history: Sequence[CycleReport]) -> None:
            seen.append(list(history))

    report_run(tmp_path, ConsoleReport(), plugins=[Spy()])
    assert [report.cycle for report in seen[0]] == [0, 1, 2]
