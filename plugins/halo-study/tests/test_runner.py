"""Running a study: shared cycles, kills, failures. The model has 6,000 parameters."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from halo_core import ConfigError, OutOfMemoryError, RunError
from halo_core.ledger.compare import compare
from halo_core.ledger.ledger import Ledger
from halo_study import worker
from halo_study.analysis import analyse
from halo_study.fixed import read_fixed
from halo_study.jobs import jobs
from halo_study.outcomes import value_of
from halo_study.page import render
from halo_study.results import RunResult, comparable, read_results, write_results
from halo_study.reuse import add_reused
from halo_study.runner import Runner
from halo_study.study import Study, parse_study

MakeStudy = Callable[..., Study]
TUNE = {"values": [5e-3, 1e-2], "seeds": [7], "outcome": "area"}


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def whole(base: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    """A finished study, with every kind of arm."""
    content = {
        "question": "?",
        "base": base,
        "seeds": 1,
        "tune": TUNE,
        "arms": {
            "constant": {},
            "falling": {
                "tune": False,
                "set": {"lr_policy": {"name": "exponential", "base_lr": 1e-2, "decay": 0.5}},
            },
            "equal sum": {"equal_sum_of": "falling"},
            "high threshold": {"same_setting_as": "constant", "set": {"selector": {"threshold": 1.0}}},
        },
    }
    directory = tmp_path_factory.mktemp("whole")
    study = parse_study(content, directory / "study.yaml")
    Runner(study, directory, workers=2, say=quiet).run()
    return study, directory


def test_every_run_has_a_result(whole: tuple[Study, Path]) -> None:
    study, directory = whole
    results = read_results(directory / "results.csv")
    assert sorted((run.arm, run.seed) for run in results) == [
        ("constant", 0),
        ("constant", 7),
        ("constant", 7),
        ("equal sum", 0),
        ("falling", 0),
        ("high threshold", 0),
    ]
    assert list(jobs(study, results)) == []
    by_arm = {run.arm: run for run in results if run.seed == 0}
    assert value_of(by_arm["equal sum"], "lr_sum") == pytest.approx(
        value_of(by_arm["falling"], "lr_sum"), rel=0.01
    )
    assert all(value_of(run, "tokens") > 0 for run in results)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Compute on one thread, as workers do: the last digits of a sum depend on how it is split."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_shared_cycles_do_not_change_a_run(whole: tuple[Study, Path], tmp_path: Path) -> None:
    study, directory = whole
    results = [run for run in read_results(directory / "results.csv") if run.seed == 7]
    by_arm = {job.arm: job for job in jobs(study, results)}
    for arm in ("constant", "high threshold"):
        job = by_arm[arm]
        alone = tmp_path / job.name
        assert worker.work(dict(job.raw), alone) == {"status": "finished", "message": ""}
        with closing(Ledger(directory / "runs" / job.name)) as one, closing(Ledger(alone)) as other:
            assert any(kind == "shared" for _, kind, _ in one.events()), "nothing was shared"
            assert [part.name for part in compare(one, other) if not part.same] == []


def test_a_finished_study_runs_nothing(whole: tuple[Study, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    study, directory = whole
    monkeypatch.setattr(subprocess, "Popen", None)
    before = (directory / "results.csv").read_bytes()
    Runner(study, directory, say=quiet).run()
    assert (directory / "results.csv").read_bytes() == before


def test_results_of_other_settings_are_not_used(whole: tuple[Study, Path]) -> None:
    study, directory = whole
    other = study.model_copy(update={"base": study.base | {"cycles": 3}})
    with pytest.raises(RunError, match="arm 'constant' had other settings when seed") as caught:
        Runner(other, directory, say=quiet).run()
    assert "another name" in caught.value.hint


def test_another_study_does_not_touch_the_results(whole: tuple[Study, Path], make_study: MakeStudy) -> None:
    _, directory = whole
    before = (directory / "results.csv").read_bytes()
    other = make_study(arms={"other": {}}, comparisons=[])
    with pytest.raises(RunError, match="has the results of another study") as caught:
        Runner(other, directory, say=quiet).run()
    assert "--output" in caught.value.hint
    assert (directory / "results.csv").read_bytes() == before


def test_a_new_value_to_tune_leaves_finished_runs_alone(whole: tuple[Study, Path], tmp_path: Path) -> None:
    study, directory = whole
    write_results(tmp_path / "results.csv", read_results(directory / "results.csv"))
    assert study.tune
    more = study.model_copy(update={"tune": study.tune.model_copy(update={"values": [5e-3, 1e-2, 2e-2]})})
    results = Runner(more, tmp_path, say=quiet).results()
    assert [(job.arm, job.seed, job.value) for job in jobs(more, results)] == [("constant", 7, 2e-2)]


def test_two_runners_do_not_share_a_directory(whole: tuple[Study, Path]) -> None:
    study, directory = whole
    with Runner(study, directory)._locked(), pytest.raises(RunError, match="in use by another study runner"):
        Runner(study, directory).run()


def test_an_invalid_arm_is_found_before_the_first_run(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(arms={"good": {}, "bad": {"set": {"selector": {"treshold": 1}}}}, comparisons=[])
    with pytest.raises(ConfigError, match="arm 'bad': selector 'raft' has no option 'treshold'"):
        Runner(study, tmp_path / "out", say=quiet).run()
    assert not (tmp_path / "out/runs").exists()


def test_limit_and_keep(make_study: MakeStudy, tmp_path: Path) -> None:
    study = make_study(arms={"a": {}, "b": {"set": {"selector": {"threshold": 1.0}}}}, comparisons=[])
    lines: list[str] = []
    runner = Runner(study, tmp_path / "out", keep="none", limit=3, say=lines.append)
    assert len(runner.run()) == 3
    assert [line.split("  ")[0] for line in lines] == ["1 of 4", "2 of 4", "3 of 4"]
    assert sorted(path.name for path in (tmp_path / "out/runs").glob("*--seed-*")) == ["a--seed-1"]


def test_ledgers_are_kept_without_weights_and_new_arms_still_start(
    make_study: MakeStudy, tmp_path: Path
) -> None:
    """A new arm takes from a run without weights only what needs none; other studies' directories stay."""
    runs = tmp_path / "runs"
    (runs / "another-study--seed-0").mkdir(parents=True)
    study = make_study(arms={"a": {}}, comparisons=[], seeds=1)
    Runner(study, tmp_path / "out", runs=runs, keep="ledgers", say=quiet).run()
    assert sorted(path.name for path in runs.glob("*--seed-0")) == ["a--seed-0", "another-study--seed-0"]
    assert not list(runs.glob("a--seed-0/cycles/*/adapter"))
    with closing(Ledger(runs / "a--seed-0")) as ledger:
        assert len(ledger.reports()) == 3
    more = make_study(arms={"a": {}, "b": {"set": {"cycles": 3}}}, comparisons=[], seeds=1)
    results = Runner(more, tmp_path / "out", runs=runs, keep="none", say=quiet).run()
    assert sorted(run.arm for run in results) == ["a", "b"]
    assert [path.name for path in runs.glob("*--seed-0")] == ["another-study--seed-0"]


def test_too_little_memory_is_not_a_result(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*_: object) -> None:
        raise OutOfMemoryError("out of memory", hint="use a smaller model")

    monkeypatch.setattr("halo_core.Plan.from_raw", fail)
    answer = {"status": "error", "message": "out of memory", "hint": "use a smaller model"}
    assert worker.work({}, tmp_path / "run") == answer


@pytest.mark.parametrize(
    "arm",
    [
        {"equal_sum_of": "a", "set": {"selector": {"treshold": 1}}},
        {"same_setting_as": "a", "set": {"cycle": 1}},
    ],
)
def test_an_arm_that_waits_for_another_is_checked_before_the_first_run(
    make_study: MakeStudy, tmp_path: Path, arm: dict[str, Any]
) -> None:
    study = make_study(arms={"a": {}, "bad": arm}, comparisons=[], tune=TUNE)
    with pytest.raises(ConfigError, match="arm 'bad': "):
        Runner(study, tmp_path / "out", say=quiet).run()
    assert not (tmp_path / "out/runs").exists()


def test_held_out_prompts_are_the_same_for_all_seeds(
    make_study: MakeStudy, base: dict[str, Any], tmp_path: Path
) -> None:
    prompts = {"prompts": base["data"]["prompts"]}
    study = make_study(base=base | {"data": prompts}, arms={"a": {}}, comparisons=[])
    with pytest.raises(ConfigError, match=r"arm 'a': data.heldout is missing"):
        Runner(study, tmp_path / "out", say=quiet).run()


def test_training_that_fails_is_a_result(make_study: MakeStudy, tmp_path: Path) -> None:
    """A rate that diverges, or a selection without samples, is an outcome of the arm."""
    study = make_study(arms={"none": {"set": {"selector": {"threshold": 1.5}}}}, comparisons=[], seeds=1)
    (run,) = Runner(study, tmp_path / "out", say=quiet).run()
    assert "was selected" in run.error
    assert run.passes.shape == (3, 6)
    assert (run.passes == run.passes[0]).all(), "the last measurement is repeated"
    (stored,) = read_results(tmp_path / "out/results.csv")
    assert stored.error == run.error
    assert value_of(stored, "final") == value_of(run, "final")


def test_a_run_that_cannot_be_run_stops_the_study(
    make_study: MakeStudy, base: dict[str, Any], tmp_path: Path
) -> None:
    study = make_study(base=base | {"model": {"name": str(tmp_path)}})
    for seeds in ([0], [0, 1]):
        with pytest.raises(RunError, match=r"^constant--seed-0: "):
            Runner(study.model_copy(update={"seeds": seeds}), tmp_path / "out", say=quiet).run()
        assert not (tmp_path / "out/results.csv").exists()
        fixed = read_fixed(tmp_path / "out")
        assert fixed is not None
        assert fixed.seeds == seeds, "no run has a result yet"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_do_not_change_the_table(content: dict[str, Any], study_file: Path, tmp_path: Path) -> None:
    """benchmarks/bench_study.py does this twenty times."""
    study_file.write_text(
        yaml.safe_dump(content | {"base": content["base"] | {"cycles": 3}}, sort_keys=False)
    )
    command = [sys.executable, "-m", "halo_core", "study", "run", str(study_file), "-o"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, stdout=subprocess.DEVNULL)
    expected = read_results(tmp_path / "whole/results.csv")
    rng, killed = random.Random(1), tmp_path / "killed"
    for _ in range(2):
        before = cycles(killed)
        process = subprocess.Popen([*command, str(killed), "-j", "2"], stdout=subprocess.DEVNULL)
        while cycles(killed) == before:
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run([*command, str(killed)], check=True, stdout=subprocess.DEVNULL)
    assert comparable(read_results(killed / "results.csv")) == comparable(expected)


def cycles(directory: Path) -> int:
    """Return the number of finished cycles of all runs of a study."""
    found = 0
    for path in directory.glob("runs/*/run.yaml"):
        with closing(Ledger(path.parent)) as ledger:
            found += len(ledger.reports())
    return found


def test_results_of_an_arm_that_was_removed_stay_in_the_file_and_in_no_table(
    whole: tuple[Study, Path], tmp_path: Path
) -> None:
    study, directory = whole
    before = read_results(directory / "results.csv")
    write_results(tmp_path / "results.csv", before)
    arms = {name: arm for name, arm in study.arms.items() if name != "high threshold"}
    fewer = study.model_copy(update={"arms": arms})
    assert {run.arm for run in Runner(fewer, tmp_path, reuse=[directory], say=quiet).run()} == set(arms)
    write_results(tmp_path / "results.csv", Runner(fewer, tmp_path, say=quiet).results())
    assert comparable(read_results(tmp_path / "results.csv")) == comparable(before)


def test_runs_of_another_study_are_reused(
    whole: tuple[Study, Path], make_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that are known only when a setting has been chosen; here, nothing is left to run."""
    _, directory = whole
    falling = {"set": {"lr_policy": {"name": "exponential", "base_lr": 1e-2, "decay": 0.5}}}
    study = make_study(
        tune=TUNE, seeds=1, arms={"renamed": {}, "falls": {"tune": False, **falling}}, comparisons=[]
    )
    lines: list[str] = []
    monkeypatch.setattr(Runner, "_hire", lambda *_: pytest.fail("nothing is left to run"))
    results = Runner(study, tmp_path / "out", reuse=[directory], say=lines.append).run()
    assert lines == ["4 runs of other studies had the same configuration and seed"]
    stored = read_results(tmp_path / "out" / "results.csv")
    assert comparable(stored) == comparable(results)
    assert {run.source for run in stored} == {directory.name}
    theirs = {run.key: run for run in read_results(directory / "results.csv")}
    for run in (run for run in stored if run.arm == "renamed"):
        np.testing.assert_array_equal(run.passes, theirs["constant", *run.key[1:]].passes)
    page = render(analyse(study, results), "report.md.jinja", file=Path("study.yaml"))
    assert f"Taken from the study {directory.name}" in page


def test_a_run_with_another_configuration_is_not_reused(
    whole: tuple[Study, Path], make_study: MakeStudy
) -> None:
    """The configuration that was run counts, not the one in fixed.yaml."""
    _, directory = whole
    for arm, expected in (({}, 1), ({"set": {"samples_per_prompt": 2}}, 0)):
        study = make_study(tune=TUNE, seeds=[0, 1], arms={"a": arm}, comparisons=[])
        runs: list[RunResult] = []
        assert add_reused(study, runs, [directory]) == len(runs) == 3 * expected
    with pytest.raises(ConfigError, match="has no study"):
        add_reused(study, runs, [directory / "runs"])


def test_reusing_a_directory_without_a_study_is_an_error(make_study: MakeStudy, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no study"):
        Runner(make_study(), tmp_path / "out", reuse=[tmp_path], say=quiet).run()
