from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from halo_core.builtin.report import ReportFile
from halo_core.drivers import Generator, driver
from halo_core.errors import RunError
from halo_core.hookspecs import hookimpl
from halo_core.ledger import Ledger
from halo_core.loop import run_cycles
from halo_core.report import charts, write_report
from halo_core.report.charts import VARIABLES
from halo_core.testing import FakeGenerator, FakePolicy, fake_run
from halo_core.types import Completion, CycleReport

WRITE = ReportFile._write
NASTY = "</pre><script>alert(1)</script>\ud800"


@driver
class Nasty(FakeGenerator):
    """Says things that a page must not take for its own."""

    def generate(self, actor: Any, round: Any) -> Any:
        for batch in super().generate(actor, round):
            yield [
                Completion(c.prompt_id, c.index, f"{c.text} {NASTY}", c.prompt_token_ids, c.token_ids)
                for c in batch
            ]


def made(place: Path, generator: Generator | None = None, **options: Any) -> Ledger:
    sizes = {"prompts": 6, "heldout": 6, "cycles": 3, "samples_per_prompt": 6, **options}
    run, hooks = fake_run(place, generator=generator, lr_policy=FakePolicy(base_lr=0.15), **sizes)
    run_cycles(run, hooks)
    return run.ledger


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return made(tmp_path_factory.mktemp("report") / "run", Nasty())


@pytest.fixture(scope="module")
def page(ledger: Ledger) -> str:
    return write_report(ledger).read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Collects tags, ids and what is referred to; fails on tags that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attributes)
        self.ids += filter(None, [given.get("id")])
        self.references += [value or "" for name, value in attributes if name in ("href", "src")]
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in {"meta", "input"}:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_it_is_one_sound_file_that_asks_for_nothing_else(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids)), "ids are unique though there are many drawings"
    assert all(reference.startswith("#") for reference in outline.references)
    used = set(re.findall(r"url\(#([^)]*)\)", page)) | {r[1:] for r in outline.references}
    assert used <= set(outline.ids)
    assert not re.findall(r'(?:src|href)="(?!#)', page)
    assert set(re.findall(r"https?://[^\s\"<]*", page)) <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def test_what_a_model_wrote_is_text_and_never_the_page(page: str) -> None:
    assert Outline(page).tags.count("script") == 1
    assert "&lt;/pre&gt;&lt;script&gt;alert(1)&lt;/script&gt;?" in page


def test_colours_are_variables_in_light_and_dark(page: str) -> None:
    drawings = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    used = set(re.findall(r"var\(--([\w-]+)\)", drawings))
    assert {"ink", "line", "series-1"} <= used <= set(VARIABLES.values())
    assert set(re.findall(r"#[0-9a-f]{6}\b", drawings)) <= {"#000000", "#ffffff"}
    light, dark = page.split("@media (prefers-color-scheme: dark)")
    for name in VARIABLES.values():
        assert f"--{name}: #" in light
        assert f"--{name}: #" in dark.split("@media print")[0]
        assert f"--{name}: #" in dark.split("@media print")[1]


@pytest.mark.parametrize(
    "what",
    [
        *("Held-out rates", "What training samples reached", "Learning rate", "Diversity", "Training loss"),
        *("Gradient norm", "Seconds by stage", "Improved most", "Worst", "Best", "Configuration"),
        *("samples_per_prompt: 6", "finished, cycle 3 of 3", "Verdicts of fake depend on", "95% interval"),
    ],
)
def test_what_is_in_it(page: str, what: str) -> None:
    assert what in page


def test_its_figures_are_the_ledgers(ledger: Ledger, page: str) -> None:
    for report in ledger.reports():
        assert report.heldout is not None
        assert f"{100 * report.heldout.passed:.1f}%" in page
    assert len(re.findall(r'class="sample"', page)) == 3 * 2 * 3, (
        "three of each of two stages in three cycles"
    )


def test_the_same_run_gives_the_same_file(ledger: Ledger, page: str, tmp_path: Path) -> None:
    again = write_report(Ledger(ledger.directory), tmp_path / "again.html")
    assert again.read_text(encoding="utf-8") == page


def test_a_run_that_has_only_begun_has_a_report(tmp_path: Path) -> None:
    run, _ = fake_run(tmp_path / "run")
    assert "begun, cycle 0 of 2" in write_report(run.ledger).read_text()


def test_without_heldout_prompts(tmp_path: Path) -> None:
    page = write_report(made(tmp_path / "run", heldout=0)).read_text()
    assert "Held-out prompts" not in page
    assert "What training samples reached" in page


def test_a_chart_that_has_nothing_to_show_is_left_out() -> None:
    assert [title for title, _ in charts.charts([CycleReport(0)])] == []


def test_it_is_written_after_every_cycle_and_at_a_bad_end(tmp_path: Path) -> None:
    seen: list[int] = []

    class Looks:
        @hookimpl(trylast=True)
        def on_cycle_end(self, run: Any, report: CycleReport) -> None:
            seen.append(len(re.findall(r"<figure>", (run.directory / "report.html").read_text())))
            if report.cycle == 2:
                raise ZeroDivisionError("oops")

    run, hooks = fake_run(tmp_path / "run", cycles=3)
    hooks.register(ReportFile(), name="report")
    hooks.register(Looks(), name="looks")  # the last of the last
    with pytest.raises(ZeroDivisionError):
        run_cycles(run, hooks)
    assert len(seen) == 3
    assert "oops" in (tmp_path / "run" / "report.html").read_text()


def test_what_goes_wrong_with_it_is_said_and_does_not_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise RunError("report.html: No space left on device")

    monkeypatch.setattr("halo_core.report.write_report", full)
    run, hooks = fake_run(tmp_path / "run")
    said: list[str] = []
    monkeypatch.setattr(run.progress, "note", said.append, raising=False)
    hooks.register(ReportFile(), name="report")
    assert len(run_cycles(run, hooks)) == 3
    assert said == ["report   not written: RunError: report.html: No space left on device"] * 3


def test_what_the_plugins_said_is_in_it(tmp_path: Path) -> None:
    run, hooks = fake_run(tmp_path / "run")
    run_cycles(run, hooks)
    run.say("gate", "cycle 2 is worse than cycle 1")
    page = write_report(run.ledger).read_text()
    assert "What was noticed" in page
    assert "cycle 2 is worse than cycle 1" in page


def test_halo_run_and_halo_report_write_it(
    halo: Callable[..., Any], fakes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReportFile, "_write", WRITE)
    assert halo("run", *fakes, "-n", 1, "-o", "run").code == 0
    page = Path("run/report.html").read_text()
    assert "finished, cycle 1 of 1" in page
    assert halo("report", "run", "-o", "copy.html").out == "wrote copy.html\n"
    assert Path("copy.html").read_text() == page
    assert "holds no run" in halo("report", "nowhere").complaint()


# In a browser

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """
<script>
addEventListener("load", () => {
  const type = (id, value) => {
    const control = document.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event("input"));
  };
  const shown = () => [...document.querySelectorAll(".sample")].filter(each => !each.hidden).length;
  const found = {all: shown()};
  type("stage", "correct"); found.correct = shown();
  type("cycle", "2"); found.both = shown();
  type("text", "no such text"); found.none = shown();
  found.wide = document.documentElement.scrollWidth > innerWidth;
  const charts = [...document.querySelectorAll("figure svg")];
  found.charts = charts.filter(each => each.getBoundingClientRect().width > 200).length;
  found.ink = getComputedStyle(document.querySelector("figure text")).fill;
  const answer = document.createElement("div");
  answer.id = "answer";
  answer.textContent = JSON.stringify(found);
  document.body.append(answer);
});
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium to look at the page with")
@pytest.mark.parametrize("width", [1280, 500], ids=["desk", "phone"])
def test_in_a_browser(page: str, tmp_path: Path, width: int) -> None:
    file = tmp_path / "report.html"
    file.write_text(page.replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    flags += [f"--window-size={width},900", "--host-resolver-rules=MAP * ~NOTFOUND", "--dump-dom"]
    shown = subprocess.run([BROWSER, *flags, file.as_uri()], capture_output=True, text=True, timeout=120)
    answer = re.search(r'<div id="answer">(.*?)</div>', shown.stdout)
    assert answer, shown.stderr
    found = json.loads(answer[1])
    assert found["all"] == 18
    assert (found["correct"], found["both"], found["none"]) == (9, 3, 0)
    assert not found["wide"], "nothing has to be scrolled sideways but tables within themselves"
    assert found["charts"] == 7
    assert found["ink"] != "rgb(17, 17, 17)", "the page's colour, not matplotlib's"
