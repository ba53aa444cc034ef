"""Parallel verification and interruption."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from halo_core.drivers import driver
from halo_core.testing import FakeVerifier
from halo_core.types import Completion, Prompt, Verdict
from halo_core.verification.verifiers import VerifierSet

PROMPT = Prompt("p", "task")
COMPLETIONS = [Completion("p", index, f"right {index}") for index in range(40)]


def test_an_interrupt_does_not_wait_for_pieces_that_have_not_started() -> None:
    verified: list[str] = []
    release = threading.Event()

    @driver
    class Interrupted(FakeVerifier):
        """Raises KeyboardInterrupt at the first completion."""

        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            verified.append(completion.text)
            if completion.index == 0:
                raise KeyboardInterrupt
            release.wait(100)
            return super().check(prompt, completion)

    verifier = Interrupted()
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            VerifierSet({"fake": verifier}).check_all([PROMPT] * 40, COMPLETIONS, pool)
        release.set()
    assert len(verified) <= 4
