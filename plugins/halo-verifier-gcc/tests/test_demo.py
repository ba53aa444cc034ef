"""The demo: its tasks, its programs, its mistakes and what ships."""

import random
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halo_core.data import check_disjoint
from halo_core.demos import is_heldout
from halo_core.drivers import Demo
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_gcc import GCC
from halo_verifier_gcc.demo.families import all_tasks
from halo_verifier_gcc.demo.make import make_pairs, make_prompts
from halo_verifier_gcc.demo.mistakes import KINDS, careless, spoil
from halo_verifier_gcc.demo.style import Pen
from halo_verifier_gcc.demo.tasks import Task, draw_tests, phrase

TASKS = all_tasks()


@pytest.fixture(scope="module")
def demo() -> Demo:
    return GCC().demo()


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
        (task, task.write(Pen(rng))) for family in by_family.values() for task in rng.sample(family, 7)
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
    right = [(task, task.write(Pen(rng))) for task in rng.sample(TASKS, 30)]
    verdicts = judge([(task, spoil(code, "warning", rng)) for task, code in right])
    assert sum(verdict.warnings > 0 for verdict in verdicts) >= 27


def test_mistakes_are_made_at_their_rates() -> None:
    rng = random.Random(0)
    codes = [rng.choice(TASKS).write(Pen(rng)) for _ in range(2000)]
    clean = sum(careless(code, rng) == code for code in codes) / len(codes)
    expected = 1.0
    for _, rate in KINDS.values():
        expected *= 1 - rate
    assert clean == pytest.approx(expected, abs=0.06)


# The corpus


def test_corpus_leaves_the_held_out_tasks_alone() -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    unseen = {phrase(task, random.Random(n)) for task in TASKS if is_heldout(task) for n in range(40)}
    assert 0.15 < 1 - len(seen) / len(TASKS) < 0.35
    assert unseen.isdisjoint(pair.prompt for pair in make_pairs(seen, 3000, 0))
    assert {task.family for task in TASKS if is_heldout(task)} == {task.family for task in TASKS}


def test_corpus_is_the_same_for_the_same_seed() -> None:
    assert make_pairs(TASKS, 50, 3) == make_pairs(TASKS, 50, 3)
    assert make_prompts(TASKS, 20, "x", 3) == make_prompts(TASKS, 20, "x", 3)


# What ships


def test_shipped_prompts_are_usable_and_disjoint(demo: Demo) -> None:
    verifier = GCC()
    for prompt in (*demo.prompts, *demo.heldout):
        verifier.check_prompt(prompt)
        assert len(prompt.reference["tests"]) >= 3
        assert len({test["stdout"] for test in prompt.reference["tests"]}) > 1
    check_disjoint(demo.prompts, demo.heldout)
    assert len({prompt.id for prompt in (*demo.prompts, *demo.heldout)}) == len(demo.prompts) + len(
        demo.heldout
    )
    assert len({prompt.meta["family"] for prompt in demo.heldout}) == 14


def test_shipped_prompts_are_those_of_the_script(demo: Demo) -> None:
    seen = [task for task in TASKS if not is_heldout(task)]
    texts = {prompt["prompt"] for prompt in make_prompts(seen, len(demo.prompts), "train", 0)}
    assert texts == {prompt.text for prompt in demo.prompts}


def test_shipped_prompts_have_solutions_that_pass(demo: Demo) -> None:
    verifier = GCC()
    for prompt in (*demo.prompts[::8], *demo.heldout[::12]):
        (solution,) = verifier.references(prompt)
        verdict = verifier.check(prompt, Completion(prompt.id, 0, solution))
        assert (verdict.status, verdict.warnings) == (Status.PASS, 0), prompt.text


def test_shipped_tests_tell_what_is_nearly_right(demo: Demo) -> None:
    verifier = GCC(cpu_seconds=0.3)
    tried = [(prompt, text) for prompt in demo.heldout[::8] for text in verifier.mutants(prompt)]
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(lambda job: verifier.check(job[0], Completion("p", 0, job[1])), tried))
    assert len(tried) >= 60
    assert sum(verdict.status is Status.PASS for verdict in verdicts) <= 0.03 * len(tried)


def test_shipped_files_are_small(demo: Demo) -> None:
    files = [path for path in Path(demo.model).parent.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files if path.suffix != ".pyc") < 3_000_000


def test_shipped_model_writes_c(demo: Demo) -> None:
    torch = pytest.importorskip("torch")
    from halo_core.actor import Actor, ModelConfig

    actor = Actor(ModelConfig(name=str(demo.model), device="cpu"))
    assert actor.model.dtype is torch.float32
    assert sum(weight.numel() for weight in actor.model.parameters()) < 1_000_000
    ids = torch.tensor([actor.encode(demo.prompts[0])])
    with torch.inference_mode():
        written = actor.model.generate(ids, max_new_tokens=96, do_sample=False)
    text = actor.tokenizer.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
    assert text.startswith("#include <stdio.h>\nint main(")
    assert text.endswith("}\n")
