"""Seeds: every random choice derives its seed from the run's seed and a path of labels."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, *path: int | str) -> int:
    """Return a seed in [0, 2**63) that depends on `seed` and `path` alone, on any machine.

    It is the first 63 bits of a SHA-256 of the arguments, so neighbouring seeds, cycles and batches give unrelated
    random numbers.
    """
    text = "/".join([str(seed), *map(str, path)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
