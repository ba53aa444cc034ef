"""The demo: its tasks, its queries, its mistakes and the shipped files."""

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache

import pytest

from halo_core.demo.build import Corpus, is_heldout
from halo_core.drivers import Demo
from halo_core.testing import DemoContract
from halo_core.types import Completion, Prompt, Sample, Stage, Status
from halo_verifier_sql import SQL
from halo_verifier_sql_demo.make import make_corpus, reference_of
from halo_verifier_sql_demo.mistakes import KINDS, careless, spoil
from halo_verifier_sql_demo.style import Author
from halo_verifier_sql_demo.tasks import Query, all_tasks, phrase

TASKS = all_tasks()
VERIFIER = SQL()


@cache  # the verifier caches by the reference's identity, and the tests draw the same tasks
def prompt_of(task: Query) -> Prompt:
    return Prompt(task.key, "t", reference=reference_of(task))


# Tasks


def test_task_keys_are_unique() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS) > 3000


def test_every_form_of_a_task_passes() -> None:
    rng = random.Random(0)
    forms = []
    for task in rng.sample(TASKS, 60):
        prompt = prompt_of(task)
        written = {Author(rng).write(task) for _ in range(20)}
        forms.append(len(written))
        for text in written:
            verdict = VERIFIER.check(prompt, Completion("p", 0, text))
            assert verdict.status is Status.PASS, f"{task.key}\n{text}\n{verdict.detail}"
    assert sum(forms) / len(forms) > 8


# Mistakes


@pytest.mark.parametrize(("kind", "stage"), [("syntax", Stage.INVALID), ("wrong", Stage.WRONG)])
def test_mistakes_have_the_intended_effect(kind: str, stage: Stage) -> None:
    rng = random.Random(0)
    reached: Counter[Stage] = Counter()
    for task in rng.sample(TASKS, 60):
        correct = Author(rng).write(task)
        spoiled = spoil(correct, kind, rng)
        assert spoiled != correct
        reached[VERIFIER.check(prompt_of(task), Completion("p", 0, spoiled)).stage] += 1
    assert reached[stage] >= 54
    assert reached[Stage.CORRECT] <= 2


def test_mistakes_are_made_at_their_rates() -> None:
    rng = random.Random(0)
    queries = [Author(rng).write(rng.choice(TASKS)) for _ in range(2000)]
    clean = sum(careless(query, rng) == query for query in queries) / len(queries)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.04)


# Shipped files


class TestDemo(DemoContract):
    verifier = VERIFIER
    make = staticmethod(make_corpus)
    initial_pass_rate = (0.2, 0.65)
    checked_prompts = 30
    min_mutants = 2

    def test_no_wording_of_a_held_out_task_is_in_the_corpus(self, corpus: Corpus) -> None:
        unseen = [task for task in TASKS if is_heldout(task)]
        assert 0.15 < len(unseen) / len(TASKS) < 0.35
        wordings = {phrase(task, random.Random(n)) for task in unseen for n in range(20)}
        assert wordings.isdisjoint(pair.prompt for pair in corpus.pairs)

    def test_every_family_is_held_out(self, demo: Demo) -> None:
        assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}

    def test_copies_have_different_results(self, demo: Demo) -> None:
        for prompt in (*demo.prompts, *demo.heldout):
            assert len({gold.text for gold in VERIFIER._task(prompt).golds}) > 1

    def test_the_model_writes_queries(self, sampled: Sequence[Sample]) -> None:
        selects = sum(sample.completion.text.lower().startswith("select ") for sample in sampled)
        assert selects >= 0.9 * len(sampled)
