"""Python's cyclic garbage collector, told to look less often while there are very many samples.

Samples are tuples of plain values and never part of a reference cycle, yet the collector walks over all of
them again and again: a fifth of the loop's time with a million samples (`benchmarks/bench_ledger.py`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOCATIONS = 50_000
"""Net allocations before a collection; Python's own default is 700."""


@contextmanager
def collected_rarely() -> Iterator[None]:
    """Leave what is there to itself, and look at what comes after 50,000 allocations; then as it was."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(_ALLOCATIONS, before[0]) if before[0] else 0, *before[1:])  # 0: turned off
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
