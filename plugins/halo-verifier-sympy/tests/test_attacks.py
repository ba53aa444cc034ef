"""Attacks and mutants are rejected without exceptions or executed code."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Status
from halo_verifier_sympy import Sympy
from halo_verifier_sympy.attacks import ATTACKS

LINES = Path(__file__).with_name("pairs.txt").read_text(encoding="utf-8").splitlines()


def _verdict(attack: Attack) -> Any:
    return Sympy().check(attack.prompt, Completion(attack.prompt.id, 0, attack.text))


def test_there_are_at_least_80_attacks_with_unique_names() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 80


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_stays_within_its_rung(attack: Attack) -> None:
    Sympy().check_prompt(attack.prompt)
    verdict = _verdict(attack)
    assert verdict.status is Status.FAIL, verdict.detail
    assert verdict.stage.rank <= attack.stage.rank, verdict.detail
    assert verdict.wall_seconds < 60


def test_attacks_create_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for attack in ATTACKS:
        _verdict(attack)
    assert not list(tmp_path.iterdir())


def test_attacks_fail_with_other_options() -> None:
    for options in ({"where": "box"}, {"thousands": True}, {"cpu_seconds": 1.0}):
        verifier = Sympy(**options)
        for attack in ATTACKS:
            verdict = verifier.check(attack.prompt, Completion("p", 0, attack.text))
            assert verdict.status is Status.FAIL or "thousand" in attack.name, attack.name


def _prompts() -> list[tuple[Sympy, Prompt]]:
    rows = []
    for line in LINES:
        if line and not line.startswith("#"):
            gold, _, _, *rest = line.split(" ;; ")
            extra = json.loads(rest[0]) if rest else {}
            verifier = Sympy(thousands=extra.pop("thousands", False))
            rows.append((verifier, Prompt("p", "task", reference={"answer": gold, **extra})))
    return rows


def test_references_pass_and_mutants_fail() -> None:
    count = 0
    for verifier, prompt in _prompts()[::2]:
        for text in verifier.references(prompt):
            assert verifier.check(prompt, Completion("p", 0, text)).status is Status.PASS, text
        mutants = verifier.mutants(prompt)
        assert mutants == verifier.mutants(prompt)
        count += len(mutants)
        for text in mutants:
            assert verifier.check(prompt, Completion("p", 0, text)).status is Status.FAIL, (
                prompt.reference,
                text,
            )
    assert count > 900


@pytest.mark.parametrize(
    ("gold", "expected"),
    [
        ("7", {"8", "6", "-7", r"\frac{1}{7}", "(7, 7)"}),
        (r"\frac{2}{3}", {r"\frac{3}{2}", r"-\frac{2}{3}"}),
        ("(1, 2)", {"(2, 1)", "(1, 3)", r"\{1, 2\}", "(1, 2, 9973)"}),
        ("[0, 1)", {"[0, 1]", "(0, 1)"}),
        ("x > 2", {"x < 2", r"x \ge 2"}),
    ],
)
def test_mutants_contain_expected_near_misses(gold: str, expected: set[str]) -> None:
    found = Sympy().mutants(Prompt("p", "task", reference={"answer": gold}))
    boxes = {re.sub(r"^\\boxed\{(.*)\}$", r"\1", text) for text in found}
    assert expected & boxes, boxes
    missing = {text for text in expected if text not in boxes and text != r"\frac{3}{2}"}
    assert not missing, boxes


def test_mutants_are_outside_the_tolerance() -> None:
    prompt = Prompt("p", "task", reference={"answer": "100", "atol": 50})
    texts = Sympy().mutants(prompt)
    assert texts
    assert r"\boxed{101}" not in texts
