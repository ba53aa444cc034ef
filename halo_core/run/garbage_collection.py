"""Python's cyclic garbage collector, run less often while a run holds very many samples.

Samples are tuples of plain values and never part of a reference cycle, yet the collector scans all of them again and
again: a fifth of the loop's time with a million samples (`benchmarks/bench_ledger.py`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_ALLOCATIONS = 50_000
"""Net allocations before a collection; Python's own default is 700."""


@contextmanager
def relaxed_gc() -> Iterator[None]:
    """Freeze existing objects and collect new ones every 50,000 allocations; restore both on exit."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(max(_ALLOCATIONS, before[0]) if before[0] else 0, *before[1:])  # 0: turned off
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
