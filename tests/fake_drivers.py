"""Drivers for the tests of the command line, loaded from a file like a user's: ./fake_drivers.py:Words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from halo_core.drivers import Demo, LRPolicy, Verifier, driver
from halo_core.errors import DataError
from halo_core.model.contexts import TrainingContext
from halo_core.testing import FakeGenerator, FakeTrainer, FakeVerifier
from halo_core.types import Completion, CycleReport, Prompt, Sample, Stage, Status, TrainStats, Verdict


@driver
class Skilled(FakeGenerator):
    """Answers "right" with the actor's skill as the probability."""


@driver
class Adder(FakeTrainer):
    """Adds the learning rate to the skill."""


@driver
class Idle(FakeTrainer):
    """Changes nothing."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        return super().train(samples, replace(context, lr=0.0))


@driver
class Words(FakeVerifier):
    """Derives the verdict from the completion's first word."""

    valid_label = "speaks"

    mode: Literal["plain", "strict"] = "plain"
    """Has no effect, but is part of the fingerprint."""
    needs_reference: bool = False
    """Reject prompts without a reference."""
    missing_tool: bool = False
    """Pretend that the compiler is missing."""

    def preflight(self) -> None:
        from halo_core.errors import PluginError

        if self.missing_tool:
            raise PluginError("no C compiler: 'gcc' is not on PATH", hint="apt-get install gcc")

    def check_prompt(self, prompt: Prompt) -> None:
        if self.needs_reference and not prompt.reference:
            raise DataError(f"prompt {prompt.id!r} has no tests", hint="give it a 'reference'")

    def demo(self) -> Demo | None:
        tasks = [Prompt(f"d{n}", f"demo task {n}") for n in range(12)]
        settings = {"cycles": 2, "samples_per_prompt": 6, "lr_policy": {"base_lr": 0.25, "decay": 0.5}}
        settings |= {"trainer": {"lora_rank": 4}}
        return Demo(tuple(tasks[:8]), tuple(tasks[8:]), Path(__file__).parent, settings)


@driver
class Undemonstrable(Words):
    """Has no demo."""

    def demo(self) -> None:
        return None


@driver
class Broken(Verifier):
    """Raises on everything."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        raise RuntimeError("the verifier crashed")


@driver
class Hopeless(Verifier):
    """Fails everything."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return Verdict(Status.FAIL, Stage.INVALID)


@driver
class Speechless(Verifier):
    """Returns no verdict."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        return None  # type: ignore[return-value]


@driver
class Flat(LRPolicy):
    """A constant learning rate."""

    base_lr: float = 0.2
    """Learning rate of every cycle."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        return self.base_lr


@driver
class NotANumber(LRPolicy):
    """Returns NaN as the learning rate."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        return float("nan")


@driver
class Silent(LRPolicy):
    """Returns no learning rate."""

    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        return None  # type: ignore[return-value]


@driver
class Gullible(Words):
    """Accepts empty completions."""

    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        empty = not completion.text.strip()
        return Verdict(Status.PASS, Stage.CORRECT, 1.0) if empty else super().check(prompt, completion)
