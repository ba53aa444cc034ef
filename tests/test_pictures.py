"""The pictures of README and quickstart, and the script that makes them."""

from __future__ import annotations

import importlib.util
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import pytest

from halo_core.config.kinds import KINDS
from halo_core.loop import run_cycles
from halo_core.testing import fake_run

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def make_pictures() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run_cycles(*fake_run(tmp_path / "run"))
    return tmp_path / "run"


def test_pages_show_every_picture_and_pictures_are_small() -> None:
    pages = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
    shown = {
        Path(name).name for page in pages for name in re.findall(r"!\[[^]]+\]\((\S+)\)", page.read_text())
    }
    stored = {path.name for path in PICTURES.iterdir()}
    assert shown == stored == {"loop.svg", "curve.svg", "real.svg", "report.png"}
    for path in PICTURES.iterdir():
        assert path.stat().st_size < 250_000, path.name
        if path.suffix == ".svg":
            ElementTree.parse(path)


def test_loop_is_that_of_the_code(make_pictures: ModuleType) -> None:
    drawing = make_pictures.loop()
    assert (PICTURES / "loop.svg").read_text() == drawing, "run: python docs/make_pictures.py"
    texts = [element.text for element in ElementTree.fromstring(drawing).iter() if element.text]
    for kind in KINDS.values():
        if kind.hook:
            assert kind.hook in texts
            assert any(text.startswith(f"--{kind.name.replace('_', '-')}") for text in texts)


def test_curve_is_that_of_a_run(make_pictures: ModuleType, run: Path) -> None:
    curve = make_pictures.curves({"a run": run})
    assert b"a run" in curve
    assert b"held-out pass rate" in curve


@pytest.mark.skipif(
    not any(map(shutil.which, ("chromium", "google-chrome"))), reason="Chromium is not installed"
)
def test_report_is_photographed(make_pictures: ModuleType, run: Path, tmp_path: Path) -> None:
    from PIL import Image

    make_pictures.photograph(run, tmp_path / "report.png", width=600, height=400)
    image = Image.open(tmp_path / "report.png")
    assert image.size == (600, 400)
    assert len(image.convert("RGB").getcolors(1000) or []) > 8, "not an empty page"


def test_missing_browser_is_an_error_with_a_remedy(
    make_pictures: ModuleType, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["shutil"], "which", lambda name: None)
    with pytest.raises(SystemExit, match="make servers"):
        make_pictures.photograph(run, tmp_path / "report.png")
