r"""Wrong answers crafted to be accepted; each name describes the attempt.

A row of `attacks.txt` is the name, the reference's answer, the furthest stage for such an answer, the completion, and
optionally further keys of the reference as JSON. `[...]` stands for a completion of \boxed{...} alone, <U+00B2> for
that character and <60 of (> for sixty brackets.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from halo_core.drivers import Attack
from halo_core.types import Prompt, Stage

_LINES = Path(__file__).with_name("attacks.txt").read_text(encoding="utf-8").splitlines()


def _attack(number: int, line: str) -> Attack:
    name, gold, stage, text, *rest = line.split(" | ")
    extra = json.loads(rest[0]) if rest else {}
    if text.startswith("[") and text.endswith("]"):
        text = rf"\boxed{{{text[1:-1]}}}"
    text = text.replace("<boxes 0 to 12>", " ".join(rf"\boxed{{{n}}}" for n in range(13)))
    text = re.sub(r"<(\d+) of (.)>", lambda run: int(run[1]) * run[2], text)
    text = re.sub(r"<U\+([0-9A-F]{4})>", lambda code: chr(int(code[1], 16)), text)
    prompt = Prompt(f"attack-{number:03}", "What is it?", reference={"answer": gold, **extra})
    return Attack(name, prompt, text, Stage(stage))


_ROWS = [line for line in _LINES if line and line[0] != "#"]
ATTACKS: tuple[Attack, ...] = (
    *(_attack(number, row) for number, row in enumerate(_ROWS, 1)),
    Attack(
        "a million brackets",
        Prompt("attack-brackets", "What is it?", reference={"answer": "12"}),
        r"\boxed{" + "(" * 1_000_000,
        Stage.INVALID,
    ),
    Attack(
        "a numeral of a hundred thousand digits",
        Prompt("attack-digits", "What is it?", reference={"answer": "12"}),
        r"\boxed{" + "9" * 100_000 + "}",
        Stage.INVALID,
    ),
)
"""One attack for each kind of wrong answer that some verifier has accepted."""
