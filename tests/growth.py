"""How the time of a function grows with its input."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP = 8
_FLOOR = 0.002
"""CPU seconds below which measurements are too inaccurate."""
_ATTEMPTS = 5


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Return whether the CPU time of `work(size)` is that of linear growth from `work(size // STEP)`.

    Quadratic growth would multiply it by `STEP` squared. A busy machine can stretch a measurement, but not each of
    several, so the first that shows linear growth decides.
    """
    work(max(1, size // STEP // STEP))  # imports, compiled patterns
    limit = STEP**1.6
    return any(
        _seconds(work, size) < limit * max(_FLOOR, min(_seconds(work, size // STEP) for _ in range(3)))
        for _ in range(_ATTEMPTS)
    )


def _seconds(work: Callable[[int], object], size: int) -> float:
    started = time.process_time()
    work(size)
    return time.process_time() - started
