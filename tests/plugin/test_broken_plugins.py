from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from plugin_table import AUDITED, BLAMED, HEADER, REFUSED, Broken

Halo = Callable[..., Any]


def write(broken: Broken, folder: Path) -> str:
    """Write the plugin to a file; return the name that selects it."""
    path = folder / "broken.py"
    path.write_text(HEADER + broken.code)
    return str(path) if broken.whole else f"{path}:X"


def flags(broken: Broken, name: str, fakes: list[str]) -> list[str]:
    """Return flags of a run with the plugin, and with fakes in the place of all other drivers."""
    kind = broken.kind.replace("_", "-")
    if f"--{kind}" in fakes:
        place = fakes.index(f"--{kind}")
        fakes = [*fakes[:place], *fakes[place + 2 :]]
    return [*fakes, f"--{kind}", name]


def test_the_table_has_forty_plugins_of_different_kinds() -> None:
    names = [broken.name for broken in (*REFUSED, *BLAMED, *AUDITED)]
    assert len(set(names)) == len(names) >= 40


@pytest.mark.parametrize("broken", REFUSED, ids=lambda broken: broken.name)
def test_refused_when_it_is_loaded_and_by_the_check(
    broken: Broken, halo: Halo, fakes: list[str], tmp_path: Path
) -> None:
    name = write(broken, tmp_path)
    answer = halo("run", *flags(broken, name, fakes), "-d", prompts(tmp_path), "-m", "m", "-o", "run")
    assert broken.message in answer.complaint()
    assert broken.remedy in answer.err
    assert "broken.py" in answer.err
    assert not Path("run").exists(), "the run was created"
    checked = halo("plugins", "check", name, "--kind", broken.kind)
    assert checked.code == 1
    assert broken.message in checked.out + checked.err
    assert broken.remedy in checked.out + checked.err


@pytest.mark.parametrize("broken", BLAMED, ids=lambda broken: broken.name)
def test_blamed_while_it_runs(broken: Broken, halo: Halo, fakes: list[str], tmp_path: Path) -> None:
    name = write(broken, tmp_path)
    data = ["-d", prompts(tmp_path)] if "demo" not in broken.name else []
    answer = halo("run", *flags(broken, name, fakes), *data, "-m", "m", "-o", "run", "-n", 2, "--samples", 4)
    assert broken.message in answer.complaint()
    assert broken.remedy in answer.err
    assert "'X'" in answer.err, "the plugin is not named"


@pytest.mark.parametrize("broken", AUDITED, ids=lambda broken: broken.name)
def test_blamed_by_the_audit(broken: Broken, halo: Halo, tmp_path: Path) -> None:
    answer = halo("audit", "--verifier", write(broken, tmp_path), "--data", prompts(tmp_path))
    assert broken.message in answer.complaint()
    assert broken.remedy in answer.err
    assert "'X'" in answer.err, "the plugin is not named"


@pytest.mark.parametrize(
    "name", ["attacks raise", "attacks that are texts", "preflight raises", "a demo of another type"]
)
def test_the_check_calls_what_needs_no_completion(name: str, halo: Halo, tmp_path: Path) -> None:
    (broken,) = (broken for broken in (*BLAMED, *AUDITED) if broken.name == name)
    answer = halo("plugins", "check", write(broken, tmp_path), "--kind", "verifier")
    assert answer.code == 1
    assert broken.message in answer.out


def prompts(folder: Path) -> Path:
    path = folder / "prompts.jsonl"
    path.write_text("".join(f'{{"id": "p{n}", "prompt": "task {n}"}}\n' for n in range(20)))
    return path
