"""Progress of a run. The base class discards it; the console plugin prints it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Advances the progress of a stage."""

    def __call__(self, count: float = 1, *, total: int | None = None, note: str = "") -> None:
        """Add `count` to the units done; `total` corrects the stage's total, `note` is shown beside the bar."""


class Progress:
    """Receives progress and messages of a run. Subclasses show them."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Enclose a stage of `total` units (0: not known yet); yield the function that advances it."""
        yield _ignore

    def note(self, message: str) -> None:
        """Show one line of text."""
        return


def _ignore(count: float = 1, *, total: int | None = None, note: str = "") -> None:
    return None
