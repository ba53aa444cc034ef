"""The verifier's demo: exercises for beginners in C, and a tiny model that half knows how to solve them.

`make` writes the corpus, the prompts and the model anew; `load` reads what ships.
"""

from __future__ import annotations

import json
from pathlib import Path

from halo_core.data import load_prompts
from halo_core.drivers import Demo

_HERE = Path(__file__).parent


def load() -> Demo:
    """Return the demo that ships with the package."""
    return Demo(
        prompts=tuple(load_prompts(_HERE / "prompts.jsonl")),
        heldout=tuple(load_prompts(_HERE / "heldout.jsonl")),
        model=_HERE / "model",
        settings=json.loads((_HERE / "settings.json").read_text(encoding="utf-8")),
    )
