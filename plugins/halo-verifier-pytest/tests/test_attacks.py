"""Every attack with every form of test: none scores better than an honest wrong answer."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Stage, Status, Verdict
from halo_verifier_pytest import Pytest, attacks

VERIFIER = Pytest(cpu_seconds=0.2, total_cpu_seconds=0.4, memory_mib=256, output_kib=256)
ATTACKS = VERIFIER.attacks()


def judge(attack: Attack) -> Verdict:
    return VERIFIER.check(attack.prompt, Completion(attack.prompt.id, 0, attack.text))


def test_collection_is_large_and_names_are_unique() -> None:
    assert len(attacks.cases()) >= 100
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS)
    assert {attack.prompt.id: 0 for attack in ATTACKS}.keys() == {prompt.id for prompt in attacks.PROMPTS}
    assert {case.name for case in attacks.cases()} >= attacks.FORGED
    text = Path(attacks.__file__).with_suffix(".md").read_text()
    assert text.count("\n### ") == len(attacks.cases())


@pytest.mark.parametrize("form", [prompt.id for prompt in attacks.PROMPTS])
def test_no_attack_exceeds_its_stage(form: str) -> None:
    chosen = [attack for attack in ATTACKS if attack.prompt.id == form]
    before = sorted(Path("/tmp").glob("halo-was-here")), sorted(Path.cwd().glob("conftest.py"))
    with ThreadPoolExecutor(4) as pool:
        verdicts = list(pool.map(judge, chosen))
    statuses = Counter(verdict.status for verdict in verdicts)
    leaks = [
        (attack.name, verdict.stage, verdict.detail)
        for attack, verdict in zip(chosen, verdicts, strict=True)
        if verdict.status in (Status.PASS, Status.ERROR) or verdict.stage.rank > attack.stage.rank
    ]
    assert not leaks
    assert statuses[Status.INCONCLUSIVE] <= 4
    assert before == (sorted(Path("/tmp").glob("halo-was-here")), sorted(Path.cwd().glob("conftest.py")))


@pytest.mark.parametrize("prompt", attacks.PROMPTS)
def test_correct_answer_to_the_same_prompt_passes(prompt: attacks.Prompt) -> None:
    verdict = VERIFIER.check(prompt, Completion(prompt.id, 0, "def add(a, b):\n    return a + b\n"))
    assert (verdict.status, verdict.stage) == (Status.PASS, Stage.CORRECT), verdict.detail
