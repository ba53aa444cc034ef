"""The file of results, and the outcomes that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from halo_core import RunError
from halo_study.outcomes import OUTCOMES, value_of
from halo_study.results import COLUMNS, RunResult, comparable, read_results, write_results


def run(arm: str = "a", seed: int = 0, **changes: object) -> RunResult:
    passes = np.array([[0, 1, 2], [2, 2, 2], [1, 0, 2], [1, 1, 1]], dtype=float)
    verdicts = np.array([[2, 2, 2], [2, 2, 2], [2, 1, 2], [2, 2, 2]], dtype=float)
    columns = {name: np.array([np.nan, 0.5, 0.25, 0.125]) for name in COLUMNS}
    made = RunResult(arm, seed, 1e-3, "0123", passes, verdicts, columns, "it diverged, at 3")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_round_trip(tmp_path: Path) -> None:
    runs = [run(), run(seed=1, value=None, error=""), run("b, with a comma")]
    write_results(tmp_path / "results.csv", runs)
    found = read_results(tmp_path / "results.csv")
    assert comparable(found) == comparable(runs)
    assert [each.key for each in found] == [("a", 0, 1e-3), ("a", 1, 0.0), ("b, with a comma", 0, 1e-3)]
    assert (found[0].verdicts == runs[0].verdicts).all()
    assert found[0].error == "it diverged, at 3"


def test_the_order_of_finishing_does_not_matter(tmp_path: Path) -> None:
    runs = [run(seed=seed) for seed in range(12)]
    write_results(tmp_path / "one.csv", runs)
    write_results(tmp_path / "other.csv", reversed(runs))
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "other.csv").read_bytes()


def test_only_seconds_may_differ() -> None:
    other = run()
    slower = replace(other, columns={**other.columns, "seconds": np.full(4, 9.0)})
    assert comparable([slower]) == comparable([other])
    worse = replace(other, columns={**other.columns, "kl": np.full(4, 9.0)})
    assert comparable([worse]) != comparable([other])


def test_no_file_is_no_result(tmp_path: Path) -> None:
    assert read_results(tmp_path / "results.csv") == []


def cut(lines: list[str]) -> list[str]:
    return [*lines[:-1], lines[-1][:40]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda lines: [lines[0], *lines[2:]], "the cycles of arm 'a', seed 0, are not complete"),
        (lambda lines: lines[:-1], "the cycles of arm 'a', seed 1, are not complete"),
        (cut, "the cycles of arm 'a', seed 1, have different numbers of prompts"),
        (lambda lines: [], "it has no column 'arm'"),
        (lambda lines: ["a,b,c\n"], "it has no column 'arm'"),
        (lambda lines: [line.replace("2 2 2", "2 2") for line in lines], "have different numbers of prompts"),
        (lambda lines: [*lines[:-1], lines[-1].replace("1 1 1", "\0" * 999)], "could not convert"),
    ],
    ids=["a row", "the last row", "half a row", "all", "another table", "a prompt", "zeros"],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, damage: Callable[[list[str]], list[str]], message: str
) -> None:
    path = tmp_path / "results.csv"
    write_results(path, [run(), run(seed=1)])
    path.write_text("".join(damage(path.read_text().splitlines(keepends=True))))
    with pytest.raises(RunError) as caught:
        read_results(path)
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 350


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("final", 3 / 6),
        ("peak", 1.0),
        ("peak_cycle", 1.0),
        ("drop", 0.5),
        ("area", (1.0 + 3 / 5 + 3 / 6) / 3),
        ("gain", 0.0),
        ("late", 3 / 6),
        ("late_change", 3 / 6 - 3 / 5),
        ("pass_at_k", 1.0),
        ("diversity", 0.125),
        ("lr_sum", 0.875),
        ("trained_cycles", 3.0),
    ],
)
def test_outcomes(outcome: str, expected: float) -> None:
    assert value_of(run(), outcome) == pytest.approx(expected)


def test_pass_at_k_has_the_same_k_in_every_run() -> None:
    """An inconclusive completion leaves its prompt out; it does not lower k."""
    passes, verdicts = np.array([[0.0, 1, 2, 1]]), np.full((1, 4), 2.0)
    whole = run(passes=passes, verdicts=verdicts)
    assert value_of(whole, "pass_at_k") == 3 / 4
    fewer = run(passes=passes, verdicts=np.array([[2.0, 2, 2, 1]]))
    assert value_of(fewer, "pass_at_k") == 2 / 3
    nothing = run(passes=np.zeros((1, 4)), verdicts=np.zeros((1, 4)))
    assert value_of(nothing, "pass_at_k") == 0


def test_every_outcome_is_computed_for_each_row_of_weights() -> None:
    weights = np.array([[1.0, 1, 1], [3, 0, 0], [0, 0, 3]])
    for name, outcome in OUTCOMES.items():
        values = outcome.of(run(), weights)
        assert values.shape == (3,), name
        if not outcome.by_prompt:
            assert len(set(values)) == 1, name
    assert OUTCOMES["final"].of(run(), weights)[1] == 0.5
    assert OUTCOMES["peak"].of(run(), weights).tolist() == [1.0, 1.0, 1.0]
    assert OUTCOMES["drop"].of(run(), weights)[2] == 0.5
