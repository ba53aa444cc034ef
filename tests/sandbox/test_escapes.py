"""Every attempt in `escapes/attempts.py` fails in every tier, both as the current user and as an ordinary user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from halo_core.sandbox import doctor

HERE = Path(__file__).parent / "escapes"
ORDINARY = 12345
USERS = ["self", "ordinary"] if os.getuid() == 0 else ["self"]
"""Only root can become another user, and another user is an ordinary one anyway."""


def run_campaign(user: str, *tiers: str) -> dict[str, Any]:
    command = [str(HERE / "campaign.py"), *tiers]
    if user == "ordinary":
        command = [str(HERE / "as_user.py"), str(ORDINARY), *command]
    process = subprocess.run(
        [sys.executable, *command],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def available(*tiers: str) -> list[str]:
    held = {row.check for row in doctor() if row.holds}
    return [tier for tier in tiers if "tier " + tier.partition("@")[0].partition("+")[0] in held]


@pytest.mark.parametrize("user", USERS)
def test_all_attempts_fail_confined_and_most_succeed_in_a_plain_subprocess(user: str) -> None:
    tiers = available("standard", "strong", "standard@1", "strong+compiler")
    if not tiers:
        pytest.skip("needs tier standard or strong")
    result = run_campaign(user, "plain", *tiers)
    plain = result["escaped"].pop("plain")
    assert result["escaped"] == {tier: [] for tier in tiers}
    assert result["attempts"] >= 80
    assert len(plain) >= 0.75 * result["attempts"]
    assert result["uid"] == (ORDINARY if user == "ordinary" else os.getuid())


@pytest.mark.slow
@pytest.mark.parametrize("user", USERS)
def test_all_attempts_fail_on_older_kernels_and_with_a_compilers_rights(user: str) -> None:
    tiers = available("standard@2", "standard@3", "standard@5", "standard+compiler", "strong@1+compiler")
    result = run_campaign(user, *tiers)
    assert result["escaped"] == {tier: [] for tier in tiers}
