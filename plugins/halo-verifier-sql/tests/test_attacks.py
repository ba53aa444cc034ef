"""The collection of attacks: none is paid, none gets further than it should, none leaves anything behind."""

from pathlib import Path

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Status
from halo_verifier_sql import SQL

VERIFIER = SQL(steps=5_000_000)
ATTACKS = VERIFIER.attacks()


def test_there_are_enough_of_them() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_not_paid(attack: Attack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    verdict = VERIFIER.check(attack.prompt, Completion(attack.prompt.id, 0, attack.text))
    assert verdict.status is Status.FAIL, verdict
    assert verdict.stage.rank <= attack.stage.rank, verdict
    assert verdict.detail
    assert list(tmp_path.iterdir()) == []


def test_references_pass_and_mutants_do_not() -> None:
    for prompt in {attack.prompt.id: attack.prompt for attack in ATTACKS}.values():
        right, wrong = VERIFIER.references(prompt), VERIFIER.mutants(prompt)
        assert len(right) == 2
        assert len(wrong) >= 2
        for text in right:
            assert VERIFIER.check(prompt, Completion("p", 0, text)).status is Status.PASS, text
        for text in wrong:
            assert VERIFIER.check(prompt, Completion("p", 0, text)).status is Status.FAIL, text
        assert VERIFIER.mutants(prompt) == wrong
