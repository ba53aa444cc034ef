"""How a run says where it is. The base class says nothing; the console says it to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Advance(Protocol):
    """Counts what is done of a stage."""

    def __call__(self, count: int = 1, *, total: int | None = None, note: str = "") -> None:
        """So many more are done; `total` corrects the stage's total, `note` says something beside the bar."""


class Progress:
    """Receives what a run has to say while it works. Subclass to show it."""

    @contextmanager
    def stage(self, name: str, total: int, unit: str) -> Iterator[Advance]:
        """Enclose one stage of `total` units (0: not known yet); yields what counts them."""
        yield _ignore

    def note(self, message: str) -> None:
        """Say one line."""
        return


def _ignore(count: int = 1, *, total: int | None = None, note: str = "") -> None:
    return None
