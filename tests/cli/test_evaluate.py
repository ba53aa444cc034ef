"""`halo eval`, and `halo run --cycles 0`: measuring a model without training it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from halo_core.ledger.ledger import Ledger
from halo_core.testing import FakeActor

Halo = Callable[..., Any]
DRIVERS = Path(__file__).parents[1] / "fake_drivers.py"
FAKES = ["--verifier", f"{DRIVERS}:Words", "--generator", f"{DRIVERS}:Skilled"]


@pytest.fixture
def stored_skills(halo: Halo, monkeypatch: pytest.MonkeyPatch) -> Halo:
    """Return the command line with an actor that has the skill stored in the directory of its model."""

    def actor(config: Any) -> FakeActor:
        file = Path(config.name) / "skill.json"
        return FakeActor(json.loads(file.read_text()) if file.is_file() else 0.3)

    monkeypatch.setattr("halo_core.model.actor.Actor", actor)
    return halo


def model(name: str, skill: float) -> str:
    Path(name).mkdir()
    Path(name, "skill.json").write_text(json.dumps(skill))
    return name


def evaluated(halo: Halo, *arguments: object) -> dict[str, Any]:
    answer = halo("eval", *arguments, "--json")
    assert answer.code == 0, answer.err
    found: dict[str, Any] = json.loads(answer.out)
    return found


def test_all_prompts_of_a_file_are_measured(stored_skills: Halo, prompts: Path) -> None:
    found = evaluated(
        stored_skills, model("m", 0.5), *FAKES, "-d", prompts, "-k", 4, "--set", "selector.threshold=1"
    )
    assert (found["metrics"]["prompts"], found["tries"], len(found["prompts"])) == (20, 4, 20)
    rows = found["prompts"]
    assert sum(row["passes"] for row in rows) / 80 == pytest.approx(found["pass_at"]["1"]["value"])
    assert sum(row["passes"] > 0 for row in rows) / 20 == found["pass_at"]["4"]["value"]
    for each in (found, *rows):
        for estimate in each["pass_at"].values():
            low, high = estimate["interval"]
            assert 0 <= low <= estimate["value"] <= high <= 1
    assert found["tokens"] == 80 * 12
    assert found["lengths"] == {"mean": 12, "median": 12, "90%": 12, "longest": 12}
    assert found["tokens_per_second"] > 0
    assert found["selection"]["prompts"] == sum(row["passes"] > 0 for row in rows)


def test_the_directory_is_read_by_other_commands(stored_skills: Halo, prompts: Path) -> None:
    for name, skill in (("a", 0.2), ("b", 0.8)):
        evaluated(stored_skills, model(name, skill), *FAKES, "-d", prompts, "-o", f"eval-{name}")
    assert stored_skills("samples", "eval-a", "--status", "pass", "-n", 1).code == 0
    compared = stored_skills("compare", "eval-a", "eval-b").out
    assert "b against a: +" in compared
    listed = stored_skills("runs", ".").out
    assert listed.count("finished") == 2


def test_report_shows_the_measured_samples(
    stored_skills: Halo, prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from halo_core.report import write_report

    evaluated(stored_skills, model("m", 0.5), *FAKES, "-d", prompts, "-o", "e")
    page = write_report(Ledger(Path("e"))).read_text()
    assert "right " in page
    assert "wrong " in page
    assert "No training cycle is finished yet" not in page


def test_without_data_the_demo_is_used(stored_skills: Halo) -> None:
    found = evaluated(stored_skills, model("m", 0.5), *FAKES, "--limit", 3)
    assert [row["prompt"] for row in found["prompts"]] == ["d8", "d9", "d10"]
    assert Path("runs/eval-Words-m-1/run.yaml").is_file()


def test_a_run_brings_its_verifier_and_its_held_out_prompts(stored_skills: Halo, run: Halo) -> None:
    run("r", "--heldout-samples", 6)
    found = evaluated(stored_skills, "r", "--cycle", 1)
    assert [row["prompt"] for row in found["prompts"]] == ["d8", "d9", "d10", "d11"]
    assert found["tries"] == 6
    assert found["model"].endswith("r/cycles/001/adapter")
    with Ledger(Path("r")).reading() as db:
        (measured,) = db.execute(
            "SELECT report ->> '$.heldout.passed' FROM cycles WHERE cycle = 1"
        ).fetchone()
    assert found["pass_at"]["1"]["value"] == measured, "the held-out measurement of the run is repeated"
    other = evaluated(stored_skills, "r", "--cycle", 0, "-V", "mode=strict")
    assert other["model"] == str(DRIVERS.parent)


def test_paired_difference_against_another_model(stored_skills: Halo, prompts: Path) -> None:
    worse, better = model("worse", 0.3), model("better", 0.9)
    arguments = [better, *FAKES, "-d", prompts, "--against", worse]
    found = evaluated(stored_skills, *arguments, "-o", "e")
    changes = found["against"]["differences"]
    assert set(changes) == {"valid", "pass@1", "pass@8"}
    for change in changes.values():
        assert change["difference"] == pytest.approx(change["after"] - change["before"])
    assert changes["pass@1"]["interval"][0] > 0
    assert Path("e-against/run.yaml").is_file()
    stored = evaluated(stored_skills, better, "--against", "e-against", "-o", "again")
    assert stored["against"]["differences"] == changes, "an evaluation is read, and its settings are used"
    assert "pass@8" in stored_skills("eval", *arguments, "-o", "e").out.partition("against ")[2]


def test_other_prompts_cannot_be_compared(stored_skills: Halo, prompts: Path) -> None:
    """That is noticed before anything is measured."""
    evaluated(stored_skills, model("m", 0.5), *FAKES, "-o", "e")
    answer = stored_skills("eval", "m", "--against", "e", "-d", prompts, "-o", "other")
    assert "have different prompts" in answer.complaint()
    assert "--data" in answer.remedy()
    assert not Path("other").exists()


def test_the_columns_of_a_file_are_mapped(stored_skills: Halo) -> None:
    Path("rows.jsonl").write_text('{"question": "one"}\n{"question": "two"}\n')
    found = evaluated(
        stored_skills,
        model("m", 0.5),
        *FAKES,
        "-d",
        "rows.jsonl",
        "--set",
        "data.columns.prompt=question",
        "-o",
        "e",
    )
    assert found["metrics"]["prompts"] == 2
    assert [prompt.text for prompt in Ledger(Path("e")).prompts("heldout")] == ["one", "two"]


def test_sources_of_training_prompts_are_not_evaluated_on(stored_skills: Halo) -> None:
    """Nor is the demo measured in their place."""
    Path("c.yaml").write_text("data: {sources: [{prompts: a.jsonl}]}\n")
    answer = stored_skills("eval", model("m", 0.5), *FAKES, "-c", "c.yaml")
    assert "data.sources are training prompts" in answer.complaint()
    assert "--data" in answer.remedy()


def test_a_model_has_no_cycles(halo: Halo) -> None:
    answer = halo("eval", "m", *FAKES, "--cycle", 3)
    assert "is not a run" in answer.complaint()
    assert answer.code == 2


def test_last_lines_advise(stored_skills: Halo, prompts: Path) -> None:
    def last(skill: float) -> list[str]:
        answer = stored_skills("eval", model(f"m{skill}", skill), *FAKES, "-d", prompts)
        assert answer.code == 0, answer.err
        lines: list[str] = answer.out.splitlines()
        return lines[-2:]

    assert last(0.5)[1] == "RAFT can learn from this"
    assert last(0.5001)[0].startswith("20 of 20 prompts have a pass among 8 samples")
    assert last(1.0)[1].startswith("RAFT has little left to learn here")
    assert last(0.0)[0].startswith("0 of 20 prompts have a pass among 8 samples; the selector would choose")


def test_run_without_cycles_can_be_extended(run_prompts: Halo, halo: Halo) -> None:
    answer = run_prompts("-n", 0)
    assert answer.code == 0, answer.err
    assert "before training" in answer.out
    assert "were done before" not in answer.out
    assert halo("resume", "run", "-n", 1).code == 0
    assert len(Ledger(Path("run")).reports()) == 2


def test_evaluation_cannot_be_extended(stored_skills: Halo, prompts: Path) -> None:
    evaluated(stored_skills, model("m", 0.5), *FAKES, "-d", prompts, "-o", "e")
    assert stored_skills("resume", "e").code == 0
    answer = stored_skills("resume", "e", "-n", 2)
    assert "has no training prompts" in answer.complaint()
    assert "halo run" in answer.remedy()


def test_run_uses_the_prompts_of_another_run(run_prompts: Halo) -> None:
    assert run_prompts().code == 0
    answer = run_prompts("--data", "run", "--heldout", "run", "-o", "other", "--set", "heldout.limit=1")
    assert answer.code == 0, answer.err
    first, other = Ledger(Path("run")), Ledger(Path("other"))
    assert other.prompts("train") == first.prompts("train")
    assert other.prompts("heldout") == first.prompts("heldout")[:1]


def test_a_selection_that_fails_does_not_hide_the_measurement(stored_skills: Halo, prompts: Path) -> None:
    Path("rewards.py").write_text(
        "from halo_core import Reward, driver\n\n\n@driver\nclass Broken(Reward):\n"
        "    def reward(self, sample):\n        raise KeyError('signal')\n"
    )
    found = evaluated(
        stored_skills, model("m", 0.5), *FAKES, "-d", prompts, "--set", "reward=rewards.py:Broken"
    )
    assert found["selection"] is None
    assert found["advice"]
