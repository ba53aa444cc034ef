"""The page in a browser, on screen and in print."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PROBE = """
<script>
addEventListener("load", () => {
  const type = (id, value) => {
    const control = document.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event("input"));
  };
  const seen = () => [...document.querySelectorAll(".sample")].filter(sample => !sample.hidden);
  const shown = () => seen().length;
  const found = {all: shown(), label: document.getElementById("shown").textContent};
  const open = document.getElementById("open");
  found.controls = open.getBoundingClientRect().height;
  open.click(); found.opened = seen().filter(sample => sample.open).length;
  found.wideOpen = document.documentElement.scrollWidth > innerWidth;
  open.click(); found.closed = seen().filter(sample => sample.open).length;
  dispatchEvent(new Event("beforeprint"));
  found.printed = seen().filter(sample => sample.open).map(sample => sample.dataset.kind);
  found.folded = document.querySelectorAll("details:not(.sample):not([open])").length;
  dispatchEvent(new Event("afterprint"));
  found.left = seen().filter(sample => sample.open).length;
  type("kind", "correct"); found.correct = shown();
  type("cycle", "2"); found.both = shown(); found.labelBoth = document.getElementById("shown").textContent;
  type("text", "no such text"); found.none = shown();
  found.wide = document.documentElement.scrollWidth > innerWidth;
  const charts = [...document.querySelectorAll("figure > svg")];
  found.charts = charts.filter(chart => chart.getBoundingClientRect().width > 200).length;
  const text = document.querySelector("figure text");
  found.ink = getComputedStyle(text).fill;
  found.size = Math.min(...charts.map(chart => 11 * chart.getBoundingClientRect().width / 331.2));
  const outside = svg => [...svg.querySelectorAll("text")].some(label => {
    const [a, b] = [label.getBoundingClientRect(), svg.getBoundingClientRect()];
    return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1;
  });
  found.outside = charts.filter(outside).length;
  const answer = document.createElement("div");
  answer.id = "answer";
  answer.textContent = JSON.stringify(found);
  document.body.append(answer);
});
</script>
"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="Chromium is not installed")


def browse(directory: Path, page: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open a page in a browser without network access."""
    file = directory / "report.html"
    file.write_text(page, encoding="utf-8")
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={directory / 'profile'}",
    ]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", *flags, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("width", [1280, 500], ids=["desk", "phone"])
def test_on_a_screen(page: str, read_page: Callable[[str], Any], tmp_path: Path, width: int) -> None:
    kinds = read_page(page).values("data-kind")
    shown = browse(
        tmp_path, page.replace("</body>", f"{PROBE}</body>"), f"--window-size={width},900", "--dump-dom"
    )
    answer = re.search(r'<div id="answer">(.*?)</div>', shown.stdout)
    assert answer, shown.stderr
    found = json.loads(answer[1])
    assert found["all"] == found["opened"] == len(kinds)
    assert found["controls"] > 30, "visible with scripts enabled, and large enough for a finger"
    assert found["label"] == f"{len(kinds)} samples"
    assert found["closed"] == found["left"] == found["folded"] == 0
    assert sorted(found["printed"]) == sorted(set(kinds)), "one of each kind"
    assert (found["correct"], found["both"], found["none"]) == (kinds.count("correct"), 3, 0)
    assert found["labelBoth"] == f"3 of {len(kinds)} samples"
    assert not found["wide"], "only tables scroll sideways"
    assert not found["wideOpen"]
    assert found["charts"] == 9
    assert found["outside"] == 0, "the text of a drawing is inside it"
    assert found["size"] >= 10, "pixels of the smallest text"
    assert found["ink"] == "rgb(29, 33, 38)", "the page's colour, not matplotlib's"


def test_on_paper(page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    browse(tmp_path, page, f"--print-to-pdf={file}", "--no-pdf-header-footer")
    assert file.read_bytes().startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", file.read_bytes())) <= 20
