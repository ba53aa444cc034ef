from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, is_dataclass

import pytest

from halo_core import types
from halo_core.testing import make_stats
from halo_core.types import (
    Completion,
    CycleReport,
    Prompt,
    Sample,
    SamplingRequest,
    Stage,
    Status,
    Verdict,
)


def test_stages_are_ordered_from_invalid_to_correct() -> None:
    assert [stage.value for stage in Stage] == [
        "invalid",
        "flawed",
        "untested",
        "crashed",
        "wrong",
        "correct",
    ]
    assert [stage.rank for stage in Stage] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("stage", Stage)
def test_only_the_first_stage_is_not_valid(stage: Stage) -> None:
    assert Verdict(Status.FAIL, stage).valid is (stage is not Stage.INVALID)


def test_defaults_of_a_verdict_claim_nothing() -> None:
    verdict = Verdict(Status.FAIL, Stage.WRONG)
    assert verdict.score == 0.0
    assert verdict.sandbox == "none"


def test_a_new_sample_has_no_reward() -> None:
    sample = Sample(Prompt("p"), Completion("p", 0, "x"), Verdict(Status.PASS, Stage.CORRECT))
    assert sample.reward is None
    assert sample.weight == 1.0


@pytest.mark.parametrize(
    "value",
    [
        Prompt("p"),
        Completion("p", 0, "x"),
        Verdict(Status.PASS, Stage.CORRECT),
        Sample(Prompt("p"), Completion("p", 0, "x"), Verdict(Status.PASS, Stage.CORRECT)),
        SamplingRequest(cycle=1, split="train", prompts=(), samples_per_prompt=1, seed=0),
        CycleReport(cycle=0),
        make_stats(),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_frozen_and_slotted(value: object) -> None:
    assert is_dataclass(value)
    name = fields(value)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, 0)
    assert not hasattr(value, "__dict__"), "a run holds hundreds of thousands of them"


def test_every_public_type_has_a_docstring() -> None:
    public = [
        value
        for value in vars(types).values()
        if isinstance(value, type) and value.__module__ == types.__name__
    ]
    assert len(public) >= 10
    for value in public:
        assert (value.__doc__ or "").strip(), value
        assert not (value.__doc__ or "").startswith(f"{value.__name__}("), f"{value}: the generated docstring"
