"""What a training keeps while it goes on, so that a kill costs a minute of it and not all of it.

A trainer that takes long asks `actor.checkpoint` twice: once where it begins, and after each step.

    checkpoint = actor.checkpoint
    if checkpoint and (place := checkpoint.load(recipe)):
        go_on_from(place)
    for step in ...:
        ...
        if checkpoint and checkpoint.due:
            checkpoint.save(recipe, write)  # write(directory)

`recipe` is a digest of all that the result follows from: examples, options, rate, seed, the weights before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import RunError

if TYPE_CHECKING:
    from halo_core.run.state import Run

_SHARE = 20
"""Saving takes at most one part in so many of the training's time, however large the model."""


class Checkpoint:
    """The place where the training of one cycle keeps how far it is."""

    def __init__(self, run: Run, cycle: int) -> None:
        self._run, self._cycle = run, cycle
        self._saved = time.monotonic()
        self._cost = 0.0

    def load(self, recipe: str) -> Path | None:
        """Return the directory that was last saved under `recipe`; None: there is none, begin at the beginning."""
        try:
            return self._run.ledger.checkpoint(self._cycle, recipe)
        except RunError as error:
            self._run.say("loop", f"{error}; cycle {self._cycle} is trained from its beginning")
            return None

    @property
    def due(self) -> bool:
        """Whether to save now: `checkpoint_seconds` have passed, or the run is about to be interrupted."""
        every = self._run.config.checkpoint_seconds
        if every is None:
            return False
        passed = time.monotonic() - self._saved
        return self._run.interrupted or passed >= max(every, _SHARE * self._cost)

    def save(self, recipe: str, write: Callable[[Path], None]) -> None:
        """Keep what `write` puts into the empty directory it is given, instead of what was kept before.

        When this returns it is on the disk; a kill before that leaves what was there.
        """
        begin = time.monotonic()
        self._run.ledger.write_checkpoint(self._cycle, recipe, write)
        self._run.lap()
        self._saved = time.monotonic()
        self._cost = self._saved - begin
