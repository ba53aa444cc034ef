"""Drivers for the command line's tests, loaded as anybody's would be from a file: ./fake_drivers.py:Words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Literal

from halo_core.drivers import Demo, LRPolicy, Verifier, driver
from halo_core.errors import DataError
from halo_core.testing import FakeGenerator, FakeTrainer, FakeVerifier
from halo_core.types import Prompt, Stage, Status, Verdict


@driver
class Skilled(FakeGenerator):
    """Answers right as often as the actor is skilled."""


@driver
class Adder(FakeTrainer):
    """Adds the rate to the skill."""


@driver
class Idle(FakeTrainer):
    """Reports a change that is none."""

    def train(self, samples, context):
        return super().train(samples, replace(context, lr=0.0))


@driver
class Words(FakeVerifier):
    """Believes what the completion says."""

    valid_label = "speaks"

    mode: Literal["plain", "strict"] = "plain"
    """How words are read."""
    needs_reference: bool = False
    """Whether a prompt must say what it is judged by."""
    missing_tool: bool = False
    """Pretend that the compiler is not there."""

    def preflight(self):
        from halo_core.errors import PluginError

        if self.missing_tool:
            raise PluginError("no C compiler: 'gcc' is not on PATH", hint="apt-get install gcc")

    def check_prompt(self, prompt):
        if self.needs_reference and not prompt.reference:
            raise DataError(f"prompt {prompt.id!r} has no tests", hint="give it a 'reference'")

    def demo(self):
        tasks = [Prompt(f"d{n}", f"demo task {n}") for n in range(12)]
        settings = {"cycles": 2, "samples_per_prompt": 6, "lr_policy": {"base_lr": 0.25, "decay": 0.5}}
        settings |= {"trainer": {"lora_rank": 4}}
        return Demo(tuple(tasks[:8]), tuple(tasks[8:]), Path(__file__).parent, settings)


@driver
class Undemonstrable(Words):
    """Has no demo."""

    def demo(self):
        return None


@driver
class Broken(Verifier):
    """Raises on everything."""

    def check(self, prompt, completion):
        raise RuntimeError("the judge fell over")


@driver
class Hopeless(Verifier):
    """Fails everything."""

    def check(self, prompt, completion):
        return Verdict(Status.FAIL, Stage.INVALID)


@driver
class Speechless(Verifier):
    """Forgets to answer."""

    def check(self, prompt, completion):
        return None


@driver
class Flat(LRPolicy):
    """A constant rate."""

    base_lr: float = 0.2
    """The rate."""

    def lr(self, *, cycle, cycles, history):
        return self.base_lr


@driver
class NotANumber(LRPolicy):
    """A rate that is none."""

    def lr(self, *, cycle, cycles, history):
        return float("nan")


@driver
class Silent(LRPolicy):
    """No rate at all."""

    def lr(self, *, cycle, cycles, history):
        return None


@driver
class Gullible(Words):
    """Pays for nothing at all."""

    def check(self, prompt, completion):
        nothing = not completion.text.strip()
        return Verdict(Status.PASS, Stage.CORRECT, 1.0) if nothing else super().check(prompt, completion)
