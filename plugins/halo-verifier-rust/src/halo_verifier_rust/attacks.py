"""Wrong programs crafted to be accepted, each named after its trick."""

from __future__ import annotations

import functools
import re
from importlib import resources

from halo_core import Attack, Prompt, Stage

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

_PROMPTS = {prompt.id: prompt for prompt in (SUM, UNTESTED)}
_CASE = re.compile(r"^==== (\w+), (\w+): (.+)\n", re.MULTILINE)


@functools.cache
def load() -> tuple[Attack, ...]:
    """Return the attacks in `attacks.txt`, in order; a line `==== PROMPT, STAGE: NAME` precedes each."""
    text = resources.files(__package__).joinpath("attacks.txt").read_text(encoding="utf-8")
    _, *parts = _CASE.split(text)
    cases = zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True)
    return tuple(
        Attack(name, _PROMPTS[f"attack-{prompt}"], code.strip("\n") + "\n", Stage(stage))
        for prompt, stage, name, code in cases
    )
