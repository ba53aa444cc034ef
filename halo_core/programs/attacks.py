"""Collections of attacks as text: one file that a person can read and extend."""

from __future__ import annotations

import re
from collections.abc import Sequence

from halo_core.drivers.base import Attack
from halo_core.types import Prompt, Stage

_HEAD = re.compile(r"^==== (\S+), (\w+): (.+)\n", re.MULTILINE)


def read_attacks(text: str, prompts: Sequence[Prompt]) -> tuple[Attack, ...]:
    """Return the attacks in `text`, in order; a line `==== PROMPT, STAGE: NAME` precedes the program of each.

    PROMPT is the id of one of `prompts` without its prefix `attack-`; STAGE is the name of `Attack.stage`.
    """
    by_name = {prompt.id.removeprefix("attack-"): prompt for prompt in prompts}
    _, *parts = _HEAD.split(text)
    cases = zip(parts[::4], parts[1::4], parts[2::4], parts[3::4], strict=True)
    return tuple(
        Attack(name, by_name[prompt], code.strip("\n") + "\n", Stage(stage))
        for prompt, stage, name, code in cases
    )
