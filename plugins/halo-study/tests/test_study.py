"""The study file: what it accepts, what it rejects, and the runs that follow from it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from halo_core import ConfigError
from halo_study.jobs import chosen, count, equal_sum, jobs
from halo_study.results import COLUMNS, RunResult
from halo_study.study import Study, merged, parse_study, read_study

MakeStudy = Callable[..., Study]
TUNE = {"values": [1e-3, 1e-2], "seeds": [7, 8], "outcome": "final"}


def result(study: Study, arm: str, seed: int, value: float | None, rate: float = 0.5) -> RunResult:
    passes = np.full((3, 4), 10 * rate)
    columns = {name: np.array([np.nan, 1.0, 1.0]) for name in COLUMNS}
    return RunResult(arm, seed, value, study.settings_hash(arm), passes, np.full_like(passes, 10.0), columns)


def test_the_base_is_a_file_beside_the_study(content: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(content["base"]))
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content | {"base": "base.yaml"}))
    assert read_study(tmp_path / "study.yaml").base["cycles"] == 2


@pytest.mark.parametrize("base", ["base.yaml", "configs/base.yaml", "../base.yaml"])
def test_a_base_that_is_missing_is_named_with_the_place_where_its_path_starts(
    base: str, content: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = tmp_path / "studies"
    studies.mkdir()
    (studies / "study.yaml").write_text(yaml.safe_dump(content | {"base": base}))
    monkeypatch.chdir(tmp_path)
    Path(
        "base.yaml" if base != "../base.yaml" else "other.yaml"
    ).touch()  # beside, but not where the path leads
    with pytest.raises(ConfigError) as caught:
        read_study(Path("studies/study.yaml"))
    assert str(caught.value) == f"studies/study.yaml: base: studies/{base}: No such file or directory"
    assert caught.value.hint == f"a relative path of a base starts at the directory of the study, {studies}"


def test_a_number_of_seeds_starts_at_0(make_study: MakeStudy) -> None:
    assert make_study(seeds=3).seeds == [0, 1, 2]
    assert make_study(seeds=[5, 9]).seeds == [5, 9]


def test_another_driver_drops_the_options_of_the_base() -> None:
    base = {"lr_policy": {"name": "constant", "base_lr": 0.1}, "heldout": {"limit": 3}}
    assert merged(base, {"lr_policy": {"name": "plateau"}})["lr_policy"] == {"name": "plateau"}
    assert merged(base, {"lr_policy": {"base_lr": 0.2}})["lr_policy"] == {"name": "constant", "base_lr": 0.2}
    assert merged(base, {"heldout": {"samples_per_prompt": 2}})["heldout"] == {
        "limit": 3,
        "samples_per_prompt": 2,
    }
    assert base["lr_policy"] == {"name": "constant", "base_lr": 0.1}, "the base is unchanged"


def test_a_grid_is_an_arm_for_each_combination(make_study: MakeStudy) -> None:
    grid = {"lr_policy.base_lr": [0.1, 0.2], "per_cycle.generator.temperature": [[0.5], [1.0]]}
    study = make_study(arms={"a": {"grid": grid}}, comparisons=[])
    assert list(study.arms) == [
        "a base_lr=0.1 temperature=0.5",
        "a base_lr=0.1 temperature=1",
        "a base_lr=0.2 temperature=0.5",
        "a base_lr=0.2 temperature=1",
    ]
    settings = study.settings("a base_lr=0.2 temperature=0.5")
    assert settings["lr_policy"] == {"name": "constant", "base_lr": 0.2}
    assert settings["per_cycle"] == {"generator": {"temperature": [0.5]}}


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"qestion": "x"}, "unknown key 'qestion'", "did you mean 'question'?"),
        ({"arms": {"a": {"sett": {}}}}, "unknown key 'sett'", "did you mean 'set'?"),
        ({"arms": {}}, "arms", ""),
        ({"seeds": []}, "seeds", ""),
        ({"comparisons": [{"arm": "fallin", "against": "constant"}]}, "no arm is called 'fallin'", ""),
        ({"comparisons": [{"arm": "falling", "against": "const"}]}, "no arm is called 'const'", ""),
        ({"comparisons": [{"arm": "falling"}]}, "needs against: ARM; final is not a change", ""),
        (
            {"comparisons": [{"arm": "falling", "against": "constant", "outcome": "tokens"}]},
            "needs a smallest_effect",
            "",
        ),
        ({"outcomes": ["pass"]}, "no outcome is called 'pass'", ""),
        ({"tune": TUNE | {"seeds": [1]}}, "seed 1 both chooses settings and is reported", ""),
        ({"arms": {"a": {"equal_sum_of": "b"}}, "comparisons": []}, "no arm is called 'b'", ""),
        (
            {
                "arms": {"a": {}, "b": {"equal_sum_of": "a"}, "c": {"equal_sum_of": "b"}},
                "comparisons": [],
            },
            "arm 'b' depends on another arm itself",
            "",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(
    content: dict[str, Any], tmp_path: Path, changes: dict[str, Any], message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_study(content | changes, tmp_path / "study.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert hint in caught.value.hint
    assert caught.value.hint


def test_an_empty_file_is_told_what_a_study_needs(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text("")
    with pytest.raises(ConfigError, match="is empty") as caught:
        read_study(tmp_path / "study.yaml")
    assert caught.value.hint == "it needs at least: question, base, seeds and arms"


def test_reported_runs_are_started_seed_by_seed(make_study: MakeStudy) -> None:
    study = make_study(arms={"a": {}, "b": {}}, comparisons=[])
    assert [(job.arm, job.seed) for job in jobs(study, [])] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    assert [job.raw["seed"] for job in jobs(study, [])] == [0, 0, 1, 1]
    left = jobs(study, [result(study, "a", 0, None)])
    assert [(job.arm, job.seed) for job in left] == [("b", 0), ("a", 1), ("b", 1)]


def test_each_arm_gets_its_own_best_setting_from_other_seeds(make_study: MakeStudy) -> None:
    study = make_study(
        tune=TUNE,
        arms={"a": {}, "b": {}, "fixed": {"tune": False}, "as a": {"same_setting_as": "a"}},
        comparisons=[],
    )
    choosing = [job for job in jobs(study, []) if job.seed in (7, 8)]
    assert {(job.arm, job.value) for job in choosing} == {("a", 1e-3), ("a", 1e-2), ("b", 1e-3), ("b", 1e-2)}
    assert all(job.raw["lr_policy"]["base_lr"] == job.value for job in choosing)
    results = [
        result(study, arm, seed, value, rate)
        for arm, rates in (("a", (0.3, 0.6)), ("b", (0.6, 0.3)))
        for value, rate in zip((1e-3, 1e-2), rates, strict=True)
        for seed in (7, 8)
    ]
    assert chosen(study, results[:-1]) == {"a": 1e-2, "as a": 1e-2, "fixed": None}, "b is not finished"
    assert chosen(study, results) == {"a": 1e-2, "b": 1e-3, "as a": 1e-2, "fixed": None}
    assert [(job.arm, job.value) for job in jobs(study, results)][:4] == [
        ("a", 1e-2),
        ("b", 1e-3),
        ("fixed", None),
        ("as a", 1e-2),
    ]
    assert count(study) == 2 * 2 * 2 + 4 * 2


def test_a_reported_run_does_not_choose(make_study: MakeStudy) -> None:
    study = make_study(tune=TUNE, arms={"a": {}}, comparisons=[])
    runs = [result(study, "a", seed, value) for seed in (7, 8) for value in (1e-3, 1e-2)]
    better = result(study, "a", 0, 1e-2, 1.0)
    assert chosen(study, [*runs, better]) == chosen(study, runs) == {"a": 1e-3}, (
        "the lower of two equal values"
    )


def test_equal_sum_waits_for_its_model_and_spends_the_same(make_study: MakeStudy) -> None:
    study = make_study()
    assert {job.arm for job in jobs(study, [])} == {"constant", "falling"}
    model = result(study, "falling", 1, None)
    columns = {**model.columns, "lr": np.array([np.nan, 0.2, 0.1]), "lr_sum": np.array([np.nan, 1.0, 0.25])}
    model = RunResult(model.arm, 1, None, model.settings, model.passes, model.verdicts, columns)
    (job,) = (job for job in jobs(study, [model]) if job.arm == "equal sum")
    assert job.seed == 1
    policy = {"name": "budget", "base_lr": pytest.approx(1.25 / 7.5), "total": 1.25, "decay": 1.0}
    assert job.raw["lr_policy"] == policy == equal_sum(model)["lr_policy"]


def test_the_hash_follows_everything_that_an_arm_depends_on(
    make_study: MakeStudy, base: dict[str, Any]
) -> None:
    def hashes(**changes: Any) -> list[str]:
        study = make_study(**changes)
        return [study.settings_hash(arm) for arm in study.arms]

    first = hashes()
    assert hashes(seeds=9, smallest_effect=0.1, question="?") == first
    assert all(a != b for a, b in zip(first, hashes(base=base | {"cycles": 3}), strict=True))
    arms = {
        "constant": {},
        "falling": {"set": {"lr_policy": {"name": "exponential", "decay": 0.6}}},
        "equal sum": {"equal_sum_of": "falling"},
    }
    assert [a == b for a, b in zip(first, hashes(arms=arms), strict=True)] == [True, False, False]
