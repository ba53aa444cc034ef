"""Judging side by side, and leaving off."""

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


def test_an_interrupt_does_not_wait_for_what_has_not_begun() -> None:
    asked: list[str] = []
    go = threading.Event()

    @driver
    class Interrupted(FakeVerifier):
        """Is interrupted at the first text."""

        def check(self, prompt: Prompt, completion: Completion) -> Verdict:
            asked.append(completion.text)
            if completion.index == 0:
                raise KeyboardInterrupt
            go.wait(10)
            return super().check(prompt, completion)

    verifier = Interrupted()
    with ThreadPoolExecutor(2) as pool:
        with pytest.raises(KeyboardInterrupt):
            VerifierSet({"fake": verifier}).check_all([PROMPT] * 40, COMPLETIONS, pool)
        go.set()
    assert len(asked) <= 4
