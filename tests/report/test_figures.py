"""Every number of a report, computed independently from the database."""

from __future__ import annotations

import json
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from math import comb, inf, nan
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger
from halo_core.report.charts import draw
from halo_core.report.figures import Plot, plots, tables
from halo_core.testing import make_metrics, make_stats
from halo_core.types import CycleReport

SAMPLES = """FROM completions JOIN rounds ON rounds.id = round JOIN verdicts ON verdicts.id = verdict
LEFT JOIN rewards ON rewards.completion = completions.id LEFT JOIN selections ON selections.completion = completions.id
WHERE split = ? """
CONCLUSIVE = "AND status IN ('pass', 'fail') "


@pytest.fixture(scope="module")
def query(ledger: Ledger) -> Callable[..., list[Any]]:
    """Return a function that queries the database: one column as values, several as tuples."""
    db = sqlite3.connect(ledger.path)

    def answer(sql: str, *values: object) -> list[Any]:
        rows = db.execute(sql, values).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    return answer


@pytest.fixture(scope="module")
def plotted(ledger: Ledger) -> dict[str, Plot]:
    return {plot.title: plot for plot in plots(ledger.reports())}


@pytest.fixture(scope="module")
def shown(page: str, read_page: Callable[[str], Any]) -> dict[str, list[dict[str, str]]]:
    tables: dict[str, list[dict[str, str]]] = read_page(page).tables
    return tables


def column(rows: Iterable[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


def percents(values: Iterable[float]) -> list[str]:
    return [f"{100 * value:.1f}%" for value in values]


DISTINCT = "1.0 * count(DISTINCT prompt || ' ' || text) / count(*)"
SHARES = {
    "pass": f"SELECT avg(status = 'pass') {SAMPLES} {CONCLUSIVE} GROUP BY cycle ORDER BY cycle",
    "valid": f"SELECT avg(stage != 'invalid') {SAMPLES} {CONCLUSIVE} GROUP BY cycle ORDER BY cycle",
    "truncated": f"SELECT avg(finish = 'length') {SAMPLES} GROUP BY cycle ORDER BY cycle",
    "distinct": f"SELECT {DISTINCT} {SAMPLES} GROUP BY cycle ORDER BY cycle",
    "distinct correct": f"SELECT {DISTINCT} {SAMPLES} AND status = 'pass' GROUP BY cycle ORDER BY cycle",
}
COUNTS = {
    "conclusive": f"SELECT count(*) {SAMPLES} {CONCLUSIVE} GROUP BY cycle ORDER BY cycle",
    "errors": f"SELECT sum(status = 'error') {SAMPLES} GROUP BY cycle ORDER BY cycle",
    "inconclusive": f"SELECT sum(status = 'inconclusive') {SAMPLES} GROUP BY cycle ORDER BY cycle",
}
STAGE = f"SELECT sum(stage = ?) {SAMPLES} {CONCLUSIVE} GROUP BY cycle ORDER BY cycle"


@pytest.mark.parametrize(("title", "split"), [("Held-out prompts", "heldout"), ("Training samples", "train")])
def test_rates_and_counts(
    query: Callable[..., list[Any]], shown: dict[str, list[dict[str, str]]], title: str, split: str
) -> None:
    rows = shown[title]
    assert column(rows, "cycle") == [str(cycle) for cycle in range(0 if split == "heldout" else 1, 4)]
    for name, sql in SHARES.items():
        if name in rows[0]:
            assert column(rows, name) == percents(query(sql, split)), name
    for name, sql in COUNTS.items():
        assert column(rows, name) == [str(n) if n else "" for n in query(sql, split)], name
    assert {"pass", "truncated"} <= rows[0].keys()


def test_training_samples(query: Callable[..., list[Any]], shown: dict[str, list[dict[str, str]]]) -> None:
    rows = shown["Training samples"]
    for stage in ("invalid", "crashed", "wrong", "correct"):
        assert column(rows, stage) == [str(n) for n in query(STAGE, stage, "train")], stage
    assert "untested" not in rows[0], "no sample is"
    rewards = query(f"SELECT avg(reward) {SAMPLES} GROUP BY cycle ORDER BY cycle", "train")
    assert column(rows, "reward") == [f"{reward:.3f}" for reward in rewards]
    tokens = "length(tokens) / 2"  # ids below 500: one byte for the width, then two for each id; 12 ids are 25 bytes
    entropy = query(f"SELECT -sum(logprob) / sum({tokens}) {SAMPLES} GROUP BY cycle ORDER BY cycle", "train")
    assert column(rows, "entropy") == [f"{value:.3f}" for value in entropy]


def test_intervals_and_changes(
    query: Callable[..., list[Any]], shown: dict[str, list[dict[str, str]]]
) -> None:
    rows = shown["Held-out prompts"]
    for name, key in (("pass 95% interval", "passed"), ("valid 95% interval", "valid")):
        found = [
            json.loads(text) for text in query(f"SELECT report -> '$.heldout.{key}_interval' FROM cycles")
        ]
        assert column(rows, name) == [" to ".join(percents(bounds)) for bounds in found]
    for name, key in (("vs cycle before", "improvement"), ("vs best before", "versus_best")):
        found = [
            json.loads(text) for text in query(f"SELECT report -> '$.{key}' FROM cycles WHERE cycle > 0")
        ]
        texts = [
            "{:+.1f} ({:+.1f} to {:+.1f})".format(
                *(100 * x for x in (change["difference"], *change["interval"]))
            )
            for change in found
        ]
        assert column(rows, name) == ["", *texts]
    passed = query(SHARES["pass"], "heldout")
    changes = [float(text.split()[0]) for text in column(rows, "vs cycle before")[1:]]
    assert changes == pytest.approx([100 * (b - a) for a, b in pairwise(passed)], abs=0.051)


def test_training(query: Callable[..., list[Any]], shown: dict[str, list[dict[str, str]]]) -> None:
    rows = shown["Training"]
    stats = [json.loads(text) for text in query("SELECT report -> '$.train' FROM cycles WHERE cycle > 0")]
    chosen = query("SELECT count(*) FROM selections JOIN completions ON completions.id = completion "
                 "JOIN rounds ON rounds.id = round GROUP BY cycle ORDER BY cycle")  # fmt: skip
    assert column(rows, "selected") == [str(number) for number in chosen]
    assert column(rows, "learning rate") == ["2.00e-01", "5.00e-02", "3.00e-01"]
    assert column(rows, "loss") == [
        f"{entry['loss_first']:.3f} → {entry['loss_last']:.3f}" for entry in stats
    ]
    assert column(rows, "gradient norm") == [f"{entry['grad_norm_median']:.3g}" for entry in stats]
    assert column(rows, "clipped") == percents(entry["clipped_fraction"] for entry in stats)
    assert column(rows, "KL") == [f"{entry['kl']:.4f}" for entry in stats]
    assert column(rows, "ratio") == ["1.2", "1.05", "1.3"]
    assert column(rows, "KL (trainer)") == ["0.06667", "0.01667", "0.1"]
    assert column(rows, "tokens") == [str(entry["tokens"]) for entry in stats]
    assert column(rows, "steps") == [str(entry["steps"]) for entry in stats]
    assert column(rows, "started from") == [
        str(n) for n in query("SELECT report ->> '$.started_from' FROM cycles")[1:]
    ]
    gini = query("SELECT report ->> '$.kept_gini' FROM cycles WHERE cycle > 0")
    assert column(rows, "Gini") == [f"{value:.2f}" for value in gini]


def test_seconds(
    query: Callable[..., list[Any]], shown: dict[str, list[dict[str, str]]], plotted: dict[str, Plot]
) -> None:
    found = [json.loads(text) for text in query("SELECT report -> '$.seconds' FROM cycles")]
    rows = shown["Seconds"]
    assert list(rows[0]) == ["cycle", "sample", "train", "heldout", "total", "tokens/s"]
    written = Counter[int]()
    for cycle, ids, mask in query(f"SELECT cycle, tokens, loss_mask {SAMPLES}", "train"):
        written[cycle] += sum(mask) if mask is not None else (len(ids) - 1) // ids[0]
    speeds = [f"{written[cycle] / entry['sample']:,.0f}" for cycle, entry in enumerate(found) if cycle]
    assert column(rows, "tokens/s") == ["", *speeds]
    assert column(rows, "total") == [f"{sum(entry.values()):.1f}" for entry in found]
    assert column(rows, "heldout") == [f"{entry['heldout']:.1f}" for entry in found]
    for series in plotted["Seconds by stage"].series:
        assert [value for _, value in series.points] == [entry.get(series.label, 0) for entry in found]


def test_facts_and_headline(
    query: Callable[..., list[Any]], ledger: Ledger, page: str, read_page: Callable[[str], Any]
) -> None:
    facts = read_page(page).facts
    conclusive = query(f"SELECT count(*) {SAMPLES} {CONCLUSIVE}", "train") + query(
        f"SELECT count(*) {SAMPLES} {CONCLUSIVE}", "heldout"
    )
    assert facts["conclusive samples"] == f"{sum(conclusive):,}"
    assert facts["tokens trained on"] == f"{sum(query('''SELECT stats ->> '$.tokens' FROM trainings''')):,}"
    assert facts["status"] == "finished, cycle 3 of 3"
    assert facts["verifier"] == "fake"
    before, *_, after = query(SHARES["pass"], "heldout")
    text = re.sub(r"<[^>]*>", "", page[page.index('class="headline"') :])
    assert f"{100 * before:.1f}% → {100 * after:.1f}%:" in text
    assert f"{100 * (after - before):+.1f} points" in text


def test_best_cycle_is_shown_unless_it_is_the_last(
    make_run: Callable[..., Ledger], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_core.report.page import render

    run = make_run(tmp_path / "run")
    assert "The best was" not in render(run)
    reports = run.reports()
    assert reports[1].heldout is not None
    reports[1] = replace(reports[1], heldout=replace(reports[1].heldout, passed=0.987))
    monkeypatch.setattr(run, "reports", lambda: reports)
    assert "The best was cycle 1: <b>98.7%</b>" in render(run)


def test_groups_of_heldout_prompts(
    query: Callable[..., list[Any]], shown: dict[str, list[dict[str, str]]]
) -> None:
    counts = f"SELECT (SELECT name FROM prompts WHERE id = prompt), cycle, sum(status = 'pass'), count(*) {SAMPLES}"
    counts += f"{CONCLUSIVE} AND cycle IN (0, 3) GROUP BY prompt, cycle ORDER BY prompt, cycle"
    results: dict[str, list[tuple[int, int]]] = {}
    for name, _, passes, total in query(counts, "heldout"):
        results.setdefault(name, []).append((passes, total))
    change = {name: b / m - a / n for name, ((a, n), (b, m)) in results.items()}
    after = {name: b / m for name, (_, (b, m)) in results.items()}
    ups, downs = [n for n in results if change[n] > 0], [n for n in results if change[n] < 0]
    listed = {
        title: [row["prompt"].split()[0] for row in rows] for title, rows in shown.items() if title in TITLES
    }
    order = list(results)
    assert listed["Improved"] == sorted(ups, key=lambda n: (-change[n], order.index(n)))[:12]
    assert downs, "some prompts must become worse"
    assert listed["Became worse"] == sorted(downs, key=lambda n: (change[n], order.index(n)))[:12]
    assert listed["Worst"] == sorted(results, key=lambda n: (after[n], order.index(n)))[:12]
    assert listed["Best"] == sorted(results, key=lambda n: (-after[n], order.index(n)))[:12]
    for row in (row for title in listed for row in shown[title]):
        (a, n), (b, m) = results[row["prompt"].split()[0]]
        assert (row["before"], row["after"]) == (f"{a}/{n}", f"{b}/{m}")
        assert float(row["points"]) == round(100 * (b / m - a / n))


TITLES = ("Improved", "Became worse", "Worst", "Best")


def test_number_of_prompts_is_shown_if_not_all_are_listed(page: str, query: Callable[..., list[Any]]) -> None:
    heldout = query("SELECT count(*) FROM prompts WHERE split = 'heldout'")[0]
    assert heldout > 12
    assert f'<h3>Worst</h3> <span class="soft">12 of {heldout}</span>' in page


# Plotted values


def test_plotted_shares(query: Callable[..., list[Any]], plotted: dict[str, Plot]) -> None:
    def values(title: str, label: str) -> list[float]:
        return [value for line in plotted[title].series if line.label == label for _, value in line.points]

    assert values("Held-out pass and valid rates", "pass") == pytest.approx(query(SHARES["pass"], "heldout"))
    assert values("Held-out pass and valid rates", "valid") == pytest.approx(
        query(SHARES["valid"], "heldout")
    )
    assert values("Diversity of training samples", "all") == pytest.approx(query(SHARES["distinct"], "train"))
    right = query(SHARES["distinct correct"], "train")
    assert values("Diversity of training samples", "correct") == pytest.approx(right)
    totals = query(COUNTS["conclusive"], "train")
    for stage in ("invalid", "crashed", "wrong", "correct"):
        counts = query(STAGE, stage, "train")
        expected = [number / total for number, total in zip(counts, totals, strict=True)]
        assert values("Stages of training samples", stage) == pytest.approx(expected), stage
    ladder = plotted["Stages of training samples"].series
    assert [series.label for series in ladder] == ["invalid", "crashed", "wrong", "correct"], "lowest first"
    for cycle in range(3):
        assert sum(series.points[cycle][1] for series in ladder) == pytest.approx(1)


def test_plotted_intervals(query: Callable[..., list[Any]], plotted: dict[str, Plot]) -> None:
    for series, key in zip(plotted["Held-out pass and valid rates"].series, ("passed", "valid"), strict=True):
        stored = [
            json.loads(text) for text in query(f"SELECT report -> '$.heldout.{key}_interval' FROM cycles")
        ]
        assert [list(bounds) for bounds in series.bounds] == stored
        assert [cycle for cycle, _ in series.points] == [0, 1, 2, 3]


def test_plotted_pass_at_k(query: Callable[..., list[Any]], plotted: dict[str, Plot]) -> None:
    rows = query(
        f"SELECT cycle, sum(status = 'pass'), count(*) {SAMPLES} {CONCLUSIVE} GROUP BY cycle, prompt",
        "heldout",
    )
    for series in plotted["Held-out pass@k"].series:
        k = int(series.label.removeprefix("k = "))
        for cycle, value in series.points:
            found = [1 - comb(n - c, k) / comb(n, k) for at, c, n in rows if at == cycle]
            assert value == pytest.approx(sum(found) / len(found)), (k, cycle)


def test_plotted_training(query: Callable[..., list[Any]], plotted: dict[str, Plot]) -> None:
    stats = [json.loads(text) for text in query("SELECT report -> '$.train' FROM cycles WHERE cycle > 0")]
    for title, key in (
        ("Learning rate", "lr_peak"),
        ("Change of the model by training", "kl"),
        ("Gradient norm", "grad_norm_median"),
    ):
        assert plotted[title].series[0].points == tuple((n, entry[key]) for n, entry in enumerate(stats, 1))
    steps = [point for point in plotted["Training loss"].series[0].points if point[1] == point[1]]
    assert [value for _, value in steps] == [loss for entry in stats for loss in entry["losses"]]
    assert all(cycle - 0.5 < at < cycle + 0.5 for n, (at, _) in enumerate(steps) for cycle in [n // 5 + 1])


def test_pass_at_k_has_at_most_four_lines_with_the_first_and_the_last() -> None:
    metrics = make_metrics(
        samples=64, valid=1, valid_interval=(0.9, 1), pass_at={str(1 << n): n / 9 for n in range(8)}
    )
    [shown] = [
        plot for plot in plots([CycleReport(cycle=0, heldout=metrics)]) if plot.title == "Held-out pass@k"
    ]
    labels = [series.label for series in shown.series]
    assert len(labels) == 4
    assert (labels[0], labels[-1]) == ("k = 1", "k = 128")


# Drawings


def drawn(svg: str, number: int) -> list[tuple[float, float]]:
    """Return the positions of a line's markers, or of the upper ends of its bars."""
    if marks := re.search(rf'<g id="c\d+-s{number}">(.*?)</g>\s*</g>', svg, re.DOTALL):
        places = re.findall(r'<use x="([\d.]+)" y="([\d.]+)"', marks[1])
    else:
        corners = re.findall(rf'<g id="c\d+-s{number}-\d+">\s*<path d="([^"]*)"', svg)
        places = [
            (x[0], min(y, key=float))
            for x, y in ((re.findall(r"[ML] (\S+)", d), re.findall(r"[ML] \S+ (\S+)", d)) for d in corners)
        ]
    return [(float(x), float(y)) for x, y in places]


@pytest.mark.parametrize(
    "title", ["Held-out pass and valid rates", "Stages of training samples", "Gradient norm", "Learning rate"]
)
def test_markers_and_bars_are_at_their_values(plotted: dict[str, Plot], title: str) -> None:
    plot = plotted[title]
    heights, values, ground = [], [], [0.0] * 9
    [svg] = draw([plot])
    for number, series in enumerate(plot.series):
        places = drawn(svg, number)
        assert len(places) == len(series.points)
        assert [x for x, _ in places] == sorted(x for x, _ in places)
        heights += [y for _, y in places]
        stacked = [low + value for low, (_, value) in zip(ground, series.points, strict=False)]
        ground = stacked if plot.form == "bars" else ground
        values += stacked if plot.form == "bars" else [value for _, value in series.points]
        for cycle, value in series.points:
            assert f"<title>cycle {cycle:g}, {series.label}: {plot.value(value)}</title>" in svg
    zero = 198 * 0.8  # the axis: a fifth above the lower edge
    for height, value in zip(heights, values, strict=True):
        scale = (zero - heights[-1]) / values[-1]
        assert zero - height == pytest.approx(value * scale, abs=0.02)


@pytest.mark.parametrize("loss", [nan, inf, 0.0])
def test_diverged_run_is_drawn(loss: float) -> None:
    stats = make_stats(loss_first=loss, loss_last=loss, grad_norm_median=loss, kl=loss, losses=(loss, loss))
    report = CycleReport(cycle=1, train=stats, lr=1e-5, seconds={"train": 1.0})
    for plot, svg in zip(plots([report]), draw(plots([report])), strict=True):
        assert svg.startswith("<svg")
        assert plot.title in svg


def test_empty_charts_and_tables_are_left_out() -> None:
    assert plots([CycleReport(cycle=0)]) == []
    assert tables([CycleReport(cycle=0)]) == []


def test_the_waiting_times_of_a_cluster_are_a_table() -> None:
    reports = [CycleReport(cycle=n, waits={"samplers": 1.25 * n, "trainers": 2.0}) for n in (1, 2)]
    (table,) = tables(reports)
    assert (table.title, table.head) == ("Seconds that workers waited", ("cycle", "samplers", "trainers"))
    assert table.rows == (("1", "1.2", "2.0"), ("2", "2.5", "2.0"))


def test_chart_has_a_description(plotted: dict[str, Plot]) -> None:
    text = plotted["Held-out pass and valid rates"].text
    first, *_, last = plotted["Held-out pass and valid rates"].series[0].points
    assert f"pass: {100 * first[1]:.1f}% in cycle 0, {100 * last[1]:.1f}% in cycle 3" in text
    assert plotted["Learning rate"].text.endswith("learning rate: 0.2 in cycle 1, 0.3 in cycle 3.")


def test_every_line_has_its_own_colour(plotted: dict[str, Plot]) -> None:
    for plot in plotted.values():
        assert len({series.colour for series in plot.series}) == len(plot.series) <= 6


def test_drawing_of_many_steps_is_small() -> None:
    losses = tuple(2 / (1 + n) + 0.1 * (n * 7919 % 13) for n in range(20_000))
    stats = make_stats(steps=20_000, losses=losses)
    loss = [plot for plot in plots([CycleReport(cycle=1, train=stats)]) if plot.title == "Training loss"]
    assert len(loss[0].series[0].points) == 20_000, "no step is left out"
    [svg] = draw(loss)
    assert len(svg) < 200_000
    assert not re.search(r' d="[^"]*\.\d{3}', svg), "hundredths of a pixel are enough"
