"""The collection of attacks: none gets further than an honest wrong answer of the same kind."""

from collections import Counter
from pathlib import Path

import pytest
from busy import decided

from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Status
from halo_verifier_gcc import GCC

ATTACKS = GCC().attacks()
RIGHT = {
    "attack-sum": '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); printf("%d", a + b); }',
    "attack-add": "int add(int a, int b) { return a + b; }",
    "attack-total": "#include <vector>\n"
    "int total(const std::vector<int>& v) { int s = 0; for (int x : v) s += x; return s; }",
    "attack-c-only": '#include <stdio.h>\nint main(void) { int a, b; scanf("%d %d", &a, &b); printf("%d", a + b); }',
    "attack-no-sort": '#include <stdio.h>\nint main(void) { int n, m, x, least = -9; scanf("%d", &n); int a[9]; '
    'for (int i = 0; i < n; i++) scanf("%d", a + i); for (m = n; m--; least = x, printf("%d ", x)) { x = 99; '
    "for (int i = 0; i < n; i++) if (a[i] > least && a[i] < x) x = a[i]; } }",
    "attack-no-loop": '#include <stdio.h>\nint main(void) { int n; scanf("%d", &n); printf("%d", n * (n + 1) / 2); }',
}


@pytest.fixture(scope="module")
def verifier() -> GCC:
    return GCC(cpu_seconds=0.3, compile_cpu_seconds=1.0)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_not_accepted(
    verifier: GCC, attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verifier.check_prompt(attack.prompt)
    completion = Completion(attack.prompt.id, 0, attack.text)
    verdict = decided(lambda: verifier.check(attack.prompt, completion))
    assert verdict.status is Status.FAIL
    assert verdict.stage is attack.stage, verdict.detail
    assert not list(tmp_path.iterdir())


def test_prompts_of_attacks_can_be_solved(verifier: GCC) -> None:
    prompts: dict[str, Prompt] = {attack.prompt.id: attack.prompt for attack in ATTACKS}
    for name, text in RIGHT.items():
        verdict = verifier.check(prompts[name], Completion(name, 0, text))
        assert verdict.status is Status.PASS, verdict.detail


def test_collection_is_large_and_diverse() -> None:
    assert len(ATTACKS) == len({attack.name for attack in ATTACKS}) >= 150
    assert min(Counter(attack.prompt.id for attack in ATTACKS).values()) >= 3
    assert sum("include <iostream>" in attack.text or "<vector>" in attack.text for attack in ATTACKS) >= 7
