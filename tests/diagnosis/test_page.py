"""docs/doctor.md lists every cause, every signal and every threshold."""

from __future__ import annotations

import re
from pathlib import Path

import halo_core.diagnosis
from halo_core.config.options import options_of
from halo_core.diagnosis import Cause, Thresholds

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
CODE = "".join(path.read_text() for path in Path(halo_core.diagnosis.__file__).parent.rglob("*.py"))
SIGNALS = set(re.findall(r'(?:Evidence|\.change)\(\s*"([a-z@-]+)"', CODE)) - {"gain"}


def first_cells(heading: str) -> list[str]:
    section = PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE)


def test_every_cause_is_listed() -> None:
    assert sorted(first_cells("## Causes")) == sorted(cause.value for cause in Cause)


def test_exactly_the_signals_are_listed() -> None:
    assert len(SIGNALS) > 30
    assert sorted(first_cells("## Signals")) == sorted(SIGNALS)


def test_every_threshold_is_listed_with_a_signal() -> None:
    section = PAGE.split("\n## Signals\n", 1)[1].split("\n## plugin", 1)[0]
    listed = set(re.findall(r"`([a-z_]+)`", section))
    shared = {"confidence", "patience", "narrowing_signs"}
    assert {option.name for option in options_of(Thresholds)} - shared <= listed
