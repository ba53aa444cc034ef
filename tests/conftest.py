"""Fixtures of the core's tests: factories of samples, fake distributions, and the command line in this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import CommandResult, halo, install

from halo_core.types import Completion, FinishReason, Prompt, Sample, Stage, Status, Verdict

__all__ = ["CommandResult", "halo", "install"]
DRIVERS = Path(__file__).with_name("fake_drivers.py")


@pytest.fixture(scope="session", autouse=True)
def no_sync() -> Iterator[None]:
    """Skip fsync, which only tests of power cuts need."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(autouse=True)
def missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add a package of halo that is never installed, so that tests can observe the error about it."""
    from halo_core.config.kinds import PACKAGES

    monkeypatch.setitem(PACKAGES, ("verifier", "lean"), "halo-verifier-lean")


@pytest.fixture
def make_sample() -> Callable[..., Sample]:
    """Return a factory of samples with defaults for every field."""

    def make(
        prompt: str = "p",
        index: int = 0,
        *,
        reward: float | None = 1.0,
        text: str = "",
        ids: tuple[int, ...] | None = None,
        finish: FinishReason = "stop",
        status: Status = Status.PASS,
        stage: Stage = Stage.CORRECT,
        warnings: int = 0,
        score: float = 1.0,
        weight: float = 1.0,
    ) -> Sample:
        text = text or f"{prompt}/{index}"
        token_ids = tuple(text.encode()) if ids is None else ids
        completion = Completion(prompt, index, text, (1,), token_ids, finish)
        verdict = Verdict(status, stage, score, warnings)
        return Sample(Prompt(prompt, f"task {prompt}"), completion, verdict, reward, weight)

    return make


@pytest.fixture(scope="session")
def fakes() -> list[str]:
    """Return flags that select drivers of `fake_drivers.py`, so that torch is not needed."""
    kinds = {"verifier": "Words", "generator": "Skilled", "trainer": "Adder", "lr-policy": "Flat"}
    return [text for kind, name in kinds.items() for text in (f"--{kind}", f"{DRIVERS}:{name}")]
