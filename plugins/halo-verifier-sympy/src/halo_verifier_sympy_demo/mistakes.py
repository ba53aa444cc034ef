"""Beginners' mistakes, each of which makes a correct answer of the demo's corpus wrong.

`KINDS` groups them by the verifier's finding, with the rate of each kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mistake = Callable[[str, random.Random], str]

_BOX = re.compile(r"\\boxed\{(.*)\}")


def _unclosed(text: str, rng: random.Random) -> str:
    return _BOX.sub(r"\\boxed{\1", text)


def _missing_brace(text: str, rng: random.Random) -> str:
    return text.replace("}{", "{", 1)


def _two_answers(text: str, rng: random.Random) -> str:
    box = _BOX.search(text)
    if box is None:
        return text
    return f"{text.removesuffix('.')} or {_inside_box(_change)(box[0], rng)}"


def _boxed_working(text: str, rng: random.Random) -> str:
    """Box the intermediate step instead of the answer."""
    working, separator, _ = text.partition("\n") if "\n" in text else text.partition(", so ")
    return f"{working}{separator}\\boxed{{{working}}}" if separator else text


def _inside_box(change: Callable[[str, random.Random], str]) -> Mistake:
    def mistake(text: str, rng: random.Random) -> str:
        return _BOX.sub(lambda box: f"\\boxed{{{change(box[1], rng)}}}", text)

    return mistake


def _change_digit(inside: str, rng: random.Random) -> str:
    digits = list(re.finditer(r"(?<!\^)\d", inside))
    if not digits:
        return inside
    place = rng.choice(digits).start()
    return f"{inside[:place]}{(int(inside[place]) + rng.choice((1, 9))) % 10}{inside[place + 1 :]}"


def _change_sign(inside: str, rng: random.Random) -> str:
    signs = list(re.finditer(r"[-+<>]", inside))
    if not signs or rng.random() < 0.2:
        return (
            re.sub(r"^(\D*)(\d)", r"\1-\2", inside, count=1)
            if "-" not in inside
            else inside.replace("-", "", 1)
        )
    place = rng.choice(signs).start()
    return f"{inside[:place]}{dict(zip('-+<>', '+-><', strict=True))[inside[place]]}{inside[place + 1 :]}"


def _change_letter(inside: str, rng: random.Random) -> str:
    letters = list(re.finditer(r"(?<![a-z\\])[abckmnpq](?![a-z])", inside))
    if not letters:
        return inside
    place = rng.choice(letters).start()
    return f"{inside[:place]}{rng.choice('abckmnpq')}{inside[place + 1 :]}"


def _change(inside: str, rng: random.Random) -> str:
    """Change a digit, a sign or a letter; return `inside` unchanged if it has none."""
    changes = [_change_digit, _change_sign, _change_letter]
    rng.shuffle(changes)
    return next((new for change in changes if (new := change(inside, rng)) != inside), inside)


KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "unreadable": ((_unclosed, _missing_brace), 0.13),
    "refused": ((_two_answers, _boxed_working), 0.1),
    "wrong": ((_inside_box(_change),), 0.16),
}


def add_mistake(text: str, kind: str, rng: random.Random) -> str:
    """Return `text` with one mistake of `kind`, or unchanged if no mistake of that kind applies."""
    options = list(KINDS[kind][0])
    rng.shuffle(options)
    return next((wrong for mistake in options if (wrong := mistake(text, rng)) != text), text)


def as_beginner(text: str, rng: random.Random) -> str:
    """Return `text` as a beginner would write it: with at most one mistake."""
    chance = rng.random()
    for kind, (_, rate) in KINDS.items():
        if chance < rate:
            return add_mistake(text, kind, rng)
        chance -= rate
    return text
