"""The demo: tasks, programs, mistakes and shipped files."""

import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core.demo.build import Corpus, is_heldout
from halo_core.drivers import Demo
from halo_core.testing import DemoContract
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict
from halo_verifier_gcc import GCC
from halo_verifier_gcc_demo.families import all_tasks
from halo_verifier_gcc_demo.make import make_corpus
from halo_verifier_gcc_demo.mistakes import BEGINNER, KINDS, make_mistake
from halo_verifier_gcc_demo.style import Style
from halo_verifier_gcc_demo.tasks import Task, draw_tests, phrase

TASKS = all_tasks()


def judge(programs: list[tuple[Task, str]]) -> list[Verdict]:
    """Judge each program by newly drawn tests of its task."""
    rng = random.Random(1)
    prompts = [Prompt("p", "t", reference={"tests": draw_tests(task, rng, 3)}) for task, _ in programs]
    completions = [Completion("p", 0, code) for _, code in programs]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(GCC(cpu_seconds=0.5).check, prompts, completions))


# Tasks


def test_task_keys_are_unique() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS)


def test_tests_differ_and_no_constant_passes() -> None:
    rng = random.Random(0)
    for task in TASKS:
        tests = draw_tests(task, rng, 4)
        assert len({test["stdin"] for test in tests}) == 4
        assert len({tuple(test["stdout"].split()) for test in tests}) > 1, task.key


def test_programs_of_every_family_pass_without_warnings() -> None:
    rng = random.Random(0)
    by_family = defaultdict(list)
    for task in TASKS:
        by_family[task.family].append(task)
    programs = [
        (task, task.write(Style(rng))) for family in by_family.values() for task in rng.sample(family, 5)
    ]
    for (task, code), verdict in zip(programs, judge(programs), strict=True):
        assert (verdict.status, verdict.warnings) == (Status.PASS, 0), f"{task.key}\n{code}\n{verdict.detail}"


def test_tasks_have_many_correct_programs() -> None:
    rng = random.Random(0)
    forms = [len({task.write(Style(rng)) for _ in range(40)}) for task in rng.sample(TASKS, 60)]
    assert min(forms) >= 8
    assert sum(forms) / len(forms) >= 20


# Mistakes


@pytest.mark.parametrize(
    ("kind", "stage"), [("syntax", Stage.INVALID), ("crash", Stage.CRASHED), ("wrong", Stage.WRONG)]
)
def test_mistakes_reach_their_stage(kind: str, stage: Stage) -> None:
    rng = random.Random(0)
    correct = [(task, task.write(Style(rng))) for task in rng.sample(TASKS, 40)]
    wrong = [(task, bad) for task, code in correct if (bad := make_mistake(code, kind, rng)) != code]
    assert len(wrong) >= 15
    verdicts = judge(wrong)
    reached = Counter(verdict.stage for verdict in verdicts)
    assert reached[stage] >= 0.75 * len(wrong)
    assert reached[Stage.CORRECT] <= (0 if kind == "syntax" else 0.2 * len(wrong))


def test_warning_mistakes_cause_warnings() -> None:
    rng = random.Random(0)
    correct = [(task, task.write(Style(rng))) for task in rng.sample(TASKS, 20)]
    verdicts = judge([(task, make_mistake(code, "warning", rng)) for task, code in correct])
    assert sum(verdict.warnings > 0 for verdict in verdicts) >= 18


def test_mistakes_occur_at_their_rates() -> None:
    rng = random.Random(0)
    codes = [rng.choice(TASKS).write(Style(rng)) for _ in range(2000)]
    clean = sum(BEGINNER(code, rng) == code for code in codes) / len(codes)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.06)


# Shipped files


def test_verifier_does_not_import_the_authoring_code() -> None:
    """The wheel does not contain `halo_verifier_gcc_demo`."""
    script = (
        "import sys, halo_verifier_gcc as v; v.GCC().demo(); print('halo_verifier_gcc_demo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


class TestDemo(DemoContract):
    verifier = GCC(cpu_seconds=0.5)
    make = staticmethod(make_corpus)
    initial_pass_rate = (0.15, 0.6)
    checked_prompts = 10
    min_mutants = 3
    lucky_mutants = 0.03

    def test_corpus_has_no_wording_of_a_held_out_task(self, corpus: Corpus) -> None:
        unseen = [task for task in TASKS if is_heldout(task)]
        assert 0.15 < len(unseen) / len(TASKS) < 0.35
        wordings = {phrase(task, random.Random(n)) for task in unseen for n in range(40)}
        assert wordings.isdisjoint(pair.prompt for pair in corpus.pairs)

    def test_every_family_is_held_out(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}

    def test_prompts_have_three_tests_and_no_constant_passes(self, demo: Demo) -> None:
        for prompt in (*demo.prompts, *demo.heldout):
            assert len(prompt.reference["tests"]) >= 3
            assert len({test["stdout"] for test in prompt.reference["tests"]}) > 1

    def test_cpp_is_rejected_although_the_text_names_no_language(self, demo: Demo) -> None:
        assert all(prompt.reference["language"] == "c" for prompt in (*demo.prompts, *demo.heldout))
        prompt = demo.prompts[0]
        code = prompt.reference["solution"].replace("stdio.h", "cstdio")
        verdict = self.verifier.check(prompt, Completion(prompt.id, 0, f"```cpp\n{code}```\n"))
        assert verdict.stage is Stage.INVALID

    def test_model_writes_c(self, sampled: Sequence[Sample]) -> None:
        texts = [sample.completion.text for sample in sampled]
        whole = [text.startswith("#include <stdio.h>\nint main(") and text.endswith("}\n") for text in texts]
        assert sum(whole) >= 0.9 * len(texts)
