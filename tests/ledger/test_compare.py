"""Comparison of two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ledger_values import (
    PROMPTS,
    STATS,
    WRONG,
    sample,
    started,
    writing,
)

from halo_core.ledger.compare import _describe, compare
from halo_core.ledger.ledger import Ledger
from halo_core.types import Completion, CycleReport, Sample


def filled(ledger: Ledger, **change: Any) -> Ledger:
    started(ledger, gcc=change.get("fingerprint", "gcc 12"))
    ledger.append(
        1, "train", [sample(PROMPTS[0], 0, change.get("text", "x"), score=change.get("score", 0.5))]
    )
    rewarded = Sample(PROMPTS[0], Completion("a", 0, "x"), WRONG, change.get("reward", 0.7))
    ledger.write_rewards(1, [rewarded], [rewarded])
    ledger.write_trained(1, STATS, writing("w", change.get("weights", "w")))
    ledger.write_report(CycleReport(cycle=0, seconds={"heldout": change.get("seconds", 1.0)}))
    ledger.close()
    return ledger


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, set()),
        ({"seconds": 2.0}, set()),
        ({"text": "y"}, {"completions"}),
        ({"score": 0.25}, {"verdicts"}),
        ({"reward": 0.5}, {"selections"}),
        ({"weights": "v"}, {"adapters"}),
        ({"fingerprint": "gcc 13"}, {"plugins"}),
    ],
    ids=str,
)
def test_the_parts_in_which_two_runs_differ(tmp_path: Path, change: dict[str, Any], parts: set[str]) -> None:
    one, other = filled(Ledger(tmp_path / "a")), filled(Ledger(tmp_path / "b"), **change)
    found = compare(one, other)
    assert {part.name for part in found if not part.same} == parts
    assert all(part.first for part in found if not part.same)


def test_the_first_difference_shows_both_values(tmp_path: Path) -> None:
    one, other = filled(Ledger(tmp_path / "a")), filled(Ledger(tmp_path / "b"), text="y")
    other.append(1, "train", [sample(PROMPTS[0], 1)])
    (part,) = [part for part in compare(one, other) if part.name == "completions"]
    assert (part.rows, part.differing) == (2, 2)
    assert part.first == "cycle 1 train, prompt 'a', completion 0: A x, B y"


def test_a_text_that_continues_another_is_shown_from_where_it_does() -> None:
    long = "x" * 100
    text = _describe("row 1", [long], "row 1", [long + "and more"])
    one, other = text.split(", B ")
    assert "and more" in other
    assert "and more" not in one
