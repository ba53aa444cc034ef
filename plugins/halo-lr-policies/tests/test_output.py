from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from halo_core.errors import ConfigError
from halo_core.tables import table
from halo_core.types import CycleReport
from halo_lr_policies.lr_command.dry_run import Course, Schedule, assumed, constant, dry_run
from halo_lr_policies.lr_command.output import advice, chart, draw, one, overview, plain, save, side_by_side
from halo_lr_policies.lr_command.recommend import METHODS, recommend


@pytest.fixture(scope="module")
def course() -> Course:
    return assumed(4, steps=[16])


@pytest.fixture(scope="module")
def schedules(course: Course) -> list[Schedule]:
    return [
        dry_run("constant", {}, course),
        dry_run("exponential", {"decay": 0.5}, course, label="exponential decay=0.5"),
    ]


def test_columns_are_flush() -> None:
    assert table([("a", "lr"), ("bbb", "1")], left=1) == "a    lr\nbbb   1"
    assert table([("a", "lr"), ("bbb", "1")], left=0) == "  a  lr\nbbb   1"


def test_one_policy_a_row_a_cycle(schedules: list[Schedule], course: Course) -> None:
    rows = [line.split() for line in one(schedules[1], course).splitlines()]
    assert rows[0] == ["cycle", "lr", "steps", "lr", "x", "steps", "passed", "before"]
    assert rows[2] == ["2", "2.50e-05", "16", "4.00e-04", "38.0%"], "2.5e-5 is not 3e-05"
    assert rows[-1] == ["sum", "64", "1.50e-03"]


def test_side_by_side_with_sums_relative_to_constant(schedules: list[Schedule], course: Course) -> None:
    rows = [line.split() for line in side_by_side(schedules, course, constant(5e-5, course)).splitlines()]
    assert rows[0] == ["cycle", "1", "2", "3", "4", "sum", "relative"]
    assert rows[-2] == ["a", "constant", *["5.00e-05"] * 4, "3.20e-03", "1.00"]
    assert rows[-1] == [
        "b", "exponential", "decay=0.5", "5.00e-05", "2.50e-05", "1.25e-05", "6.25e-06", "1.50e-03", "0.47",
    ]  # fmt: skip


def test_what_the_model_was_moved_by_is_shown_where_it_was_measured(course: Course) -> None:
    def moved(report: CycleReport, kl: float | None) -> CycleReport:
        return replace(report, train=replace(report.train, kl=kl)) if report.train else report

    kls = (None, 0.01, 0.034, None, 0.001)
    measured = Course(
        tuple(moved(report, kl) for report, kl in zip(course.reports, kls, strict=True)), "recorded"
    )
    found = dry_run("kl_target", {}, measured)
    assert found.rates == pytest.approx((5e-5, 5e-5, 5e-5 / 1.5, 5e-5 / 1.5))
    rows = [line.split() for line in side_by_side([found], measured, found).splitlines()]
    assert rows[2] == ["KL", "before", "?", "0.01", "0.034", "?"]
    assert "KL" not in side_by_side([found], course, found)


def test_a_schedule_within_the_cycle_makes_steps_worth_less(course: Course) -> None:
    def halved(report: CycleReport) -> CycleReport:
        return (
            replace(report, train=replace(report.train, lr_sum=report.train.lr_sum / 2))
            if report.train
            else report
        )

    found = constant(5e-5, Course(tuple(map(halved, course.reports)), "recorded"))
    rows = [line.split() for line in side_by_side([found], course, found).splitlines()]
    assert rows[2] == ["steps", *["16"] * 4, "64"]
    assert rows[3] == ["worth", "at", "peak", *["8"] * 4, "32"]
    assert "worth" not in side_by_side([constant(5e-5, course)], course, found)


def test_the_chart_has_each_rate_at_its_height(schedules: list[Schedule]) -> None:
    lines = chart(schedules).splitlines()
    assert lines[0] == "5.00e-05 |  *  a  a  a"
    assert lines[6].endswith("|     b"), "half way down"
    assert lines[9].endswith("|        b"), "a quarter up"
    assert lines[12].startswith("0.00e+00 |")
    assert lines[13] == "   cycle |  1  2  3  4"
    assert lines[-2:] == ["a constant", "b exponential decay=0.5"]


def test_the_chart_takes_more_policies_than_there_are_letters(schedules: list[Schedule]) -> None:
    assert chart(schedules * 40).splitlines()[-1] == "? exponential decay=0.5"


def test_files_hold_the_numbers(schedules: list[Schedule], course: Course, tmp_path: Path) -> None:
    for kind in ("csv", "json", "yaml"):
        save(tmp_path / f"rates.{kind}", schedules, course, constant(5e-5, course))
    expected = plain(schedules, course, constant(5e-5, course))
    assert json.loads((tmp_path / "rates.json").read_text()) == expected
    assert yaml.safe_load((tmp_path / "rates.yaml").read_text()) == expected
    assert expected["policies"][1]["options"] == {
        "base_lr": 5e-5, "floor": 1e-7, "ceiling": None, "decay": 0.5,
    }  # fmt: skip
    assert expected["policies"][1]["rates"] == [5e-5, 2.5e-5, 1.25e-5, 6.25e-6]
    with (tmp_path / "rates.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["lr"]) for row in rows if row["policy"] == "exponential decay=0.5"] == list(
        schedules[1].rates
    )
    assert float(rows[1]["lr_sum"]) == pytest.approx(8e-4)


@pytest.mark.parametrize(("kind", "begins"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("SVG", b"<?xml")])
def test_pictures(
    schedules: list[Schedule], course: Course, tmp_path: Path, kind: str, begins: bytes
) -> None:
    draw(tmp_path / f"rates.{kind}", schedules, course, constant(5e-5, course))
    assert (tmp_path / f"rates.{kind}").read_bytes().startswith(begins)


@pytest.mark.parametrize("name", ["rates", "rates.pgn", "no/such/directory/rates.csv"])
def test_files_that_cannot_be_written(
    schedules: list[Schedule], course: Course, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError):
        save(tmp_path / name, schedules, course, constant(5e-5, course))


def test_a_wrong_suffix_gets_the_nearest_or_the_right_flag(
    schedules: list[Schedule], course: Course, tmp_path: Path
) -> None:
    for write, name, hint in (
        (draw, "rates.pgn", "did you mean '.png'?"),
        (save, "rates.svg", "that is for --plot; known here: .csv, .json, .yaml"),
        (draw, "rates.csv", "that is for --output; known here: .png, .svg"),
    ):
        with pytest.raises(ConfigError) as caught:
            write(tmp_path / name, schedules, course, schedules[0])
        assert caught.value.hint == hint


def test_the_overview_has_a_row_and_a_source_for_each() -> None:
    found = [recommend(method, full=full) for method in METHODS for full in (True, False)]
    lines = overview(found).splitlines()
    assert [line.split()[:2] for line in lines[1:11]] == [
        [method, weights] for method in METHODS for weights in ("all", "LoRA")
    ]
    for each in found:
        assert any(line.startswith(f"{each.method}, {'all' if each.full else 'LoRA'}") for line in lines)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {},
            ["raft, LoRA", "rate        5e-5, range 1e-5 to 2e-4", "1/4 rule", "10-40x rule", "temperature"],
        ),
        ({"samples": 500}, ["steps       16 a cycle, 2 of them warmup", "lr x steps  8e-4 a cycle"]),
        ({"batch": 64}, ["batch       x 1.41, confidence medium", "warning     LoRA loses more"]),
        ({"size": 0.5e9, "full": True}, ["size        x 3.74, confidence low"]),
    ],
)
def test_advice_gives_every_reason(options: dict[str, Any], says: list[str]) -> None:
    text = advice(recommend("raft", **options))
    for each in says:
        assert each in text
    assert max(map(len, text.splitlines())) <= 110
