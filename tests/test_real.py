"""The prompts of configs/real: as their script writes them, held-out ones of other kinds, and right answers pass."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from halo_core.config.layers import load_yaml
from halo_core.data import check_disjoint, load_prompts
from halo_core.run.plan import Plan
from halo_core.types import Completion, Prompt, Status
from halo_core.verification.verifiers import VerifierSet

ROOT = Path(__file__).parents[1]
REAL = ROOT / "configs/real"
TASKS = ("python", "word_problems", "tool_calls")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_prompts", REAL / "make_prompts.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prompts_of(task: str, monkeypatch: pytest.MonkeyPatch) -> tuple[VerifierSet, list[Prompt], list[Prompt]]:
    monkeypatch.chdir(ROOT)
    raw: dict[str, Any] = load_yaml(REAL / f"{task}.yaml")
    plan = Plan.from_raw(raw)
    prompts, heldout = plan.data()
    return plan.drivers.verifiers, prompts, heldout


def test_the_files_are_those_that_the_script_writes(script: ModuleType, tmp_path: Path) -> None:
    script.main(tmp_path)
    for file in tmp_path.iterdir():
        assert file.read_bytes() == (REAL / file.name).read_bytes(), file.name
    assert len(list(tmp_path.iterdir())) == 2 * len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_the_prompts_suit_the_verifier_and_the_held_out_ones_are_of_other_kinds(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifiers, prompts, heldout = prompts_of(task, monkeypatch)
    verifiers.check_prompts([*prompts, *heldout])
    check_disjoint(prompts, heldout)
    assert len(prompts) >= 24 <= len(heldout)


def test_held_out_functions_stories_and_tools_do_not_occur_in_training(script: ModuleType) -> None:
    for train, heldout in (
        (script.TRAIN_FUNCTIONS, script.HELDOUT_FUNCTIONS),
        (script.TRAIN_STORIES, script.HELDOUT_STORIES),
        (script.TRAIN_TOOLS, script.HELDOUT_TOOLS),
    ):
        assert not {task[0] for task in train} & {task[0] for task in heldout}


@pytest.mark.parametrize("split", ["train", "heldout"])
@pytest.mark.parametrize("task", ["word_problems", "tool_calls"])
def test_the_right_answer_passes(task: str, split: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verifiers, _, _ = prompts_of(task, monkeypatch)
    (verifier,) = verifiers.by_name.values()
    for prompt in load_prompts(REAL / f"{task}_{split}.jsonl"):
        if task == "tool_calls":
            text = json.dumps(prompt.reference["calls"][0])
        else:
            text = f"so \\boxed{{{prompt.reference['answer']}}}"
        verdict = verifier.check(prompt, Completion(prompt.id, 0, text))
        assert verdict.status is Status.PASS, (prompt.id, verdict)
