"""The demo: its tasks, its authors' answers and mistakes, and the shipped files."""

import json
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from halo_core.demo.build import Corpus, is_heldout
from halo_core.drivers import Demo
from halo_core.testing import DemoContract
from halo_core.types import Completion, Prompt, Sample, Stage, Status, Verdict
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_jsonschema_demo.make import make_corpus
from halo_verifier_jsonschema_demo.style import RATES, beginner_answer, break_syntax, write_answer
from halo_verifier_jsonschema_demo.tasks import Task, all_tasks

TASKS = all_tasks()


def judge(task: Task, text: str) -> Verdict:
    return JSONSchema().check(Prompt("p", "t", reference=task.reference), Completion("p", 0, text))


def correct_answer(task: Task, rng: random.Random) -> str:
    """Return a correct answer in a random author's style."""
    return write_answer(list(task.calls) if task.calls else task.body, rng, calls=bool(task.calls))


def test_every_task_has_a_unique_name_and_a_valid_reference() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS) > 5000
    verifier = JSONSchema()
    for task in random.Random(0).sample(TASKS, 500):
        verifier.check_prompt(Prompt("p", "t", reference=task.reference))


def test_tasks_with_the_same_wording_have_the_same_answer() -> None:
    answers: dict[str, str] = {}
    for task in TASKS:
        answer = json.dumps(task.reference)
        for wording in task.wordings:
            assert answers.setdefault(wording, answer) == answer, wording


def test_correct_answers_in_every_style_pass() -> None:
    rng = random.Random(0)
    for task in rng.sample(TASKS, 400):
        text = correct_answer(task, rng)
        assert judge(task, text).status is Status.PASS, f"{task.key}\n{text}"


def test_tasks_have_many_correct_forms() -> None:
    rng = random.Random(0)
    forms = [len({correct_answer(task, rng) for _ in range(60)}) for task in rng.sample(TASKS, 60)]
    assert min(forms) >= 4
    assert sum(forms) / len(forms) >= 10


def test_mistakes_occur_at_their_rates_and_fail() -> None:
    rng = random.Random(0)
    reached = Counter(judge(task, beginner_answer(task, rng)).stage for task in rng.choices(TASKS, k=3000))
    share = {stage: reached[stage] / 3000 for stage in Stage}
    correct = (1 - RATES["values"]) * (1 - RATES["shape"]) * (1 - RATES["syntax"])
    assert share[Stage.CORRECT] == pytest.approx(correct, abs=0.05)
    assert share[Stage.INVALID] == pytest.approx(RATES["syntax"], abs=0.05)
    assert share[Stage.FLAWED] > 0.1
    assert share[Stage.WRONG] > 0.08


def test_answers_with_broken_syntax_fail() -> None:
    rng = random.Random(0)
    for task in rng.sample(TASKS, 300):
        text = break_syntax(correct_answer(task, rng), rng)
        assert judge(task, text).stage is not Stage.CORRECT, text


# The shipped demo


class TestDemo(DemoContract):
    verifier = JSONSchema()
    make = staticmethod(make_corpus)
    initial_pass_rate = (0.15, 0.65)
    checked_prompts = 160
    min_mutants = 20

    def test_no_wording_of_a_held_out_task_is_in_the_corpus(self, corpus: Corpus) -> None:
        unseen = [task for task in TASKS if is_heldout(task)]
        assert 0.2 < len(unseen) / len(TASKS) < 0.3
        wordings = {wording for task in unseen for wording in task.wordings}
        assert wordings.isdisjoint(pair.prompt for pair in corpus.pairs)

    def test_every_family_is_held_out(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}

    def test_the_model_writes_json(self, sampled: Sequence[Sample]) -> None:
        assert sum(sample.verdict.valid for sample in sampled) >= 0.5 * len(sampled)
