"""Contexts: a driver's arguments besides its data. They can gain fields without breaking any driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from halo_core.model.actor import Actor


class Checkpoint(Protocol):
    """Storage for the progress of one cycle's training, so that a kill loses only a minute of it.

    A slow trainer uses it before its first step and after each step.

        if context.checkpoint and (directory := context.checkpoint.load(inputs_hash)):
            restore_from(directory)
        for step in ...:
            ...
            if context.checkpoint and context.checkpoint.due:
                context.checkpoint.save(inputs_hash, write)  # write(directory)

    `inputs_hash` covers everything that the result depends on: examples, options, learning rate, seed, weights.
    """

    def load(self, inputs_hash: str) -> Path | None:
        """Return the directory last saved under `inputs_hash`; None: start from the beginning."""

    @property
    def due(self) -> bool:
        """True if a checkpoint should be saved now."""

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        """Call `write` with an empty directory and store the files that it writes, replacing the last checkpoint.

        The files are on disk when this returns; a kill before that leaves the last checkpoint in place.
        """


def ignore_step(done: int, total: int, loss: float) -> None:
    """Ignore the progress of a training; the default."""


def _continue() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """The weights to sample with. Two are equal exactly if they are the same weights."""

    directory: Path | None = None
    """Absolute path of the weights, as `Actor.save` wrote them; None: the run's model before training, which
    `Actor.config` names, with its adapter if it has one."""
    hash: str = ""
    """SHA-256 of the files in `directory`; empty without one."""

    @property
    def is_adapter(self) -> bool:
        """True if `directory` has a PEFT adapter; False if it has a whole model, or if there is no directory."""
        return self.directory is not None and (self.directory / "adapter_config.json").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingContext:
    """Context of one sampling request, and of the other methods of a generator."""

    actor: Actor
    """The model and its tokenizer, with the weights that the request names."""
    directory: Path | None = None
    """The run directory, for logs and sockets; None outside a run."""
    session: Any = None
    """The object that `Generator.open` returned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectionContext:
    """Context of one cycle's selection."""

    seed: int
    """Breaks ties; no other source of randomness may influence the selection."""
    cycle: int = 1
    """Counted from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingContext:
    """Context of one cycle's training."""

    actor: Actor
    """The model to train, in place."""
    lr: float
    """Peak learning rate of the cycle. The learning rate may vary within the cycle but never exceeds it."""
    seed: int
    """Seed of every random choice of the training."""
    cycle: int = 1
    """Counted from 1."""
    progress: Callable[[int, int, float], None] = ignore_step
    """Call after each optimizer step with (steps done, steps in total, loss)."""
    interrupt: Callable[[], None] = _continue
    """Call after each optimizer step; raises `Interrupted` if the user asked to stop."""
    checkpoint: Checkpoint | None = None
    """Storage for the training's progress; None: nothing is stored."""
