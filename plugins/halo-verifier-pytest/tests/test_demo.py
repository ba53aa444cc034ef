"""The demo: tasks, programs, mistakes and the shipped files."""

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core.demo.build import Corpus, is_heldout
from halo_core.drivers import Demo
from halo_core.testing import DemoContract
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict
from halo_verifier_pytest import Pytest
from halo_verifier_pytest_demo.make import make_corpus, make_reference
from halo_verifier_pytest_demo.mistakes import KINDS, careless, spoil
from halo_verifier_pytest_demo.style import Author
from halo_verifier_pytest_demo.tasks import Task, all_tasks, draw_arguments

TASKS = all_tasks()


def judge(programs: list[tuple[Task, str]]) -> list[Verdict]:
    """Judge each program by newly drawn tests of its task."""
    rng = random.Random(1)
    prompts = [Prompt("p", "t", reference=make_reference(task, rng)) for task, _ in programs]
    completions = [Completion("p", 0, code) for _, code in programs]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(Pytest(cpu_seconds=0.5).check, prompts, completions))


# Tasks


def test_task_keys_are_unique() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS) > 3000


def test_arguments_are_distinct_and_answers_vary() -> None:
    rng = random.Random(0)
    for task in rng.sample(TASKS, 200):
        arguments = draw_arguments(task, rng, 20)
        assert len({repr(argument) for argument in arguments}) == len(arguments) >= 8
        assert len({repr(task.answer(argument)) for argument in arguments}) >= 3, task.key


def test_correct_programs_pass() -> None:
    rng = random.Random(0)
    programs = [(task, Author(rng).program(task)) for task in rng.sample(TASKS, 80)]
    for (task, code), verdict in zip(programs, judge(programs), strict=True):
        assert verdict.status is Status.PASS, f"{task.key}\n{code}\n{verdict.detail}"


def test_tasks_have_many_correct_programs() -> None:
    rng = random.Random(0)
    forms = [len({Author(rng).program(task) for _ in range(40)}) for task in rng.sample(TASKS, 60)]
    assert min(forms) >= 4
    assert sum(forms) / len(forms) >= 9


# Mistakes


@pytest.mark.parametrize(
    ("kind", "intended"), [("syntax", Stage.INVALID), ("crash", Stage.CRASHED), ("wrong", Stage.WRONG)]
)
def test_mistakes_have_the_intended_stage(kind: str, intended: Stage) -> None:
    rng = random.Random(0)
    correct = [(task, Author(rng).program(task)) for task in rng.sample(TASKS, 40)]
    faulty = [(task, bad) for task, code in correct if (bad := spoil(code, kind, rng)) != code]
    assert len(faulty) >= 15
    stages = Counter(verdict.stage for verdict in judge(faulty))
    assert stages[intended] >= 0.75 * len(faulty), stages
    assert stages[Stage.CORRECT] <= 0.1 * len(faulty), stages  # a one-line body may be indented by two spaces


def test_mistakes_occur_at_their_rates() -> None:
    rng = random.Random(0)
    codes = [Author(rng).program(rng.choice(TASKS)) for _ in range(2000)]
    clean = sum(careless(code, rng) == code for code in codes) / len(codes)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.06)


# Shipped files


class TestDemo(DemoContract):
    verifier = Pytest()
    make = staticmethod(make_corpus)
    initial_pass_rate = (0.2, 0.75)
    checked_prompts = 8
    min_mutants = 3

    def test_the_corpus_contains_no_held_out_task_in_any_wording(self, corpus: Corpus) -> None:
        endings = tuple(f" {task.key}" for task in TASKS if is_heldout(task))
        assert 0.2 < len(endings) / len(TASKS) < 0.3
        assert not any(pair.prompt.removesuffix(".").endswith(endings) for pair in corpus.pairs)

    def test_held_out_prompts_cover_every_family(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}

    def test_every_prompt_has_at_least_five_tests_and_one_reference(self, demo: Demo) -> None:
        for prompt in (*demo.prompts, *demo.heldout):
            assert len(prompt.reference["tests"]) >= 5
            assert len(self.verifier.references(prompt)) == 1

    def test_the_model_writes_functions(self, sampled: Sequence[Sample]) -> None:
        texts = [sample.completion.text for sample in sampled]
        whole = [text.startswith("def f(") and text.endswith("\n") for text in texts]
        assert sum(whole) >= 0.9 * len(texts)
