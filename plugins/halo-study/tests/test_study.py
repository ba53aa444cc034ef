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
from halo_study.results import COLUMNS, RunResult, read_results, write_results
from halo_study.study import Study, config_hash, merged, parse_study, read_study

MakeStudy = Callable[..., Study]
TUNE = {"values": [1e-3, 1e-2], "seeds": [7, 8], "outcome": "final"}


def result(study: Study, arm: str, seed: int, value: float | None, rate: float = 0.5) -> RunResult:
    passes = np.full((3, 4), 10 * rate)
    columns = {name: np.array([np.nan, 1.0, 1.0]) for name in COLUMNS}
    return RunResult(
        arm,
        seed,
        value,
        config_hash({**study.settings(arm, value), "seed": seed}),
        passes,
        np.full_like(passes, 10.0),
        columns,
    )


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


def test_a_grid_reaches_into_the_lists_of_the_base(make_study: MakeStudy, base: dict[str, Any]) -> None:
    two = base | {"verifier": [{"name": "gcc", "standard": "c99"}, "sql"]}
    study = make_study(
        base=two, arms={"a": {"grid": {"verifier.gcc.standard": ["c11", "c17"]}}}, comparisons=[]
    )
    for arm, standard in zip(study.arms, ("c11", "c17"), strict=True):
        assert study.settings(arm)["verifier"] == [{"name": "gcc", "standard": standard}, {"name": "sql"}]


def test_close_values_are_different_arms(make_study: MakeStudy) -> None:
    grid = {"lr_policy.base_lr": [0.00012345678, 0.00012345679]}
    assert len(make_study(arms={"a": {"grid": grid}}, comparisons=[]).arms) == 2


def test_a_tuned_value_is_the_one_that_results_and_directories_have(make_study: MakeStudy) -> None:
    study = make_study(tune=TUNE | {"values": [1 / 3000, 1 / 300]}, arms={"a": {}}, comparisons=[])
    assert study.tune
    assert study.tune.values == [0.0003333333333, 0.003333333333]


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"qestion": "x"}, "unknown key 'qestion'", "did you mean 'question'?"),
        ({"arms": {"a": {"sett": {}}}}, "unknown key 'sett'", "did you mean 'set'?"),
        ({"arms": {"a": {"sett": {}}}}, "arms.a: unknown key", ""),
        ({"arms": {"a": 3}}, "arms.a: ", ""),
        ({"arms": {}}, "arms", ""),
        ({"arms": ["a", "b"]}, "arms: expected arms by name (got ['a', 'b'])", ""),
        ({"arms": "abc"}, "arms: expected arms by name (got 'abc')", ""),
        ({"seeds": []}, "seeds", ""),
        ({"seeds": 0}, "seeds: 0 seeds are none", "a number from 1, or a list"),
        ({"seeds": [1, 2, 1]}, "seeds: 1 is there twice", ""),
        ({"tune": TUNE | {"values": [1e-3, 1e-3]}}, "tune.values: 0.001 is there twice", ""),
        ({"tune": TUNE | {"outcome": "peak_cycle"}}, "tune.outcome: peak_cycle is neither better", ""),
        ({"smallest_effect": 5}, "smallest_effect", ""),
        (
            {"comparisons": [{"arm": "falling", "against": "constant", "smallest_effect": 5}]},
            "not below 1; 5 points are 0.05",
            "",
        ),
        ({"comparisons": [{"arm": "falling", "against": "falling"}]}, "compares an arm with itself", ""),
        ({"arms": {"lr 0.1": {}, "lr-0.1": {}}, "comparisons": []}, "would share a directory", ""),
        ({"arms": {"a" * 101: {}}, "comparisons": []}, "its name needs 1 to 100 characters", ""),
        (
            {"arms": {"a": {"grid": {"x.lr": [1.0, "1"]}}}, "comparisons": []},
            "two arms are called 'a lr=1'",
            "a value of a grid",
        ),
        (
            {"arms": {"a": {}, "b": {"equal_sum_of": "a", "same_setting_as": "a"}}, "comparisons": []},
            "arm 'b' has both equal_sum_of and same_setting_as",
            "",
        ),
        (
            {"arms": {"a": {}, "b": {"same_setting_as": "a"}}, "comparisons": []},
            "arm 'b' takes the setting of 'a', which has no tuned one",
            "",
        ),
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


def test_the_best_value_may_be_the_lowest(make_study: MakeStudy) -> None:
    for outcome, expected in (("final", 1e-2), ("drop", 1e-3)):
        study = make_study(tune=TUNE | {"outcome": outcome}, arms={"a": {}}, comparisons=[])
        runs = [result(study, "a", seed, value) for seed in (7, 8) for value in (1e-3, 1e-2)]
        for run in runs:
            if run.value == 1e-2:
                run.passes[:] = [[0], [9], [6]]
        assert chosen(study, runs) == {"a": expected}


def test_a_sum_to_spend_is_the_same_when_the_result_is_read_again(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    """Otherwise a study that was stopped would take its own run for one of other settings."""
    study = make_study()
    model = result(study, "falling", 1, None)
    model.columns["lr"][:] = [np.nan, 1 / 3000, 1 / 7000]
    model.columns["lr_sum"][:] = [np.nan, 7 / 3000, 5 / 7000]
    write_results(tmp_path / "results.csv", [model])
    (stored,) = read_results(tmp_path / "results.csv")
    assert equal_sum(stored) == equal_sum(model)


def test_an_arm_that_trained_nothing_has_no_sum_to_spend(make_study: MakeStudy) -> None:
    """Its equal sum trains nothing either: the same run."""
    study = make_study()
    model = result(study, "falling", 1, None)
    model.columns["lr_sum"][:] = np.nan
    (job,) = (job for job in jobs(study, [model]) if job.arm == "equal sum")
    assert job.raw == {**study.settings("falling"), "seed": 1}


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


def test_the_hash_follows_the_whole_configuration(make_study: MakeStudy, base: dict[str, Any]) -> None:
    def hashes(**changes: Any) -> list[str]:
        study = make_study(arms={"a": {}, "b": {"set": {"samples_per_prompt": 2}}}, comparisons=[], **changes)
        return [job.settings for job in jobs(study, [])]

    first = hashes()
    assert len(set(first)) == 4, "arms and seeds differ"
    assert hashes(smallest_effect=0.1, question="?") == first
    assert not set(first) & set(hashes(base=base | {"cycles": 3}))
    text = base | {"lr_policy": {"name": "constant", "base_lr": "1e-2"}}
    assert hashes(base=text) == first, "YAML reads 1e-2 as text, halo as a number"
