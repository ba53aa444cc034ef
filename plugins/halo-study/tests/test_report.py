"""The report: its words, its figures, and its layout in a browser."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from halo_study.analysis import Analysis, analyse
from halo_study.fixed import fix, read_fixed
from halo_study.jobs import jobs
from halo_study.outcomes import value_of
from halo_study.page import write_pages
from halo_study.results import COLUMNS, RunResult, write_results
from halo_study.simulation import World, simulate
from halo_study.study import Study

Halo = Callable[..., Any]
MakeStudy = Callable[..., Study]
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TUNE = {"values": [1e-3, 1e-2], "seeds": [7, 8], "outcome": "area"}
ARMS: dict[str, Any] = {
    "constant": {},
    "falling <fast>": {"set": {"lr_policy": {"name": "exponential", "decay": 0.5}}},
    "equal sum": {"equal_sum_of": "falling <fast>"},
}
COMPARISONS = [
    {"arm": "falling <fast>", "against": "constant"},
    {"arm": "falling <fast>", "against": "equal sum", "outcome": "area"},
    {"arm": "constant", "outcome": "late_change"},
]


@pytest.fixture
def study(make_study: MakeStudy) -> Study:
    return make_study(
        title="Decay | factor",
        seeds=6,
        tune=TUNE,
        arms=ARMS,
        comparisons=COMPARISONS,
        outcomes=["final", "lr_sum"],
    )


def results(study: Study, effect: float = 2.0, seed: int = 0) -> list[RunResult]:
    """Return simulated results of a whole study; the second and third arm are better by `effect`."""
    world = World(seeds=6, effect=effect, by_prompt=0.1)
    found = []
    for name, runs in zip(
        study.arms, simulate(world, len(study.arms), np.random.default_rng(seed)), strict=True
    ):
        for number, run in runs.items():
            columns = {column: np.full(len(run.passes), 1e-3) for column in COLUMNS}
            value = 1e-2 if study.is_tuned(name) else None
            made = replace(run, arm=name, value=value, columns=columns)
            found.append(made)
            if study.is_tuned(name) and study.tune and number < len(study.tune.seeds):
                chosen = replace(made, seed=study.tune.seeds[number])
                found += [chosen, replace(chosen, value=1e-3, passes=np.zeros_like(made.passes))]
    return with_settings(study, found)


def with_settings(study: Study, runs: list[RunResult]) -> list[RunResult]:
    """Return the runs of a study with the hashes of their configurations."""
    done: list[RunResult] = []
    while left := {job.key: job for job in jobs(study, done)}:
        found = [replace(run, settings=left[run.key].settings) for run in runs if run.key in left]
        if not found:
            break
        done += found
    return done


@pytest.fixture
def analysis(study: Study) -> Analysis:
    return analyse(study, results(study))


def pages(analysis: Analysis, directory: Path) -> tuple[str, str]:
    html, markdown = write_pages(analysis, directory, file=Path("study.yaml"))
    return html.read_text(), markdown.read_text()


def test_the_answer_names_what_is_shown_and_what_is_not(analysis: Analysis, tmp_path: Path) -> None:
    rows = {row.label: row for row in analysis.compared}
    assert rows["falling <fast> against constant"].verdict.text == "higher"
    assert not rows["falling <fast> against equal sum"].verdict.different
    assert analysis.answer.startswith("Falling <fast> is higher than constant (final +")
    assert analysis.answer.count(".") > 2
    html, markdown = pages(analysis, tmp_path)
    assert "falling &lt;fast&gt;" in html
    assert "<fast>" not in html
    assert analysis.answer in markdown
    assert analysis.answer.replace("<", "&lt;").replace(">", "&gt;") in html


def test_no_difference_is_told_plainly(study: Study) -> None:
    found = analyse(study, results(study, effect=0.0))
    assert not any(row.verdict.different for row in found.compared)
    assert "no difference is shown for" in found.answer.lower()
    assert "remains possible" in found.answer


def test_an_unfinished_study_reports_how_far_it_is(study: Study, tmp_path: Path) -> None:
    nothing = analyse(study, [])
    assert nothing.answer == "Not answered yet: 0 of 26 runs are finished."
    assert "No reported run is finished yet." in pages(nothing, tmp_path)[0]
    part = [run for run in results(study) if run.seed not in (4, 5)]
    found = analyse(study, part)
    assert {row.estimate.seeds for row in found.compared} == {4}
    assert found.answer.endswith("This is from 20 of 26 runs.")
    one = analyse(study, [run for run in results(study) if run.seed in (0, 7, 8)])
    assert one.compared == []
    assert len(one.missing) == 3


def test_a_conclusion_is_the_answer(analysis: Analysis, tmp_path: Path) -> None:
    study = analysis.study.model_copy(update={"conclusion": "Take a constant & low rate.\n"})
    found = replace(analysis, study=study)
    html, markdown = pages(found, tmp_path)
    assert found.answer == "Take a constant & low rate."
    assert replace(found, done=3).answer == "Take a constant & low rate. This is from 3 of 26 runs."
    assert "**Answer.** Take a constant & low rate.\n\n" in markdown
    assert '<p class="answer">Take a constant &amp; low rate.</p>' in html
    assert analysis.answer not in markdown


def test_columns_by_cycle(study: Study, tmp_path: Path) -> None:
    found = analyse(study.model_copy(update={"by_cycle": ["entropy", "diversity"]}), results(study))
    runs = found.arms[0].runs
    for number, run in enumerate(runs.values()):
        run.columns["entropy"][:] = [float("nan"), 0.5, *[0.25 + 0.01 * number] * (len(run.passes) - 2)]
        run.columns["diversity"][:] = 0.75
    html, markdown = pages(found, tmp_path)
    mean = 0.25 + 0.01 * (len(runs) - 1) / 2
    row = markdown.split("entropy of the held-out tokens, nats:")[1].split("| constant |")[1].split("\n")[0]
    cells = [cell.strip() for cell in row.strip(" |").split("|")]
    assert cells[:2] == ["-", "0.5 ± 0"]
    assert cells[2] == f"{mean:.3g} ± 0.02"
    assert "| constant |" + " 75 ± 0 |" * len(cells) in markdown
    assert "<caption>distinct among the passing training samples, percent</caption>" in html


def test_a_rate_in_yaml_text_is_the_same_rate(study: Study, tmp_path: Path) -> None:
    policy = {"name": "constant", "base_lr": "2e-3"}
    fix(study.model_copy(update={"base": {**study.base, "lr_policy": policy}}), tmp_path)
    for rate, changes in ((2e-3, []), (1e-3, ["base.lr_policy.base_lr: was 0.002, is 0.001"])):
        now = study.model_copy(update={"base": {**study.base, "lr_policy": {**policy, "base_lr": rate}}})
        assert analyse(now, [], read_fixed(tmp_path)).changes == changes


def test_choosing_runs_are_not_reported(study: Study, analysis: Analysis) -> None:
    assert [sorted(arm.runs) for arm in analysis.arms] == [list(range(6))] * 3
    assert [(each.arm, each.value) for each in analysis.choices] == [
        ("constant", 1e-2),
        ("falling <fast>", 1e-2),
    ]
    assert analysis.choices[0].at_edge
    choosing = [
        run for run in results(study) if run.arm == "constant" and run.seed in (7, 8) and run.value == 1e-2
    ]
    assert analysis.choices[0].means[1e-2] == pytest.approx(
        np.mean([value_of(run, "area") for run in choosing])
    )


def test_what_was_fixed_in_advance(study: Study, make_study: MakeStudy, tmp_path: Path) -> None:
    fix(study, tmp_path)
    before = (tmp_path / "fixed.yaml").read_text()
    assert analyse(study, results(study), read_fixed(tmp_path)).changes == []
    added = {"arm": "equal sum", "against": "constant", "outcome": "final"}
    larger = COMPARISONS[1] | {"smallest_effect": 0.4}
    arms = ARMS | {"falling <fast>": {"set": {"lr_policy": {"name": "exponential", "decay": 0.6}}}, "new": {}}
    later = make_study(
        seeds=7,
        tune=TUNE | {"values": [1e-3, 1e-2, 1e-1]},
        arms=arms,
        comparisons=[larger, COMPARISONS[2], added],
        outcomes=["final", "lr_sum"],
    )
    fix(later, tmp_path)
    assert (tmp_path / "fixed.yaml").read_text() == before, "the first version stays"
    found = analyse(later, results(later), read_fixed(tmp_path))
    assert found.changes == [
        "seeds: was [0, 1, 2, 3, 4, 5], is [0, 1, 2, 3, 4, 5, 6]",
        "tune.values: was [0.001, 0.01], is [0.001, 0.01, 0.1]",
        "arm falling <fast>.set.lr_policy.decay: was 0.5, is 0.6",
        "arm 'new' was added",
        "the smallest effect of the comparison of falling <fast> and equal sum (area) was 0.05, is 0.4",
        "the comparison of equal sum and constant (final) was added",
        "the comparison of falling <fast> and constant (final) was removed",
    ]
    html, markdown = pages(found, tmp_path)
    for page in (html, markdown):
        assert "Added after the first run" not in page, "it has no result"
        assert "3 arms, 6 seeds and 3 comparisons" in page
        assert "the best of 0.001, 0.01 by" in page
    fix(later, tmp_path, renew=True)
    assert read_fixed(tmp_path) == later


def test_a_comparison_that_was_removed_still_counts(study: Study) -> None:
    whole = analyse(study, results(study))
    assert len(whole.compared) == 3
    fewer = study.model_copy(update={"comparisons": study.comparisons[:1]})
    found = analyse(fewer, results(study), study)
    assert found.compared[0].verdict.adjusted_p == min(1.0, 3 * found.compared[0].estimate.p)
    later = analyse(study, results(study), fewer)
    assert [row.label for row in later.later] == ["falling <fast> against equal sum", "constant"]
    assert later.compared[0].verdict.adjusted_p == later.compared[0].estimate.p, "one was named beforehand"


def test_an_outcome_without_a_value_is_missing(study: Study) -> None:
    """One diverged run has no diversity; the other comparisons keep their correction."""
    more = study.model_copy(
        update={
            "comparisons": [
                *study.comparisons,
                study.comparisons[0].model_copy(update={"outcome": "diversity"}),
            ]
        }
    )
    runs = results(study)
    runs[-1].columns["diversity"][:] = float("nan")
    for run in runs:
        if run.arm == "constant":
            run.columns["diversity"][:] = float("nan")
    found = analyse(more, runs)
    assert [each.outcome for each in found.missing] == ["diversity"]
    assert all(np.isfinite(row.verdict.adjusted_p) for row in found.compared)


def test_only_the_runs_of_the_study_count(study: Study) -> None:
    """Results of other seeds, values and arms may be in the file."""
    fewer = study.model_copy(update={"seeds": [0, 1]})
    found = analyse(fewer, results(study))
    assert (found.done, found.total) == (14, 14)
    assert analyse(study.model_copy(update={"seeds": [4, 5, 6]}), results(study)).done == 14
    assert analyse(study.model_copy(update={"seeds": [4, 5, 6]}), results(study)).total == 17


def test_few_seeds_are_told(study: Study, tmp_path: Path) -> None:
    fewer = study.model_copy(update={"seeds": [0, 1, 2, 3]})
    assert (
        "With fewer than 5 seeds, intervals can be too narrow"
        in pages(analyse(fewer, results(study)), tmp_path)[1]
    )
    assert "intervals can be too narrow" not in pages(analyse(study, results(study)), tmp_path)[1]


def test_the_tables_of_the_markdown_page_are_whole(analysis: Analysis, tmp_path: Path) -> None:
    text = pages(analysis, tmp_path)[1]
    groups = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    assert len(groups) == 4
    for group in groups:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in group.splitlines()}) == 1, group
        assert set(group.splitlines()[1]) == {"|", "-"}


def test_failed_runs_are_counted(study: Study, tmp_path: Path) -> None:
    runs = results(study)
    runs[0] = replace(runs[0], error="cycle 3 diverged")
    assert "1 run ended before the last cycle" in pages(analyse(study, runs), tmp_path)[1]


def test_the_commands(
    halo: Halo, study_file: Path, content: dict[str, Any], make_study: MakeStudy, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert halo("study", "status", study_file, "-o", output).out.endswith(
        "0 of 6 runs, 0.0 hours of wall time\n"
    )
    assert "has no results" in halo("study", "report", study_file, "-o", output).complaint()
    assert "--limit 1" in halo("study", "plan", study_file, "-o", output).remedy()
    study = make_study()
    write_results(output / "results.csv", [run for run in results(study) if run.seed < 2])
    answer = halo("study", "report", study_file, "-o", output)
    assert answer.code == 0, answer.err
    assert (output / "report.html").exists()
    assert "answer   " in answer.out
    status = json.loads(halo("study", "status", study_file, "-o", output, "--json").out)
    assert (status["done"], status["total"], status["arms"][0]["reported"]) == (6, 6, 2)
    plan = json.loads(halo("study", "plan", study_file, "-o", output, "--json").out)
    assert plan["done"] == plan["runs"] == 6
    assert list(plan["smallest"]) == ["2", "4"]
    assert plan["smallest"]["2"] is None
    assert 0 < plan["smallest"]["4"] < 1
    plain = halo("study", "plan", study_file, "-o", output).out
    assert "2 seeds    show nothing in 4 of 5 studies" in plain
    assert "4 seeds    show a difference of" in plain
    wrong = yaml.safe_load(study_file.read_text())
    wrong["arms"]["wrong"] = {"set": {"data": {"solved_at": 1.0}}}
    study_file.write_text(yaml.safe_dump(wrong))
    assert (
        "arm 'wrong': configuration: unknown key 'data.solved_at'"
        in halo("study", "plan", study_file, "-o", output).complaint()
    )
    other = yaml.safe_load(study_file.read_text()) | {"arms": {"other": {}}, "comparisons": []}
    study_file.write_text(yaml.safe_dump(other))
    for command in ("status", "plan", "report", "run"):
        answer = halo("study", command, study_file, "-o", output)
        assert "has the results of another study" in answer.complaint()
        assert "--output" in answer.remedy()
    (output / "fixed.yaml").write_text("arms: 3")
    study_file.write_text(yaml.safe_dump(wrong | {"arms": content["arms"]}))
    assert "fixed.yaml is damaged" in halo("study", "report", study_file, "-o", output).complaint()
    study_file.write_text(yaml.safe_dump({"question": "?"}))
    assert "base" in halo("study", "status", study_file).complaint()


@pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1280, 500], ids=["desk", "phone"])
def test_nothing_is_wider_than_the_screen(analysis: Analysis, tmp_path: Path, width: int) -> None:
    page = pages(analysis, tmp_path)[0]
    probe = (
        "<script>addEventListener('load', () => { document.title = JSON.stringify({"
        "wide: document.documentElement.scrollWidth > innerWidth,"
        "charts: [...document.querySelectorAll('figure > svg')]"
        ".filter(chart => chart.getBoundingClientRect().width > 200).length,"
        "ink: getComputedStyle(document.querySelector('figure path')).display}); });</script>"
    )
    (tmp_path / "probed.html").write_text(page.replace("</body>", probe + "</body>"))
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    command += [f"--window-size={width},900", "--dump-dom", (tmp_path / "probed.html").as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=120).stdout
    found = json.loads(re.findall(r"<title>(.*?)</title>", shown)[0].replace("&quot;", '"'))
    assert found["wide"] is False
    assert found["charts"] == 3 + 3


def test_the_page_needs_no_network(analysis: Analysis, tmp_path: Path) -> None:
    page = pages(analysis, tmp_path)[0]
    links = set(re.findall(r"(?:href|src)=\"([^\"#][^\"]*)\"", page))
    assert links == {"results.csv", "fixed.yaml"}
    ids = re.findall(r"\bid=\"([^\"]+)\"", page)
    assert len(ids) == len(set(ids)), "drawings share ids"
    assert set(re.findall(r"#0\d0\d0\d", page)) == set(), "a placeholder colour is left"
