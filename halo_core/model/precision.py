"""The precision in which a CPU computes a model faster: measured once per machine, never assumed.

Some CPUs multiply matrices in bfloat16 at twice the speed of float32, others emulate it and are ten times slower. The
result is kept in the user's cache directory. Importing this module does not import torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from halo_core import files
from halo_core.errors import HaloError

if TYPE_CHECKING:
    import torch

SMALL = 50_000_000
"""Models with fewer parameters are bound by overhead rather than arithmetic, and stay in float32."""
_GAIN = 1.2
"""Speed of bfloat16, relative to float32, from which on it is used."""
_ROWS, _SIZE, _ROUNDS, _CALLS = 64, 1024, 5, 4
"""Shape of the product that is measured, rounds, and products in a round."""


@cache
def cpu_precision() -> torch.dtype:
    """Return bfloat16 if this CPU multiplies matrices in it at least `_GAIN` times as fast as in float32, else float32.

    Measures CPU time for a fraction of a second, unless the cache has the result for this CPU and version of torch.
    """
    import torch

    file, key = _cache(), _machine()
    known = _read(file)
    if known.get(key) not in ("float32", "bfloat16"):
        known[key] = "bfloat16" if _speedup() >= _GAIN else "float32"
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            files.write(file, json.dumps(known, indent=2, sort_keys=True) + "\n")
        except (OSError, HaloError):  # measured again next time
            pass
    found: torch.dtype = getattr(torch, known[key])
    return found


def _speedup() -> float:
    """Return how many times as fast as in float32 a product in bfloat16 is, in CPU time."""
    import torch
    from torch.nn.functional import linear

    best: dict[torch.dtype, float] = {}
    with torch.inference_mode():
        operands = {
            dtype: (torch.ones(_ROWS, _SIZE, dtype=dtype), torch.ones(_SIZE, _SIZE, dtype=dtype))
            for dtype in (torch.float32, torch.bfloat16)
        }
        for _ in range(_ROUNDS):
            for dtype, (rows, weight) in operands.items():
                started = time.process_time()
                for _ in range(_CALLS):
                    linear(rows, weight)
                best[dtype] = min(best.get(dtype, float("inf")), time.process_time() - started)
    return best[torch.float32] / max(best[torch.bfloat16], 1e-9)


def _machine() -> str:
    """Return the name of this CPU with a hash of its capabilities, and the version of torch."""
    import platform

    import torch

    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    capabilities = f"{fields.get('flags', '')}{fields.get('Features', '')}{torch.get_num_threads()}"
    name = fields.get("model name") or platform.machine()
    return f"{name} {hashlib.sha256(capabilities.encode()).hexdigest()[:8]}, torch {torch.__version__}"


def _cache() -> Path:
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "halo" / "precision.json"


def _read(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
