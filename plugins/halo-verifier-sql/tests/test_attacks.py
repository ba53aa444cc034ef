"""The attacks: all are rejected, at their stage or below, and leave no files behind."""

from collections.abc import Callable

import pytest

from halo_core.drivers import Attack
from halo_core.types import Status, Verdict
from halo_verifier_sql import SQL

VERIFIER = SQL(steps=5_000_000)
ATTACKS = VERIFIER.attacks()


def test_there_are_enough_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_rejected(attack: Attack, check_attack: Callable[[SQL, Attack], Verdict]) -> None:
    verdict = check_attack(VERIFIER, attack)
    assert verdict.status is Status.FAIL, verdict
    assert verdict.detail


def test_references_pass_and_mutants_do_not(check_references_and_mutants: Callable[[SQL], None]) -> None:
    check_references_and_mutants(VERIFIER)
    for prompt in {attack.prompt.id: attack.prompt for attack in ATTACKS}.values():
        assert len(VERIFIER.references(prompt)) == 2
        assert len(VERIFIER.mutants(prompt)) >= 2
        assert VERIFIER.mutants(prompt) == VERIFIER.mutants(prompt)
