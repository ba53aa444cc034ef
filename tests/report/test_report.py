"""The page: one file, safe, complete, and written after every cycle."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from halo_core.builtin.report import ReportFile
from halo_core.errors import RunError
from halo_core.hookspecs import hookimpl
from halo_core.ledger.ledger import Ledger
from halo_core.ledger.summary import summarise
from halo_core.loop import run_cycles
from halo_core.report import write_report
from halo_core.report.page import _clean, _cut
from halo_core.testing import FakePolicy, fake_run
from halo_core.types import CycleReport

WRITE = ReportFile._write
Read = Callable[[str], Any]


def test_page_is_valid_and_self_contained(page: str, read_page: Read) -> None:
    outline = read_page(page)
    assert outline.open == []
    ids, references = outline.values("id"), outline.values("href") + outline.values("src")
    assert len(ids) == len(set(ids)), "ids are unique across drawings"
    assert all(reference.startswith("#") for reference in references)
    used = set(re.findall(r"url\(#([^)]*)\)", page)) | {reference[1:] for reference in references}
    assert used | set(outline.values("aria-labelledby")) <= set(ids)
    assert not {"link", "img", "iframe", "object", "embed", "form", "base"} & set(outline.tags)
    assert not re.findall(r"@import|url\((?!#)", page)
    assert set(re.findall(r"(?:https?:)?//[a-z][^\s\"<]*", page)) <= {"http://www.w3.org/2000/svg"}


def test_text_of_the_model_is_escaped(page: str, read_page: Read) -> None:
    outline = read_page(page)
    assert outline.tags.count("script") == 1
    assert not [name for attributes in outline.attributes for name in attributes if name.startswith("on")]
    assert "&lt;/pre&gt;&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "日本語 $x_1$ {{ 7 * 7 }}" in page
    assert "<title>a &lt;b&gt;run · halo</title>" in page
    assert "a &lt;warmup&gt; of half the steps" in page


def test_page_has_no_control_characters(page: str) -> None:
    assert " red \ufffdback \ufffd " in page, "escape sequences are removed, the text between them is kept"
    assert (
        set(re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page))
        == set()
    )


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("\x1b[01;31m\x1b[Kerror:\x1b[m\x1b[K no", "error: no"),
        ("\x1b]0;title\x07done\x1b]8;;http://x\x1b\\here", "donehere"),
        ("\x1b(B\x1bcx", "x"),
        ("1%\r2%\r\nend\ttab", "1%\n2%\nend\ttab"),
        ("a\x00b\x1b", "a\ufffdb\ufffd"),
        (5, 5),
    ],
)
def test_clean_removes_control_characters(text: object, clean: object) -> None:
    assert _clean(text) == clean


def test_long_text_keeps_its_end() -> None:
    text = "".join(chr(33 + place % 90) for place in range(10_000))
    short = _cut(text, 400)
    assert short.startswith(text[:300])
    assert short.endswith(text[-100:])
    assert "9,600 characters left out" in short
    assert _cut(text[:400], 400) == text[:400]


def test_text_of_many_lines_keeps_its_end() -> None:
    lines = [f"line {number}\n" for number in range(500)]
    assert _cut("".join(lines[:100])) == "".join(lines[:100])
    gap = "[... 400 lines left out ...]\n"
    assert _cut("".join(lines)) == "".join([*lines[:75], gap, *lines[475:]])
    assert len(_cut("\n".join(["x" * 1000] * 500))) < 4200, "the number of characters is limited too"


# Colours


def colours(style: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", style))


def schemes(page: str) -> dict[str, dict[str, str]]:
    style = page[page.index("<style>") : page.index("</style>")]
    light, rest = style.split("@media screen and (prefers-color-scheme: dark)")
    dark, paper = rest.split("@media print")
    return {
        "light": colours(light),
        "dark": colours(light) | colours(dark),
        "print": colours(light) | colours(paper),
    }


def luminance(colour: str) -> float:
    """Return the relative luminance, as WCAG 2 defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
        for c in (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    ]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_meets_wcag_aa(page: str, scheme: str) -> None:
    colour = schemes(page)[scheme]
    for text in ("ink", "soft", "up", "down", "link"):
        for ground in ("page", "card", "code"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for line in ("series-1", "series-2", "series-3", "series-4", "edge"):
        assert contrast(colour[line], colour["card"]) >= 3, line
    ladder = [
        colour[f"stage-{stage}"] for stage in ("invalid", "flawed", "untested", "crashed", "wrong", "correct")
    ]
    for lower, upper in pairwise(ladder):
        assert contrast(lower, upper) >= 1.2, "neighbours differ in grey as well"


def test_drawings_use_only_colour_variables(page: str) -> None:
    drawings = "".join(re.findall(r"<figure>.*?</figure>", page, re.DOTALL))
    used = set(re.findall(r"var\(--([\w-]+)\)", drawings))
    assert {"ink", "line", "card", "series-1", "stage-correct"} <= used
    for scheme, known in schemes(page).items():
        assert used <= known.keys(), scheme
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) == set(), "no fixed colours"


def test_page_is_made_for_print_and_phones(page: str) -> None:
    paper = page[page.index("@media print") : page.index("</style>")]
    for rule in ("color-scheme: light", "break-inside: avoid", "max-height: none", ".sample:not([open])"):
        assert rule in paper
    assert "@page" in page
    assert 'name="viewport" content="width=device-width' in page
    assert not re.search(r"animation|transition|scroll-behavior", page), "nothing moves"


# Contents


@pytest.mark.parametrize(
    "text",
    [
        *(
            "Held-out pass and valid rates",
            "Held-out pass@k",
            "Stages of training samples",
            "Diversity",
            "Learning rate",
        ),
        *("Change of the model by training", "Training loss", "Gradient norm", "Seconds by stage"),
        *(
            "Findings and events",
            "Events",
            "Tables",
            "Held-out prompts",
            "Samples",
            "Setup",
        ),
        *("Improved", "Worst", "Best", "Drivers and plugins", "Configuration", "Machine", "sandbox"),
        *("samples_per_prompt: 6", "finished, cycle 3 of 3", "Verdicts of fake depend on", "95% interval"),
    ],
)
def test_page_contains(page: str, text: str) -> None:
    assert text in page


def test_page_is_accessible(page: str, read_page: Read) -> None:
    outline = read_page(page)
    levels = [int(tag[1]) for tag in outline.tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels)), "no heading level is skipped"
    assert {"header", "main", "nav"} <= set(outline.tags)
    charts = [
        attributes for tag, attributes in zip(outline.tags, outline.attributes, strict=True) if tag == "svg"
    ]
    for chart in charts:
        assert chart.get("aria-hidden") == "true" or (
            chart["role"] == "img" and re.search(r"\d", chart["aria-label"] or "")
        )
    for tag, attributes in zip(outline.tags, outline.attributes, strict=True):
        if tag in ("select", "input"):
            assert attributes["aria-label"]
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
        if attributes.get("class") == "scroll":
            assert attributes["tabindex"] == "0", "a keyboard can scroll it"


def test_samples_are_the_first_of_each_stage(ledger: Ledger, page: str, read_page: Read) -> None:
    kinds: dict[Any, list[str]] = {}
    db = sqlite3.connect(ledger.path)
    for cycle, name, number, status, stage in db.execute(
        "SELECT cycle, prompts.name, number, status, stage FROM completions JOIN rounds ON rounds.id = round "
        "JOIN prompts ON prompts.id = prompt JOIN verdicts ON verdicts.id = verdict "
        "WHERE rounds.split = 'train' ORDER BY completions.id"
    ):
        kind = stage if status in ("pass", "fail") else status
        kinds.setdefault((str(cycle), kind), []).append(f"{name} cycle {cycle}, completion {number}")
    outline = read_page(page)
    shown: dict[Any, list[str]] = {}
    titles = re.findall(r"<code>(\w+)</code> <span class=\"soft\">(cycle \d+, completion \d+)", page)
    marked = [attributes for attributes in outline.attributes if attributes.get("class") == "sample"]
    for attributes, (name, place) in zip(marked, titles, strict=True):
        shown.setdefault((attributes["data-cycle"], attributes["data-kind"]), []).append(f"{name} {place}")
    assert shown == {kind: names[:3] for kind, names in kinds.items()}
    printed = [attributes["data-kind"] for attributes in marked if "data-printed" in attributes]
    assert sorted(printed) == sorted({attributes["data-kind"] for attributes in marked}), (
        "one of each kind, of the last cycle"
    )


def test_signals_of_verdicts_are_shown(page: str) -> None:
    shown = re.findall(r'<h3>signals</h3><pre tabindex="0">(.*?)</pre>', page, re.DOTALL)
    assert shown
    assert set(shown) == {"format 0.25\n&lt;b&gt;length 12"}
    assert len(shown) < page.count("<h3>diagnostics</h3>"), "verdicts without signals have no section"


def test_report_is_reproducible(ledger: Ledger, page: str, tmp_path: Path) -> None:
    again = write_report(Ledger(ledger.directory), tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == page


def test_report_of_a_run_without_cycles(tmp_path: Path) -> None:
    run, _ = fake_run(tmp_path / "run")
    page = write_report(run.ledger).read_text()
    assert f"{summarise(run.ledger).status}, cycle 0 of 2" in page
    assert "Nothing measured yet" in page
    assert "<figure>" not in page


def test_report_of_a_run_without_training(make_run: Callable[..., Ledger], tmp_path: Path) -> None:
    ledger = make_run(tmp_path / "run", cycles=1)
    with ledger.writing() as db:
        db.execute("DELETE FROM cycles WHERE cycle > 0")
    page = write_report(ledger).read_text()
    [report] = ledger.reports()
    assert report.heldout is not None
    assert f"Held-out pass rate <b>{100 * report.heldout.passed:.1f}%</b> before training" in page
    assert "No training cycle is finished yet" in page
    assert "Training loss" not in page


def test_report_of_a_run_of_one_cycle(make_run: Callable[..., Ledger], tmp_path: Path) -> None:
    page = write_report(make_run(tmp_path / "run", cycles=1)).read_text()
    assert len(re.findall("<figure>", page)) == 8, "all but KL, which the fakes cannot measure"


def test_report_without_heldout_prompts(make_run: Callable[..., Ledger], tmp_path: Path) -> None:
    page = write_report(make_run(tmp_path / "run", heldout=0)).read_text()
    assert 'id="tasks"' not in page
    assert "No held-out prompts" in page
    assert "Stages of training samples" in page


@pytest.fixture
def reports_at_any_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run write its report after each cycle, however short."""
    monkeypatch.setattr("halo_core.builtin.report._FIRST_SECONDS", 0.0)
    monkeypatch.setattr("halo_core.builtin.report._MAX_SHARE", float("inf"))


@pytest.mark.usefixtures("reports_at_any_cost")
def test_report_is_written_after_every_cycle_and_after_an_error(tmp_path: Path) -> None:
    seen: list[int] = []

    class Reader:
        @hookimpl(trylast=True)
        def on_cycle_end(self, run: Any, report: CycleReport) -> None:
            seen.append(len(re.findall(r"<figure>", (run.directory / "report.html").read_text())))
            if report.cycle == 2:
                raise ZeroDivisionError("oops")

    run, hooks = fake_run(tmp_path / "run", cycles=3)
    hooks.register(ReportFile(), name="report")
    hooks.register(Reader(), name="reader")  # called after the report
    with pytest.raises(ZeroDivisionError):
        run_cycles(run, hooks)
    assert len(seen) == 3
    assert "oops" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.usefixtures("reports_at_any_cost")
def test_failed_write_is_printed_and_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise RunError("report.html: No space left on device")

    monkeypatch.setattr("halo_core.report.write_report", full)
    run, hooks = fake_run(tmp_path / "run")
    lines: list[str] = []
    monkeypatch.setattr(run.progress, "note", lines.append, raising=False)
    hooks.register(ReportFile(), name="report")
    assert len(run_cycles(run, hooks)) == 3
    assert lines == ["report   not written: RunError: report.html: No space left on device"] * 3


def test_report_contains_the_lines_of_plugins(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run")
    run_cycles(run, hooks)
    run.log("gate", "cycle 2 is worse than cycle 1")
    page = write_report(run.ledger).read_text()
    assert "Findings and events" in page
    assert "cycle 2 is worse than cycle 1" in page


def test_halo_run_and_halo_report_write_the_report(
    halo: Callable[..., Any], fakes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReportFile, "_write", WRITE)
    assert halo("run", *fakes, "-n", 1, "-o", "run").code == 0
    page = Path("run/report.html").read_text()
    assert "finished, cycle 1 of 1" in page
    assert halo("report", "run", "-o", "copy.html").out == "wrote copy.html\n"
    assert Path("copy.html").read_text() == page
    assert "contains no run" in halo("report", "nowhere").complaint()


def test_diagnosis_uses_the_thresholds_of_the_doctor(make_run: Callable[..., Ledger], tmp_path: Path) -> None:
    ledger = make_run(tmp_path / "run", lr_policy=FakePolicy(base_lr=0.001))
    assert "too-few-steps" in write_report(ledger).read_text()
    ledger.write_plugins([{"kind": "plugin", "name": "doctor", "distribution": "halo-core", "version": "1",
                           "options": {"min_steps": 1, "gone": 3}}])  # fmt: skip
    page = write_report(ledger).read_text()
    assert "too-few-steps" not in page


def test_title_is_the_name_of_the_directory(
    make_run: Callable[..., Ledger], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = write_report(make_run(tmp_path / "mine")).read_text()
    monkeypatch.chdir(tmp_path / "mine")
    assert write_report(Ledger(Path())).read_text() == page
    assert "<h1>mine</h1>" in page
    assert str(tmp_path) not in page, "the report may be sent to others"


@pytest.mark.parametrize("name", ["ledger.db", "run.yaml", "cycles/001/adapter/skill.json"])
def test_report_does_not_overwrite_files_of_the_run(
    halo: Callable[..., Any], fakes: list[str], name: str
) -> None:
    assert halo("run", *fakes, "-n", 1, "-o", "run").code == 0
    before = (Path("run") / name).read_bytes()
    assert f"{name} is part of the run" in halo("report", "run", "-o", Path("run") / name).complaint()
    assert (Path("run") / name).read_bytes() == before
