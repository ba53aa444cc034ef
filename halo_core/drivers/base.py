"""The six things a run chooses by name, as interfaces. A plugin package subclasses one of them.

A driver is decorated with `@driver`, which makes it a frozen, keyword-only pydantic dataclass: its fields
are its options, their annotations parse the text of the command line, their docstrings are the help.

    @driver
    class Constant(LRPolicy):
        \"\"\"The same learning rate in every cycle.\"\"\"

        base_lr: float = 5e-5
        \"\"\"Peak learning rate of each cycle.\"\"\"

        def lr(self, *, cycle, cycles, history):
            return self.base_lr

Drivers hold options, never state: what a run learns lives in its directory and its actor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from halo_core.types import Completion, CycleReport, Prompt, Round, Sample, Stage, TrainStats, Verdict

if TYPE_CHECKING:
    from halo_core.model.actor import Actor


class Driver(ABC):  # noqa: B024 (what it has is optional)
    """What all six kinds have in common."""

    def preflight(self) -> None:
        """Check that what the driver needs from the machine is there.

        Called once before a run starts and by `halo plugins check`. Raises a `HaloError` whose hint says
        what to install. Must be quick, and must not import torch.
        """
        return


class Generator(Driver):
    """Samples completions."""

    @abstractmethod
    def generate(self, actor: Actor, round: Round) -> Iterator[Sequence[Completion]]:
        """Yield the round's completions in batches, as `Round` lays down.

        Every prompt gets exactly `samples_per_prompt` completions, with indices from 0; all completions
        of one prompt may be spread over batches. The order is the generator's own.
        """


@dataclass(frozen=True, slots=True)
class Demo:
    """What a domain ships so that a run needs no other argument than the verifier's name."""

    prompts: tuple[Prompt, ...]
    heldout: tuple[Prompt, ...]
    """Disjoint from `prompts`."""
    model: Path
    """Directory of a small Hugging Face model that belongs to the demo."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Configuration that suits the demo model, below the user's file and flags in precedence. An option
    that the chosen driver does not have is left out."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A wrong answer that was made to be paid for."""

    name: str
    """Says what is tried; unique among the attacks on one verifier."""
    prompt: Prompt
    text: str
    stage: Stage = Stage.WRONG
    """The furthest rung that an honest wrong answer of its kind reaches. To get further is to be paid."""


class Verifier(Driver):
    """Judges a completion by running a program."""

    valid_label: ClassVar[str] = "valid"
    """What getting past the first rung is called in tables: "compiles", "parses"."""

    @abstractmethod
    def check(self, prompt: Prompt, completion: Completion) -> Verdict:
        """Judge `completion`. Called from several threads at once.

        Must depend on the prompt and `completion.text` alone. Whatever the completion does is its
        verdict; `Status.ERROR` is for the verifier's own trouble. Raising is treated as `Status.ERROR`.
        """

    def check_prompt(self, prompt: Prompt) -> None:
        """Raise a `DataError` when `prompt` lacks, or garbles, what this verifier judges by.

        Called once for each prompt when the data is loaded.
        """
        return

    def references(self, prompt: Prompt) -> Sequence[str]:
        """Return completions of `prompt` that are known to be right. None unless its data holds any."""
        return ()

    def mutants(self, prompt: Prompt) -> Sequence[str]:
        """Return completions of `prompt` that are nearly right and should not pass; the same on each call.

        Made from what the prompt is judged by: a changed operator, a reference for other rows, a number off
        by one. `halo audit` reports those that pass: the prompt's checks are too few, or the verifier leaks.
        """
        return ()

    def attacks(self) -> Sequence[Attack]:
        """Return the verifier's own collection of answers that try to be paid without being right."""
        return ()

    def afresh(self) -> Verifier:
        """Return this verifier without its memory, should it have one: what an audit asks twice."""
        return self

    def fingerprint(self) -> str:
        """Return what a verdict depends on besides prompt and text: options, versions of tools.

        The version of the verifier's package, or of its file, is added by whoever loads it (`Judges`).
        Verdicts are reused only under an equal fingerprint.
        """
        return repr(self)

    def demo(self) -> Demo | None:
        """Return the domain's demo, or None when it ships none."""
        return None


class Reward(Driver):
    """Turns a verdict into a number."""

    @abstractmethod
    def reward(self, sample: Sample) -> float:
        """Return a finite reward for a sample whose verdict is pass or fail."""


class Selector(Driver):
    """Chooses what to train on."""

    @abstractmethod
    def select(self, samples: Sequence[Sample], *, seed: int) -> Sequence[Sample]:
        """Return the samples to train on, each with its `weight` set.

        `samples` all have a reward. `seed` breaks ties; the order of `samples` must not.
        """


class Trainer(Driver):
    """Changes the actor's weights."""

    @abstractmethod
    def train(self, actor: Actor, samples: Sequence[Sample], *, lr: float, seed: int) -> TrainStats:
        """Train `actor` in place on `samples`, with `lr` as the cycle's peak learning rate.

        The rate may vary within the cycle but never exceeds `lr`. After each step, `actor.progress` is told,
        and `actor.checkpoint` keeps where the training is, if they are there; see `halo_core.run.checkpoint`.
        Raises a `TrainingError` when the weights could not have changed, or are no longer finite.
        """


class LRPolicy(Driver):
    """Sets the learning rate of each cycle."""

    @abstractmethod
    def lr(self, *, cycle: int, cycles: int, history: Sequence[CycleReport]) -> float:
        """Return the peak learning rate for `cycle` (1 .. `cycles`), positive and finite.

        `history` holds the reports of cycles 0 .. cycle - 1; it is all the state there is, so a run that
        is resumed goes on as if it had never stopped. Must be callable with an empty history (dry runs).
        """
