"""Tests that wait for a program to reach its limit of CPU time, on a machine that is busy with other work."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from halo_core.types import Status, Verdict


def decided(judge: Callable[[], Verdict], *, attempts: int = 5) -> Verdict:
    """Return the verdict of `judge`, which is called again while other load makes it inconclusive.

    A test is skipped only if all attempts are.
    """
    for _ in range(attempts):
        verdict = judge()
        if verdict.status is not Status.INCONCLUSIVE:
            return verdict
    pytest.skip(f"the machine is too busy: {attempts} attempts gave no verdict")
