"""The verifier's demo: prompts for small Python functions, and a tiny model that solves about half of them.

`halo_verifier_pytest_demo.make` builds the files; it is in the source repository and not in the wheel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from halo_core.demo import build as demos
from halo_core.drivers import Demo

SETTINGS: Mapping[str, Any] = {
    "cycles": 4,
    "samples_per_prompt": 8,
    "heldout": {"samples_per_prompt": 4},
    "generator": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 80},
    "trainer": {"epochs": 2, "batch_size": 16},
    "lr_policy": {"base_lr": 2e-3},
}
"""Run settings. A model of a million parameters needs about forty times the learning rate of one of billions."""

SYSTEM = "Answer with one Python function in a code block and nothing else."
"""Other models than the demo's would answer in prose, or in another language."""


def load() -> Demo:
    """Return the demo that ships with the package."""
    return demos.load(Path(__file__).parent, SETTINGS, system=SYSTEM)
