"""The prospects of a run, from a measurement before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from halo_core.diagnosis.readiness import Selection, readiness
from halo_core.metrics import eval_metrics
from halo_core.types import EvalMetrics, Sample, Stage, Status

Make = Callable[..., Sample]


def measured(make_sample: Make, rows: list[tuple[int, Stage]], **settings: Any) -> EvalMetrics:
    """Return the metrics of a prompt for each row: its passes among four completions, and the stage of the others."""
    samples = [
        make_sample(
            f"p{number}",
            index,
            status=Status.PASS if index < hits else Status.FAIL,
            stage=Stage.CORRECT if index < hits else stage,
            **settings,
        )
        for number, (hits, stage) in enumerate(rows)
        for index in range(4)
    ]
    return eval_metrics(samples, seed=0)


def test_facts_are_counted(make_sample: Make) -> None:
    metrics = measured(make_sample, [(4, Stage.WRONG), (1, Stage.WRONG), (0, Stage.WRONG)])
    facts, conclusion = readiness(metrics, 4, Selection(5, 1))
    assert facts == (
        "2 of 3 prompts have a pass among 4 samples, 1 of them in every sample; "
        "the selector would choose 5 completions of 1 prompt"
    )
    assert conclusion == "RAFT can learn from this"


@pytest.mark.parametrize(
    ("passes", "words"),
    [
        ([0], "0 of 1 prompt has"),
        ([1], "1 of 1 prompt has"),
        ([1, 0], "1 of 2 prompts has"),
        ([0, 0], "0 of 2 prompts have"),
    ],
)
def test_numbers_agree_with_their_nouns_and_verbs(make_sample: Make, passes: list[int], words: str) -> None:
    metrics = measured(make_sample, [(hits, Stage.WRONG) for hits in passes])
    assert readiness(metrics, 1)[0] == f"{words} a pass among 1 sample"


def test_truncation_is_named_first(make_sample: Make) -> None:
    metrics = measured(make_sample, [(0, Stage.INVALID)] * 5, finish="length")
    lines = readiness(metrics, 4)
    assert lines[1] == "100% were cut short: raise max_new_tokens first"
    assert lines[2].startswith("RAFT cannot learn from this yet: 100% do not get past the first stage")


def test_cause_is_the_most_frequent_obstacle(make_sample: Make) -> None:
    metrics = measured(make_sample, [(0, Stage.CRASHED), (0, Stage.WRONG), (0, Stage.WRONG)])
    assert "67% end at stage 'wrong'" in readiness(metrics, 4)[-1]
    assert readiness(metrics, 4, Selection(8, 2))[-1].startswith(
        "RAFT would train on completions that do not pass"
    )


def test_ceiling_and_few_prompts(make_sample: Make) -> None:
    assert "little left" in readiness(measured(make_sample, [(4, Stage.WRONG)] * 10), 4)[-1]
    few = measured(make_sample, [(1, Stage.WRONG)] + [(0, Stage.WRONG)] * 29)
    assert readiness(few, 4)[-1].startswith("RAFT would learn from few prompts")


def test_verifier_without_a_verdict(make_sample: Make) -> None:
    metrics = eval_metrics([make_sample("p", status=Status.ERROR)], seed=0)
    assert "halo audit" in readiness(metrics, 1)[0]


def test_prompts_that_are_all_solved_need_harder_ones(make_sample: Make) -> None:
    """Also if the selector leaves out solved prompts, so that nothing would be selected."""
    metrics = measured(make_sample, [(4, Stage.WRONG)] * 3)
    assert readiness(metrics, 4, Selection(0, 0))[-1].endswith("use harder prompts")
