"""The demo: its questions, its queries, its mistakes and what ships."""

import random
from collections import Counter
from pathlib import Path

import pytest

from halo_core.data import check_disjoint
from halo_core.demos import is_heldout
from halo_core.drivers import Demo
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_sql import SQL
from halo_verifier_sql.demo.make import make_pairs, make_prompts, reference_of
from halo_verifier_sql.demo.mistakes import KINDS, careless, spoil
from halo_verifier_sql.demo.style import Pen
from halo_verifier_sql.demo.tasks import Query, all_tasks, phrase

TASKS = all_tasks()
VERIFIER = SQL()


@pytest.fixture(scope="module")
def demo() -> Demo:
    demo = VERIFIER.demo()
    assert demo is not None
    return demo


def prompt_of(task: Query) -> Prompt:
    return Prompt(task.key, "t", reference=reference_of(task))


# Tasks


def test_every_task_has_a_name_of_its_own() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS) > 3000


def test_every_form_of_a_task_passes() -> None:
    rng = random.Random(0)
    forms = []
    for task in rng.sample(TASKS, 60):
        prompt = prompt_of(task)
        written = {Pen(rng).write(task) for _ in range(20)}
        forms.append(len(written))
        for text in written:
            verdict = VERIFIER.check(prompt, Completion("p", 0, text))
            assert verdict.status is Status.PASS, f"{task.key}\n{text}\n{verdict.detail}"
    assert sum(forms) / len(forms) > 8


# Mistakes


@pytest.mark.parametrize(("kind", "rung"), [("syntax", Stage.INVALID), ("wrong", Stage.WRONG)])
def test_mistakes_do_what_they_are_for(kind: str, rung: Stage) -> None:
    rng = random.Random(0)
    reached: Counter[Stage] = Counter()
    for task in rng.sample(TASKS, 60):
        right = Pen(rng).write(task)
        spoilt = spoil(right, kind, rng)
        assert spoilt != right
        reached[VERIFIER.check(prompt_of(task), Completion("p", 0, spoilt)).stage] += 1
    assert reached[rung] >= 54
    assert reached[Stage.CORRECT] <= 2


def test_mistakes_are_made_at_their_rates() -> None:
    rng = random.Random(0)
    queries = [Pen(rng).write(rng.choice(TASKS)) for _ in range(2000)]
    clean = sum(careless(query, rng) == query for query in queries) / len(queries)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.04)


# The corpus


def test_corpus_leaves_the_held_out_tasks_alone() -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    unseen = {phrase(task, random.Random(n)) for task in TASKS if is_heldout(task) for n in range(20)}
    assert 0.15 < 1 - len(seen) / len(TASKS) < 0.35
    assert unseen.isdisjoint(pair.prompt for pair in make_pairs(seen, 3000, 0))
    assert {task.family for task in TASKS if is_heldout(task)} == {task.family for task in TASKS}


def test_corpus_is_the_same_for_the_same_seed() -> None:
    assert make_pairs(TASKS, 50, 3) == make_pairs(TASKS, 50, 3)
    assert make_prompts(TASKS, 10, "x", 3) == make_prompts(TASKS, 10, "x", 3)


# What ships


def test_shipped_prompts_are_usable_and_disjoint(demo: Demo) -> None:
    prompts = (*demo.prompts, *demo.heldout)
    for prompt in prompts:
        VERIFIER.check_prompt(prompt)
        assert len({gold.text for gold in VERIFIER._task(prompt).golds}) > 1
    check_disjoint(demo.prompts, demo.heldout)
    assert len({prompt.id for prompt in prompts}) == len(prompts)
    assert {prompt.meta["family"] for prompt in demo.heldout} == {task.family for task in TASKS}


def test_references_of_what_ships_pass_and_mutants_do_not(demo: Demo) -> None:
    for prompt in demo.heldout[:30]:
        for text in VERIFIER.references(prompt):
            assert VERIFIER.check(prompt, Completion("p", 0, text)).status is Status.PASS
        for text in VERIFIER.mutants(prompt):
            assert VERIFIER.check(prompt, Completion("p", 0, text)).status is Status.FAIL, (prompt.text, text)


def test_shipped_prompts_are_those_of_the_script(demo: Demo) -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    texts = {prompt["prompt"] for prompt in make_prompts(seen, len(demo.prompts), "train", 0)}
    assert texts == {prompt.text for prompt in demo.prompts}


def test_shipped_files_are_small(demo: Demo) -> None:
    files = [path for path in Path(demo.model).parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix != ".pyc") < 3_000_000


def test_shipped_model_writes_sql(demo: Demo) -> None:
    torch = pytest.importorskip("torch")
    from halo_core.actor import Actor, ModelConfig

    actor = Actor(ModelConfig(name=str(demo.model), device="cpu"))
    assert sum(weight.numel() for weight in actor.model.parameters()) < 1_000_000
    ids = torch.tensor([actor.encode(demo.prompts[0])])
    with torch.inference_mode():
        written = actor.model.generate(ids, max_new_tokens=64, do_sample=False)
    text = actor.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    assert text.lower().startswith("select ")
