"""The demo: its tasks, how its authors write, their mistakes, and what ships."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from halo_core.data import check_disjoint
from halo_core.demos import is_heldout
from halo_core.drivers import Demo
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_jsonschema import JSONSchema
from halo_verifier_jsonschema.demo.make import make_pairs, make_prompts
from halo_verifier_jsonschema.demo.style import RATES, careless, misspelt, write
from halo_verifier_jsonschema.demo.tasks import Task, all_tasks

TASKS = all_tasks()


@pytest.fixture(scope="module")
def demo() -> Demo:
    return JSONSchema().demo()


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
        for wording in task.wordings:
            answer = json.dumps(task.reference)
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


def test_corpus_leaves_the_held_out_tasks_alone() -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    unseen = {wording for task in TASKS if is_heldout(task) for wording in task.wordings}
    assert 0.2 < 1 - len(seen) / len(TASKS) < 0.3
    assert unseen.isdisjoint(pair.prompt for pair in make_pairs(seen, 3000, 0))


def test_corpus_is_the_same_for_the_same_seed() -> None:
    assert make_pairs(TASKS, 50, 3) == make_pairs(TASKS, 50, 3)
    assert make_prompts(TASKS, 20, "x", 3) == make_prompts(TASKS, 20, "x", 3)


# What ships


def test_shipped_prompts_are_usable_and_disjoint(demo: Demo) -> None:
    verifier = JSONSchema()
    prompts = (*demo.prompts, *demo.heldout)
    for prompt in prompts:
        verifier.check_prompt(prompt)
        for text in verifier.references(prompt):
            assert verifier.check(prompt, Completion("p", 0, text)).status is Status.PASS
        for text in verifier.mutants(prompt)[:20]:
            assert verifier.check(prompt, Completion("p", 0, text)).status is Status.FAIL
    check_disjoint(demo.prompts, demo.heldout)
    assert len({prompt.id for prompt in prompts}) == len(prompts) == 160
    assert len({prompt.meta["family"] for prompt in demo.heldout}) == 9


def test_shipped_prompts_are_those_of_the_script(demo: Demo) -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    made = make_prompts(seen, len(demo.prompts), "train", 0)
    assert [(row["prompt"], row["reference"]) for row in made] == [
        (p.text, p.reference) for p in demo.prompts
    ]


def test_shipped_files_are_small(demo: Demo) -> None:
    files = [path for path in Path(demo.model).parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix != ".pyc") < 3_000_000


def test_shipped_model_writes_json(demo: Demo) -> None:
    torch = pytest.importorskip("torch")
    from halo_core.actor import Actor, ModelConfig

    actor = Actor(ModelConfig(name=str(demo.model), device="cpu"))
    assert sum(weight.numel() for weight in actor.model.parameters()) < 1_000_000
    verifier, valid = JSONSchema(), 0
    for prompt in demo.prompts[:9]:
        ids = torch.tensor([actor.encode(prompt)])
        with torch.inference_mode():
            written = actor.model.generate(ids, max_new_tokens=96, do_sample=False)
        text = actor.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        valid += verifier.check(prompt, Completion("p", 0, text)).valid
    assert valid >= 5
