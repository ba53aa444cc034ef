"""The verifier's demo: exercises for beginners in C, and a tiny model that solves some of them.

`python -m halo_verifier_gcc_demo.make OUT`, in a checkout, writes the prompts and the model again.
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
    "generator": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 96},
    "trainer": {"epochs": 2, "batch_size": 16},
    "lr_policy": {"base_lr": 2e-3},
}
"""A model of a million parameters takes a learning rate about forty times that of a model of billions."""

SYSTEM = "Answer with one program in C that reads standard input and prints to standard output."
"""For other models than the demo's, which would answer in prose, or in another language: the prompts' texts name none,
because the demo's model was trained on them. Their data does, so that C++ is not accepted."""


def load() -> Demo:
    """Return the demo that ships with the package."""
    return demos.load(Path(__file__).parent, SETTINGS, system=SYSTEM)
