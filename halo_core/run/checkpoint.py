"""Checkpoints within a cycle's training. Trainers see them through the protocol `model.contexts.Checkpoint`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from halo_core.errors import RunError

if TYPE_CHECKING:
    from halo_core.run.state import Run

_SHARE = 20
"""Saving takes at most 1 / `_SHARE` of the training's time, however large the model."""


class CycleCheckpoint:
    """The checkpoint of one cycle, in the run directory."""

    def __init__(self, run: Run, cycle: int) -> None:
        self._run, self._cycle = run, cycle
        self._saved = time.monotonic()
        self._cost = 0.0

    def load(self, inputs_hash: str) -> Path | None:
        """Return the directory last saved under `inputs_hash`; None if there is none, or if it is damaged."""
        try:
            return self._run.ledger.checkpoint(self._cycle, inputs_hash)
        except RunError as error:
            self._run.log("loop", f"{error}; training of cycle {self._cycle} starts from the beginning")
            return None

    @property
    def due(self) -> bool:
        """True if `checkpoint_seconds` have passed (more if saving is slow), or if Ctrl-C is about to end the run."""
        every = self._run.config.checkpoint_seconds
        if every is None:
            return False
        passed = time.monotonic() - self._saved
        return self._run.interrupted or passed >= max(every, _SHARE * self._cost)

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        """Store the files that `write` puts into the empty directory it is given; see `Checkpoint.save`."""
        start = time.monotonic()
        directory = self._run.ledger.write_checkpoint(self._cycle, inputs_hash, write)
        if self._run.interrupted:
            self._run.training_stored = sum(path.stat().st_size for path in directory.iterdir())
        self._run.flush_timer()
        self._saved = time.monotonic()
        self._cost = self._saved - start
