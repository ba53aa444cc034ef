"""Contexts: a driver's arguments besides its data. They can gain fields without breaking any driver."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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


def ignore_tokens(samples: float, tokens: int) -> None:
    """Ignore the progress of a batch; the default."""


def _continue() -> None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingContext:
    """Context of one sampling request."""

    actor: Actor
    """The model and its tokenizer, with the weights that the request names."""
    progress: Callable[[float, int], None] = ignore_tokens
    """A slow generator calls it now and then while it samples a batch, with the part of the batch that is done, in
    completions (2.5: two and a half), and the number of tokens sampled for it."""


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
