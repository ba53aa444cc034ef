"""The demo: its tasks, its programs, its mistakes and what ships."""

import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core.demo.build import Corpus, is_heldout
from halo_core.drivers import Demo
from halo_core.testing import DemoContract
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict
from halo_verifier_gcc import GCC
from halo_verifier_gcc.demo.families import all_tasks
from halo_verifier_gcc.demo.make import make_corpus
from halo_verifier_gcc.demo.mistakes import KINDS, careless, spoil
from halo_verifier_gcc.demo.style import Pen
from halo_verifier_gcc.demo.tasks import Task, draw_tests, phrase

TASKS = all_tasks()


def judge(programs: list[tuple[Task, str]]) -> list[Verdict]:
    """Judge each program by fresh tests of its task."""
    rng = random.Random(1)
    prompts = [Prompt("p", "t", reference={"tests": draw_tests(task, rng, 3)}) for task, _ in programs]
    completions = [Completion("p", 0, code) for _, code in programs]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(GCC(cpu_seconds=0.5).check, prompts, completions))


# Tasks


def test_every_task_has_a_name_of_its_own() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS)


def test_tests_differ_and_no_constant_passes_them() -> None:
    rng = random.Random(0)
    for task in TASKS:
        tests = draw_tests(task, rng, 4)
        assert len({test["stdin"] for test in tests}) == 4
        assert len({tuple(test["stdout"].split()) for test in tests}) > 1, task.key


def test_programs_of_every_family_pass_without_a_warning() -> None:
    rng = random.Random(0)
    by_family = defaultdict(list)
    for task in TASKS:
        by_family[task.family].append(task)
    programs = [
        (task, task.write(Pen(rng))) for family in by_family.values() for task in rng.sample(family, 5)
    ]
    for (task, code), verdict in zip(programs, judge(programs), strict=True):
        assert (verdict.status, verdict.warnings) == (Status.PASS, 0), f"{task.key}\n{code}\n{verdict.detail}"


def test_tasks_have_many_correct_forms() -> None:
    rng = random.Random(0)
    forms = [len({task.write(Pen(rng)) for _ in range(40)}) for task in rng.sample(TASKS, 60)]
    assert min(forms) >= 8
    assert sum(forms) / len(forms) >= 20


# Mistakes


@pytest.mark.parametrize(
    ("kind", "rung"), [("syntax", Stage.INVALID), ("crash", Stage.CRASHED), ("wrong", Stage.WRONG)]
)
def test_mistakes_do_what_they_are_for(kind: str, rung: Stage) -> None:
    rng = random.Random(0)
    right = [(task, task.write(Pen(rng))) for task in rng.sample(TASKS, 40)]
    spoilt = [(task, bad) for task, code in right if (bad := spoil(code, kind, rng)) != code]
    assert len(spoilt) >= 15
    verdicts = judge(spoilt)
    reached = Counter(verdict.stage for verdict in verdicts)
    assert reached[rung] >= 0.75 * len(spoilt)
    assert reached[Stage.CORRECT] <= (0 if kind == "syntax" else 0.2 * len(spoilt))


def test_warnings_are_warned_about() -> None:
    rng = random.Random(0)
    right = [(task, task.write(Pen(rng))) for task in rng.sample(TASKS, 20)]
    verdicts = judge([(task, spoil(code, "warning", rng)) for task, code in right])
    assert sum(verdict.warnings > 0 for verdict in verdicts) >= 18


def test_mistakes_are_made_at_their_rates() -> None:
    rng = random.Random(0)
    codes = [rng.choice(TASKS).write(Pen(rng)) for _ in range(2000)]
    clean = sum(careless(code, rng) == code for code in codes) / len(codes)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.06)


# What ships


class TestDemo(DemoContract):
    verifier = GCC(cpu_seconds=0.5)
    make = staticmethod(make_corpus)
    start = (0.15, 0.6)
    judged = 10
    fewest_mutants = 3
    lucky = 0.03

    def test_no_wording_of_a_held_out_task_is_taught(self, corpus: Corpus) -> None:
        unseen = [task for task in TASKS if is_heldout(task)]
        assert 0.15 < len(unseen) / len(TASKS) < 0.35
        wordings = {phrase(task, random.Random(n)) for task in unseen for n in range(40)}
        assert wordings.isdisjoint(pair.prompt for pair in corpus.pairs)

    def test_every_family_is_held_out(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}

    def test_tests_are_three_or_more_and_no_constant_passes_them(self, demo: Demo) -> None:
        for prompt in (*demo.prompts, *demo.heldout):
            assert len(prompt.reference["tests"]) >= 3
            assert len({test["stdout"] for test in prompt.reference["tests"]}) > 1

    def test_the_model_writes_c(self, sampled: Sequence[Sample]) -> None:
        texts = [sample.completion.text for sample in sampled]
        whole = [text.startswith("#include <stdio.h>\nint main(") and text.endswith("}\n") for text in texts]
        assert sum(whole) >= 0.9 * len(texts)
