"""The collection of attacks: none gets further than an honest wrong answer of the same kind."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from busy import decided

from halo_core import sandbox
from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Stage, Status
from halo_verifier_rust import Rust

ATTACKS = Rust().attacks()
COMPILERS = ["rustc", "/usr/bin/rustc"] if shutil.which("/usr/bin/rustc") else ["rustc"]
"""The first one found, possibly one of rustup, and the one of the system."""


@pytest.fixture(scope="module")
def verifier() -> Rust:
    return Rust(cpu_seconds=0.5, compile_cpu_seconds=4.0)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_not_accepted(
    verifier: Rust, attack: Attack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    verifier.check_prompt(attack.prompt)
    completion = Completion(attack.prompt.id, 0, attack.text)
    verdict = decided(lambda: verifier.check(attack.prompt, completion))
    assert verdict.status is Status.FAIL
    in_assembly = "in assembly" in attack.name and verdict.stage is Stage.INVALID  # before Rust 1.84
    assert verdict.stage is attack.stage or in_assembly, verdict.detail
    assert not list(tmp_path.iterdir())


def test_collection_is_large_and_diverse() -> None:
    assert len(ATTACKS) == len({attack.name for attack in ATTACKS}) >= 80
    assert {attack.stage for attack in ATTACKS} == set(Stage) - {Stage.CORRECT}


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("tier", ["standard", "strong"])
def test_programs_are_compiled_in_each_tier(
    compiler: str, tier: sandbox.Mode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A compiler of rustup and one of the system are in different kinds of directories."""
    if f"tier {tier}" not in {row.check for row in sandbox.doctor() if row.holds}:
        pytest.skip(f"tier {tier} is not available")
    with sandbox.start(tier) as box:
        monkeypatch.setattr(sandbox, "get", lambda: box)
        verifier = Rust(compiler=compiler)
        verifier.preflight()
        assert verifier.tools().startswith("rustc 1.")
        prompt = Prompt("one", "Print 1.", reference={"tests": [{"stdout": "1"}]})
        verdict = verifier.check(prompt, Completion("one", 0, 'fn main() { println!("1"); }'))
        assert (verdict.status, verdict.sandbox) == (Status.PASS, tier), verdict.detail
