"""A run of two short cycles with the tiny actor, for tests of generators that sample from a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from halo_core.testing import tiny_actor

VERIFIER = '''
from halo_core import Stage, Status, Verdict, Verifier, driver


@driver
class Even(Verifier):
    """Passes a text with an even number of characters."""

    def check(self, prompt, completion):
        if len(completion.text) % 2:
            return Verdict(Status.FAIL, Stage.WRONG)
        return Verdict(Status.PASS, Stage.CORRECT, 1.0)
'''
FULL: dict[str, Any] = {
    "trainer": {"name": "sft", "full": True, "batch_size": 8},
    "lr_policy": {"name": "constant", "base_lr": 1e-3},
}
"""Settings that train all weights."""


def small_run(files: Path, generator: dict[str, Any]) -> dict[str, Any]:
    """Write a verifier, training prompts and held-out prompts to `files`; return the configuration of a run."""
    (files / "even.py").write_text(VERIFIER)
    for name, count in (("train", 4), ("heldout", 8)):
        rows = [json.dumps({"id": f"{name}-{n}", "prompt": f"{name} {n}"}) for n in range(count)]
        (files / f"{name}.jsonl").write_text("\n".join(rows))
    return {
        "verifier": f"{files}/even.py:Even",
        "model": {"name": tiny_actor().config.name, "device": "cpu"},
        "data": {"prompts": f"{files}/train.jsonl", "heldout": f"{files}/heldout.jsonl"},
        "generator": {"max_new_tokens": 8, "batch": 12, **generator},
        "reward": "binary",
        "selector": {"name": "raft", "truncated": True, "keep_top": 1.0},
        "trainer": {"name": "sft", "lora_rank": 8, "batch_size": 8, "epochs": 2},
        "lr_policy": {"name": "constant", "base_lr": 2e-2},
        "plugins": ["doctor"],
        "cycles": 2,
        "samples_per_prompt": 8,
        "heldout": {"samples_per_prompt": 4},
        "sandbox": "none",
    }
