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
from halo_lr_policies.lr_command.dry_run import (
    Measurements,
    Schedule,
    assumed_measurements,
    constant_baseline,
    dry_run,
)
from halo_lr_policies.lr_command.output import (
    as_data,
    comparison_table,
    plot,
    recommendation_table,
    recommendation_text,
    save,
    schedule_table,
    text_chart,
)
from halo_lr_policies.lr_command.recommend import METHODS, recommend


@pytest.fixture(scope="module")
def measurements() -> Measurements:
    return assumed_measurements(4, steps=[16])


@pytest.fixture(scope="module")
def schedules(measurements: Measurements) -> list[Schedule]:
    return [
        dry_run("constant", {}, measurements),
        dry_run("exponential", {"decay": 0.5}, measurements, label="exponential decay=0.5"),
    ]


def test_columns_are_aligned() -> None:
    assert table([("a", "lr"), ("bbb", "1")], left=1) == "a    lr\nbbb   1"
    assert table([("a", "lr"), ("bbb", "1")], left=0) == "  a  lr\nbbb   1"


def test_the_schedule_table_has_a_row_for_each_cycle(
    schedules: list[Schedule], measurements: Measurements
) -> None:
    rows = [line.split() for line in schedule_table(schedules[1], measurements).splitlines()]
    assert rows[0] == ["cycle", "lr", "steps", "lr", "x", "steps", "pass", "rate", "before"]
    assert rows[2] == ["2", "2.50e-05", "16", "4.00e-04", "38.0%"], "not rounded to 3e-05"
    assert rows[-1] == ["sum", "64", "1.50e-03"]


def test_the_comparison_table_has_sums_relative_to_the_baseline(
    schedules: list[Schedule], measurements: Measurements
) -> None:
    text = comparison_table(schedules, measurements, constant_baseline(5e-5, measurements))
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["cycle", "1", "2", "3", "4", "sum", "relative"]
    assert rows[-2] == ["a", "constant", *["5.00e-05"] * 4, "3.20e-03", "1.00"]
    assert rows[-1] == [
        "b", "exponential", "decay=0.5", "5.00e-05", "2.50e-05", "1.25e-05", "6.25e-06", "1.50e-03", "0.47",
    ]  # fmt: skip


def test_the_kl_is_shown_if_it_was_measured(measurements: Measurements) -> None:
    def with_kl(report: CycleReport, kl: float | None) -> CycleReport:
        return replace(report, train=replace(report.train, kl=kl)) if report.train else report

    kls = (None, 0.01, 0.034, None, 0.001)
    measured = Measurements(
        tuple(with_kl(report, kl) for report, kl in zip(measurements.reports, kls, strict=True)), "recorded"
    )
    found = dry_run("kl_target", {}, measured)
    assert found.rates == pytest.approx((5e-5, 5e-5, 5e-5 / 1.5, 5e-5 / 1.5))
    rows = [line.split() for line in comparison_table([found], measured, found).splitlines()]
    assert rows[2] == ["KL", "before", "?", "0.01", "0.034", "?"]
    assert "KL" not in comparison_table([found], measurements, found)


def test_steps_at_peak_are_shown_if_a_schedule_within_the_cycle_reduces_them(
    measurements: Measurements,
) -> None:
    def half_lr_sum(report: CycleReport) -> CycleReport:
        if report.train is None:
            return report
        return replace(report, train=replace(report.train, lr_sum=report.train.lr_sum / 2))

    found = constant_baseline(5e-5, Measurements(tuple(map(half_lr_sum, measurements.reports)), "recorded"))
    rows = [line.split() for line in comparison_table([found], measurements, found).splitlines()]
    assert rows[2] == ["steps", *["16"] * 4, "64"]
    assert rows[3] == ["steps", "at", "peak", *["8"] * 4, "32"]
    assert "at peak" not in comparison_table([constant_baseline(5e-5, measurements)], measurements, found)


def test_the_chart_draws_each_rate_at_its_height(schedules: list[Schedule]) -> None:
    lines = text_chart(schedules).splitlines()
    assert lines[0] == "5.00e-05 |  *  a  a  a"
    assert lines[6].endswith("|     b"), "half of the height"
    assert lines[9].endswith("|        b"), "a quarter of the height"
    assert lines[12].startswith("0.00e+00 |")
    assert lines[13] == "   cycle |  1  2  3  4"
    assert lines[-2:] == ["a constant", "b exponential decay=0.5"]


def test_the_chart_accepts_more_policies_than_letters(schedules: list[Schedule]) -> None:
    assert text_chart(schedules * 40).splitlines()[-1] == "? exponential decay=0.5"


def test_data_files_contain_the_schedules(
    schedules: list[Schedule], measurements: Measurements, tmp_path: Path
) -> None:
    for kind in ("csv", "json", "yaml"):
        save(tmp_path / f"rates.{kind}", schedules, measurements, constant_baseline(5e-5, measurements))
    expected = as_data(schedules, measurements, constant_baseline(5e-5, measurements))
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


@pytest.mark.parametrize(("kind", "signature"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("SVG", b"<?xml")])
def test_plots(
    schedules: list[Schedule], measurements: Measurements, tmp_path: Path, kind: str, signature: bytes
) -> None:
    plot(tmp_path / f"rates.{kind}", schedules, measurements, constant_baseline(5e-5, measurements))
    assert (tmp_path / f"rates.{kind}").read_bytes().startswith(signature)


@pytest.mark.parametrize("name", ["rates", "rates.pgn", "no/such/directory/rates.csv"])
def test_files_that_cannot_be_written_raise(
    schedules: list[Schedule], measurements: Measurements, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ConfigError):
        save(tmp_path / name, schedules, measurements, constant_baseline(5e-5, measurements))


def test_an_unsupported_suffix_is_answered_with_a_hint(
    schedules: list[Schedule], measurements: Measurements, tmp_path: Path
) -> None:
    for write, name, hint in (
        (plot, "rates.pgn", "did you mean '.png'?"),
        (save, "rates.svg", ".svg files are written by --plot; supported: .csv, .json, .yaml"),
        (plot, "rates.csv", ".csv files are written by --output; supported: .png, .svg"),
    ):
        with pytest.raises(ConfigError) as caught:
            write(tmp_path / name, schedules, measurements, schedules[0])
        assert caught.value.hint == hint


def test_the_recommendation_table_has_a_row_and_a_source_for_each() -> None:
    found = [recommend(method, full=full) for method in METHODS for full in (True, False)]
    lines = recommendation_table(found).splitlines()
    assert [line.split()[:2] for line in lines[1:11]] == [
        [method, weights] for method in METHODS for weights in ("all", "LoRA")
    ]
    for each in found:
        assert any(line.startswith(f"{each.method}, {'all' if each.full else 'LoRA'}") for line in lines)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            {},
            [
                "raft, LoRA",
                "lr          7.5e-5, range 1e-5 to 3e-4",
                "1/4 rule",
                "10-40x rule",
                "temperature",
            ],
        ),
        ({"samples": 500}, ["steps       16 per cycle, 2 of them warmup", "lr x steps  1.2e-3 per cycle"]),
        ({"batch": 64}, ["batch       x 1.41, confidence medium", "warning     LoRA loses more"]),
        ({"size": 0.5e9, "full": True}, ["size        x 3.74, confidence low"]),
    ],
)
def test_the_recommendation_text_has_every_reason(options: dict[str, Any], parts: list[str]) -> None:
    text = recommendation_text(recommend("raft", **options))
    for part in parts:
        assert part in text
    assert max(map(len, text.splitlines())) <= 110
