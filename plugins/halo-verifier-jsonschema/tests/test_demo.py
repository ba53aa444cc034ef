"""The demo: its tasks, how its authors write, their mistakes, and what ships."""

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
from halo_verifier_jsonschema.demo.make import make_corpus
from halo_verifier_jsonschema.demo.style import RATES, careless, misspelt, write
from halo_verifier_jsonschema.demo.tasks import Task, all_tasks

TASKS = all_tasks()


def judge(task: Task, text: str) -> Verdict:
    return JSONSchema().check(Prompt("p", "t", reference=task.reference), Completion("p", 0, text))


def rightly(task: Task, rng: random.Random) -> str:
    """Return a right answer in one author's hand."""
    return write(list(task.calls) if task.calls else task.body, rng, calls=bool(task.calls))


def test_every_task_has_a_name_and_a_reference_that_can_be_judged_by() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS) > 5000
    verifier = JSONSchema()
    for task in random.Random(0).sample(TASKS, 500):
        verifier.check_prompt(Prompt("p", "t", reference=task.reference))


def test_tasks_that_are_said_alike_are_answered_alike() -> None:
    answers: dict[str, str] = {}
    for task in TASKS:
        answer = json.dumps(task.reference)
        for wording in task.wordings:
            assert answers.setdefault(wording, answer) == answer, wording


def test_answers_in_every_hand_pass() -> None:
    rng = random.Random(0)
    for task in rng.sample(TASKS, 400):
        text = rightly(task, rng)
        assert judge(task, text).status is Status.PASS, f"{task.key}\n{text}"


def test_tasks_have_many_correct_forms() -> None:
    rng = random.Random(0)
    forms = [len({rightly(task, rng) for _ in range(60)}) for task in rng.sample(TASKS, 60)]
    assert min(forms) >= 4
    assert sum(forms) / len(forms) >= 10


def test_mistakes_are_made_at_their_rates_and_are_mistakes() -> None:
    rng = random.Random(0)
    reached = Counter(judge(task, careless(task, rng)).stage for task in rng.choices(TASKS, k=3000))
    share = {stage: reached[stage] / 3000 for stage in Stage}
    right = (1 - RATES["values"]) * (1 - RATES["shape"]) * (1 - RATES["syntax"])
    assert share[Stage.CORRECT] == pytest.approx(right, abs=0.05)
    assert share[Stage.INVALID] == pytest.approx(RATES["syntax"], abs=0.05)
    assert share[Stage.FLAWED] > 0.1
    assert share[Stage.WRONG] > 0.08


def test_no_misspelling_is_strict_json() -> None:
    rng = random.Random(0)
    for task in rng.sample(TASKS, 300):
        text = misspelt(rightly(task, rng), rng)
        assert judge(task, text).stage is not Stage.CORRECT, text


# What ships


class TestDemo(DemoContract):
    verifier = JSONSchema()
    make = staticmethod(make_corpus)
    start = (0.15, 0.65)
    judged = 160
    fewest_mutants = 20

    def test_no_wording_of_a_held_out_task_is_taught(self, corpus: Corpus) -> None:
        unseen = [task for task in TASKS if is_heldout(task)]
        assert 0.2 < len(unseen) / len(TASKS) < 0.3
        wordings = {wording for task in unseen for wording in task.wordings}
        assert wordings.isdisjoint(pair.prompt for pair in corpus.pairs)

    def test_every_family_is_held_out(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}

    def test_the_model_writes_json(self, sampled: Sequence[Sample]) -> None:
        assert sum(sample.verdict.valid for sample in sampled) >= 0.5 * len(sampled)
