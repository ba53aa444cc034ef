"""No wrong answer gets further than an honest one of its kind."""

import time
from collections import Counter
from pathlib import Path

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_jsonschema import JSONSchema

ATTACKS = JSONSchema().attacks()
KILLED = {"a tree of choices", "a pattern with a look ahead that backtracks for ever"}


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_not_paid(attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    verifier = JSONSchema()
    verifier.check_prompt(attack.prompt)
    begun = time.process_time()
    verdict = verifier.check(attack.prompt, Completion("attack", 0, attack.text))
    assert (verdict.status, verdict.stage) == (Status.FAIL, attack.stage), verdict.detail
    assert verdict.score == 0.0
    assert attack.name in KILLED or time.process_time() - begun < 0.5
    assert not list(tmp_path.iterdir())


def test_attacks_are_many_and_of_every_kind() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 80
    reached = Counter(attack.stage for attack in ATTACKS)
    assert min(reached[stage] for stage in (Stage.INVALID, Stage.FLAWED, Stage.WRONG)) >= 15


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.prompt.reference.keys() & {"answer", "calls"}],
                         ids=lambda attack: attack.name)  # fmt: skip
def test_what_an_attack_is_made_from_passes(attack: Attack) -> None:
    verifier = JSONSchema()
    references = verifier.references(attack.prompt)
    assert references
    for text in references:
        verdict = verifier.check(attack.prompt, Completion("p", 0, text))
        assert verdict.status is Status.PASS, verdict.detail


def test_an_attack_by_its_prompts_text_is_none() -> None:
    prompt = Prompt("p", '{"a": 1}', reference={"schema": {"type": "object"}, "answer": {"a": 2}})
    assert JSONSchema().check(prompt, Completion("p", 0, prompt.text)).status is Status.FAIL
