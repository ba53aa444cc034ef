"""The verifier's demo: questions about small databases and a tiny model that answers some of them correctly.

`python -m halo_verifier_sql_demo.make OUT`, in a checkout, creates the prompts and the model; `load` reads the
shipped files.
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
    "generator": {"temperature": 1.0, "top_p": 1.0, "max_new_tokens": 64},
    "trainer": {"epochs": 2, "batch_size": 16},
    "lr_policy": {"base_lr": 2e-3},
}
"""Run settings. A model of a million parameters needs a learning rate about forty times that of one of billions."""

SYSTEM = "Answer with one SQL query and nothing else."
"""Other models than the demo's would answer in prose, or in another language."""


def load() -> Demo:
    """Return the demo that ships with the package."""
    return demos.load(Path(__file__).parent, SETTINGS, system=SYSTEM)
