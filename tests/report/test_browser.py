"""The page as a browser shows and prints it."""

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
  const seen = () => [...document.querySelectorAll(".sample")].filter(each => !each.hidden);
  const shown = () => seen().length;
  const found = {all: shown(), said: document.getElementById("shown").textContent};
  const open = document.getElementById("open");
  found.controls = open.getBoundingClientRect().height;
  open.click(); found.opened = seen().filter(each => each.open).length;
  found.wideOpen = document.documentElement.scrollWidth > innerWidth;
  open.click(); found.closed = seen().filter(each => each.open).length;
  dispatchEvent(new Event("beforeprint"));
  found.printed = seen().filter(each => each.open).map(each => each.dataset.kind);
  found.folded = document.querySelectorAll("details:not(.sample):not([open])").length;
  dispatchEvent(new Event("afterprint"));
  found.left = seen().filter(each => each.open).length;
  type("kind", "correct"); found.correct = shown();
  type("cycle", "2"); found.both = shown(); found.saidBoth = document.getElementById("shown").textContent;
  type("text", "no such text"); found.none = shown();
  found.wide = document.documentElement.scrollWidth > innerWidth;
  const charts = [...document.querySelectorAll("figure > svg")];
  found.charts = charts.filter(each => each.getBoundingClientRect().width > 200).length;
  const text = document.querySelector("figure text");
  found.ink = getComputedStyle(text).fill;
  found.size = Math.min(...charts.map(each => 11 * each.getBoundingClientRect().width / 331.2));
  const outside = svg => [...svg.querySelectorAll("text")].some(each => {
    const [a, b] = [each.getBoundingClientRect(), svg.getBoundingClientRect()];
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

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium to look at the page with")


def browse(place: Path, page: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Have a browser look at a page, with no network."""
    file = place / "report.html"
    file.write_text(page, encoding="utf-8")
    command = [
        str(BROWSER),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={place / 'profile'}",
    ]
    command += ["--host-resolver-rules=MAP * ~NOTFOUND", *flags, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("width", [1280, 500], ids=["desk", "phone"])
def test_on_a_screen(page: str, read_page: Callable[[str], Any], tmp_path: Path, width: int) -> None:
    kinds = read_page(page).of("data-kind")
    shown = browse(
        tmp_path, page.replace("</body>", f"{PROBE}</body>"), f"--window-size={width},900", "--dump-dom"
    )
    answer = re.search(r'<div id="answer">(.*?)</div>', shown.stdout)
    assert answer, shown.stderr
    found = json.loads(answer[1])
    assert found["all"] == found["opened"] == len(kinds)
    assert found["controls"] > 30, "they are there where scripts are, and large enough for a finger"
    assert found["said"] == f"{len(kinds)} samples"
    assert found["closed"] == found["left"] == found["folded"] == 0
    assert sorted(found["printed"]) == sorted(set(kinds)), "one of each kind"
    assert (found["correct"], found["both"], found["none"]) == (kinds.count("correct"), 3, 0)
    assert found["saidBoth"] == f"3 of {len(kinds)} samples"
    assert not found["wide"], "nothing has to be scrolled sideways but tables within themselves"
    assert not found["wideOpen"]
    assert found["charts"] == 9
    assert found["outside"] == 0, "what is written in a drawing is within it"
    assert found["size"] >= 10, "pixels of the smallest letters"
    assert found["ink"] == "rgb(29, 33, 38)", "the page's colour, not matplotlib's"


def test_on_paper(page: str, tmp_path: Path) -> None:
    file = tmp_path / "report.pdf"
    browse(tmp_path, page, f"--print-to-pdf={file}", "--no-pdf-header-footer")
    assert file.read_bytes().startswith(b"%PDF")
    assert 4 <= len(re.findall(rb"/Type\s*/Page\b", file.read_bytes())) <= 20
