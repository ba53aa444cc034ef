"""The demo: its tasks, its programs, its mistakes and what ships."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halo_core.data import check_disjoint
from halo_core.demos import is_heldout
from halo_core.drivers import Demo
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_pytest import Pytest
from halo_verifier_pytest.demo.make import make_pairs, make_prompts, make_reference
from halo_verifier_pytest.demo.mistakes import KINDS, careless, spoil
from halo_verifier_pytest.demo.style import Pen
from halo_verifier_pytest.demo.tasks import Task, all_tasks, draw_arguments

TASKS = all_tasks()


@pytest.fixture(scope="module")
def demo() -> Demo:
    return Pytest().demo()


def judge(programs: list[tuple[Task, str]]) -> list[Verdict]:
    """Judge each program by fresh tests of its task."""
    rng = random.Random(1)
    prompts = [Prompt("p", "t", reference=make_reference(task, rng)) for task, _ in programs]
    completions = [Completion("p", 0, code) for _, code in programs]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(Pytest(cpu_seconds=0.5).check, prompts, completions))


# Tasks


def test_every_task_has_a_name_of_its_own() -> None:
    assert len({task.key for task in TASKS}) == len(TASKS) > 3000


def test_arguments_differ_and_so_do_the_answers() -> None:
    rng = random.Random(0)
    for task in rng.sample(TASKS, 200):
        arguments = draw_arguments(task, rng, 20)
        assert len({repr(argument) for argument in arguments}) == len(arguments) >= 8
        assert len({repr(task.answer(argument)) for argument in arguments}) >= 3, task.key


def test_programs_pass() -> None:
    rng = random.Random(0)
    programs = [(task, Pen(rng).program(task)) for task in rng.sample(TASKS, 80)]
    for (task, code), verdict in zip(programs, judge(programs), strict=True):
        assert verdict.status is Status.PASS, f"{task.key}\n{code}\n{verdict.detail}"


def test_tasks_have_many_correct_forms() -> None:
    rng = random.Random(0)
    forms = [len({Pen(rng).program(task) for _ in range(40)}) for task in rng.sample(TASKS, 60)]
    assert min(forms) >= 4
    assert sum(forms) / len(forms) >= 9


# Mistakes


@pytest.mark.parametrize(
    ("kind", "rung"), [("syntax", Stage.INVALID), ("crash", Stage.CRASHED), ("wrong", Stage.WRONG)]
)
def test_mistakes_do_what_they_are_for(kind: str, rung: Stage) -> None:
    rng = random.Random(0)
    right = [(task, Pen(rng).program(task)) for task in rng.sample(TASKS, 40)]
    spoilt = [(task, bad) for task, code in right if (bad := spoil(code, kind, rng)) != code]
    assert len(spoilt) >= 15
    reached = Counter(verdict.stage for verdict in judge(spoilt))
    assert reached[rung] >= 0.75 * len(spoilt), reached
    assert reached[Stage.CORRECT] <= 0.1 * len(spoilt), reached  # two spaces suit a body of one line


def test_mistakes_are_made_at_their_rates() -> None:
    rng = random.Random(0)
    codes = [Pen(rng).program(rng.choice(TASKS)) for _ in range(2000)]
    clean = sum(careless(code, rng) == code for code in codes) / len(codes)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.06)


# The corpus


def test_corpus_leaves_the_held_out_tasks_alone() -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    assert 0.2 < 1 - len(seen) / len(TASKS) < 0.3
    unseen = {task.key for task in TASKS if is_heldout(task)}
    prompts = [pair.prompt.removesuffix(".") for pair in make_pairs(seen, 2000, 0)]
    assert not any(prompt.endswith(f" {key}") for prompt in prompts for key in unseen)


def test_corpus_is_the_same_for_the_same_seed() -> None:
    assert make_pairs(TASKS, 50, 3) == make_pairs(TASKS, 50, 3)
    assert make_prompts(TASKS, 10, "x", 3) == make_prompts(TASKS, 10, "x", 3)


# What ships


def test_shipped_prompts_are_usable_and_disjoint(demo: Demo) -> None:
    verifier = Pytest()
    for prompt in (*demo.prompts, *demo.heldout):
        verifier.check_prompt(prompt)
        assert len(prompt.reference["tests"]) >= 5
        assert len(verifier.references(prompt)) == 1
    check_disjoint(demo.prompts, demo.heldout)
    assert len({prompt.id for prompt in (*demo.prompts, *demo.heldout)}) == len(demo.prompts) + len(
        demo.heldout
    )
    assert len({prompt.meta["family"] for prompt in demo.heldout}) == len({task.family for task in TASKS})


def test_shipped_references_pass_and_their_mutants_do_not(demo: Demo) -> None:
    verifier = Pytest()
    for prompt in (*demo.prompts[::16], *demo.heldout[::24]):
        for texts, status in (
            (verifier.references(prompt), Status.PASS),
            (verifier.mutants(prompt), Status.FAIL),
        ):
            for text in texts:
                assert verifier.check(prompt, Completion(prompt.id, 0, text)).status is status, text


def test_shipped_prompts_are_those_of_the_script(demo: Demo) -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    made = make_prompts(seen, len(demo.prompts), "train", 0)
    assert [prompt["prompt"] for prompt in made] == [prompt.text for prompt in demo.prompts]


def test_shipped_files_are_small(demo: Demo) -> None:
    files = [path for path in Path(demo.model).parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix != ".pyc") < 3_000_000


def test_shipped_model_writes_python(demo: Demo) -> None:
    torch = pytest.importorskip("torch")
    from halo_core.actor import Actor, ModelConfig

    actor = Actor(ModelConfig(name=str(demo.model), device="cpu"))
    assert sum(weight.numel() for weight in actor.model.parameters()) < 1_000_000
    ids = torch.tensor([actor.encode(demo.prompts[0])])
    with torch.inference_mode():
        written = actor.model.generate(ids, max_new_tokens=80, do_sample=False)
    text = actor.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    assert text.startswith("def f(")
    assert text.endswith("\n")
