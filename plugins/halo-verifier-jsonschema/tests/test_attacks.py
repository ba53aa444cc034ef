"""Attacks: no crafted wrong answer reaches a higher stage than an honest mistake of its kind."""

from collections import Counter
from pathlib import Path

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_jsonschema import JSONSchema

ATTACKS = JSONSchema().attacks()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_rejected(attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verifier = JSONSchema()
    verifier.check_prompt(attack.prompt)
    verdict = verifier.check(attack.prompt, Completion("attack", 0, attack.text))
    assert (verdict.status, verdict.stage) == (Status.FAIL, attack.stage), verdict.detail
    assert verdict.score == 0.0
    assert not list(tmp_path.iterdir())


def test_attacks_cover_every_stage() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 80
    reached = Counter(attack.stage for attack in ATTACKS)
    assert min(reached[stage] for stage in (Stage.INVALID, Stage.FLAWED, Stage.WRONG)) >= 15


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.prompt.reference.keys() & {"answer", "calls"}],
                         ids=lambda attack: attack.name)  # fmt: skip
def test_references_of_attack_prompts_pass(attack: Attack) -> None:
    verifier = JSONSchema()
    references = verifier.references(attack.prompt)
    assert references
    for text in references:
        verdict = verifier.check(attack.prompt, Completion("p", 0, text))
        assert verdict.status is Status.PASS, verdict.detail


def test_echoing_the_prompt_fails() -> None:
    prompt = Prompt("p", '{"a": 1}', reference={"schema": {"type": "object"}, "answer": {"a": 2}})
    assert JSONSchema().check(prompt, Completion("p", 0, prompt.text)).status is Status.FAIL
