"""A run of two short cycles with the tiny actor, for tests of generators that sample from a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from halo_core.testing.cluster_contract import contract_run

FULL: dict[str, Any] = {
    "trainer": {"name": "sft", "full": True, "batch_size": 8},
    "lr_policy": {"name": "constant", "base_lr": 1e-3},
}
"""Settings that train all weights."""


def small_run(files: Path, generator: dict[str, Any]) -> dict[str, Any]:
    """Write a verifier, training prompts and held-out prompts to `files`; return the configuration of a run."""
    raw = contract_run(files)
    model = {name: raw["model"][name] for name in ("name", "device")}
    return raw | {
        "model": model,
        "generator": {"max_new_tokens": 8, "batch": 12, **generator},
        "trainer": {"name": "sft", "lora_rank": 8, "batch_size": 8, "epochs": 2},
        "plugins": ["doctor"],
    }
