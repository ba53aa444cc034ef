"""The demo: its tasks, its answers, its mistakes and what ships."""

import random
from collections import Counter
from pathlib import Path

import pytest

from halo_core.data import check_disjoint
from halo_core.drivers import Demo
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sympy import Sympy
from halo_verifier_sympy.demo.make import is_heldout, make_pairs, make_prompts
from halo_verifier_sympy.demo.mistakes import KINDS, careless, spoil
from halo_verifier_sympy.demo.tasks import FAMILIES, Task, draw, phrase, solution


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Sympy().demo()


def judge(task: Task, text: str) -> Verdict:
    return Sympy().check(Prompt("p", "task", reference=task.reference), Completion("p", 0, text))


def tasks(count: int, seed: int = 0) -> list[Task]:
    rng = random.Random(seed)
    return [draw(family, rng) for family in FAMILIES for _ in range(count)]


def test_every_solution_is_right() -> None:
    rng = random.Random(0)
    for task in tasks(40):
        text = solution(task, rng)
        assert judge(task, text).status is Status.PASS, (task.key, text)


def test_the_question_is_no_answer() -> None:
    for task in tasks(30):
        for copied in (task.question, task.working):
            assert judge(task, rf"\boxed{{{copied}}}").status is Status.FAIL, (task.key, copied)


def test_tasks_have_many_correct_forms() -> None:
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
def test_mistakes_do_what_they_are_for(kind: str, rungs: set[Stage]) -> None:
    rng = random.Random(0)
    reached = Counter(judge(task, spoil(solution(task, rng), kind, rng)).stage for task in tasks(15))
    assert sum(reached[rung] for rung in rungs) >= 0.9 * sum(reached.values())
    assert reached[Stage.CORRECT] <= (0 if kind == "unreadable" else 0.07 * sum(reached.values()))


def test_mistakes_are_made_at_their_rates() -> None:
    rng = random.Random(0)
    texts = [solution(task, rng) for task in tasks(250)]
    clean = sum(careless(text, rng) == text for text in texts) / len(texts)
    assert clean == pytest.approx(1 - sum(rate for _, rate in KINDS.values()), abs=0.04)


def test_corpus_leaves_the_held_out_tasks_alone() -> None:
    drawn = tasks(60)
    share = sum(map(is_heldout, drawn)) / len(drawn)
    assert 0.15 < share < 0.35
    unseen = {phrase(task, random.Random(n)) for task in drawn if is_heldout(task) for n in range(20)}
    assert unseen.isdisjoint(pair.prompt for pair in make_pairs(2000, 0))


def test_corpus_is_the_same_for_the_same_seed() -> None:
    assert make_pairs(50, 3) == make_pairs(50, 3)
    assert make_prompts(20, "x", 3, heldout=True) == make_prompts(20, "x", 3, heldout=True)


def test_shipped_prompts_are_usable_and_disjoint(demo: Demo) -> None:
    verifier = Sympy()
    for prompt in (*demo.prompts, *demo.heldout):
        verifier.check_prompt(prompt)
        for text in verifier.references(prompt):
            assert verifier.check(prompt, Completion(prompt.id, 0, text)).status is Status.PASS
        mutants = verifier.mutants(prompt)
        assert len(mutants) >= 3
        for text in mutants:
            assert verifier.check(prompt, Completion(prompt.id, 0, text)).status is Status.FAIL, (
                prompt,
                text,
            )
    check_disjoint(demo.prompts, demo.heldout)
    assert {prompt.meta["family"] for prompt in demo.heldout} == set(FAMILIES)


def test_shipped_prompts_are_those_of_the_script(demo: Demo) -> None:
    made = make_prompts(len(demo.prompts), "train", 0, heldout=False)
    assert [row["prompt"] for row in made] == [prompt.text for prompt in demo.prompts]
    made = make_prompts(len(demo.heldout), "heldout", 0, heldout=True)
    assert [row["prompt"] for row in made] == [prompt.text for prompt in demo.heldout]


def test_shipped_files_are_small(demo: Demo) -> None:
    files = [path for path in Path(demo.model).parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix != ".pyc") < 3_000_000


def test_shipped_model_boxes_its_answer(demo: Demo) -> None:
    torch = pytest.importorskip("torch")
    from halo_core.actor import Actor, ModelConfig

    actor = Actor(ModelConfig(name=str(demo.model), device="cpu"))
    assert sum(weight.numel() for weight in actor.model.parameters()) < 1_000_000
    ids = torch.tensor([actor.encode(demo.prompts[0])])
    with torch.inference_mode():
        written = actor.model.generate(ids, max_new_tokens=64, do_sample=False)
    text = actor.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    assert r"\boxed{" in text
    assert len(written[0]) - ids.shape[1] < 64
