"""The demo: tasks, answers, mistakes and shipped files."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from halo_core.demo.build import Corpus, is_heldout
from halo_core.drivers import Demo
from halo_core.testing import DemoContract
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict
from halo_verifier_sympy import Sympy
from halo_verifier_sympy_demo.make import make_corpus
from halo_verifier_sympy_demo.mistakes import KINDS, add_mistake, as_beginner
from halo_verifier_sympy_demo.tasks import FAMILIES, Task, draw, phrase, solution


def verdict(task: Task, text: str) -> Verdict:
    return Sympy().check(Prompt("p", "task", reference=task.reference), Completion("p", 0, text))


def tasks(count: int, seed: int = 0) -> list[Task]:
    rng = random.Random(seed)
    return [draw(family, rng) for family in FAMILIES for _ in range(count)]


def test_every_solution_passes() -> None:
    rng = random.Random(0)
    for task in tasks(40):
        text = solution(task, rng)
        assert verdict(task, text).status is Status.PASS, (task.key, text)


def test_copying_the_question_or_working_fails() -> None:
    for task in tasks(30):
        for copied in (task.question, task.working):
            assert verdict(task, rf"\boxed{{{copied}}}").status is Status.FAIL, (task.key, copied)


def test_tasks_have_many_correct_notations() -> None:
    rng = random.Random(0)
    forms = [len({solution(task, rng) for _ in range(60)}) for task in tasks(8)]
    assert min(forms) >= 6
    assert sum(forms) / len(forms) >= 12


@pytest.mark.parametrize(
    ("kind", "rungs"),
    [
        ("unreadable", {Stage.INVALID}),
        ("refused", {Stage.FLAWED, Stage.WRONG}),
        ("wrong", {Stage.WRONG, Stage.FLAWED, Stage.INVALID}),
    ],
)
def test_mistakes_reach_their_rungs(kind: str, rungs: set[Stage]) -> None:
    rng = random.Random(0)
    reached = Counter(verdict(task, add_mistake(solution(task, rng), kind, rng)).stage for task in tasks(15))
    assert sum(reached[rung] for rung in rungs) >= 0.9 * sum(reached.values())
    assert reached[Stage.CORRECT] <= (0 if kind == "unreadable" else 0.07 * sum(reached.values()))


def test_mistakes_occur_at_their_rates() -> None:
    rng = random.Random(0)
    texts = [solution(task, rng) for task in tasks(250)]
    clean = sum(as_beginner(text, rng) == text for text in texts) / len(texts)
    assert clean == pytest.approx(1 - sum(rate for _, rate in KINDS.values()), abs=0.04)


class TestDemo(DemoContract):
    verifier = Sympy()
    make = staticmethod(make_corpus)
    initial_pass_rate = (0.35, 0.85)
    checked_prompts = 160
    min_mutants = 3

    def test_corpus_contains_no_wording_of_a_held_out_task(self, corpus: Corpus) -> None:
        drawn = tasks(60)
        unseen = [task for task in drawn if is_heldout(task)]
        assert 0.15 < len(unseen) / len(drawn) < 0.35
        wordings = {phrase(task, random.Random(n)) for task in unseen for n in range(20)}
        assert wordings.isdisjoint(pair.prompt for pair in corpus.pairs)

    def test_every_family_has_held_out_prompts(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == set(FAMILIES)

    def test_model_boxes_most_answers(self, sampled: Sequence[Sample]) -> None:
        boxed = sum(r"\boxed{" in sample.completion.text for sample in sampled)
        assert boxed >= 0.7 * len(sampled)  # a missing box is one of the mistakes in the corpus
