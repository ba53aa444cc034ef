"""Wrong programs crafted to be accepted, each named after its trick."""

from __future__ import annotations

import functools
from importlib import resources

from halo_core import Attack, Prompt
from halo_core.programs import read_attacks

SUM = Prompt(
    "attack-sum",
    "Read two integers and print their sum.",
    reference={
        "tests": [
            {"stdin": "3 4\n", "stdout": "7\n"},
            {"stdin": "-3 4\n", "stdout": "1\n"},
            {"stdin": "123 456\n", "stdout": "579\n"},
        ]
    },
)
UNTESTED = Prompt("attack-untested", "Read two integers and print their sum.")

_PROMPTS = (SUM, UNTESTED)


@functools.cache
def load() -> tuple[Attack, ...]:
    """Return the attacks in `attacks.txt`; see `read_attacks`."""
    text = resources.files(__package__).joinpath("attacks.txt").read_text(encoding="utf-8")
    return read_attacks(text, _PROMPTS)
