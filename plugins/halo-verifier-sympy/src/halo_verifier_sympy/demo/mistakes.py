"""Beginners' mistakes: each takes a right answer and spoils it, the way the demo's authors sometimes do.

`KINDS` groups them by what comes of it, with how often an author makes one of that kind.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

Mistake = Callable[[str, random.Random], str]

_BOX = re.compile(r"\\boxed\{(.*)\}")


def _unclosed(text: str, rng: random.Random) -> str:
    return _BOX.sub(r"\\boxed{\1", text)


def _unboxed(text: str, rng: random.Random) -> str:
    return _BOX.sub(r"\1", text)


def _brace_lost(text: str, rng: random.Random) -> str:
    return text.replace("}{", "{", 1)


def _two_answers(text: str, rng: random.Random) -> str:
    box = _BOX.search(text)
    if box is None:
        return text
    return f"{text.removesuffix('.')} or {_in_the_box(_change)(box[0], rng)}"


def _unevaluated(text: str, rng: random.Random) -> str:
    """Box the line on the way instead of the answer."""
    working, lead, _ = text.partition("\n") if "\n" in text else text.partition(", so ")
    return f"{working}{lead}\\boxed{{{working}}}" if lead else text


def _in_the_box(change: Callable[[str, random.Random], str]) -> Mistake:
    def make(text: str, rng: random.Random) -> str:
        return _BOX.sub(lambda box: f"\\boxed{{{change(box[1], rng)}}}", text)

    return make


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
    """Change a digit, a sign or a letter, whatever there is."""
    ways = [_change_digit, _change_sign, _change_letter]
    rng.shuffle(ways)
    return next((other for way in ways if (other := way(inside, rng)) != inside), inside)


KINDS: dict[str, tuple[tuple[Mistake, ...], float]] = {
    "unreadable": ((_unclosed, _unboxed, _brace_lost), 0.13),
    "refused": ((_two_answers, _unevaluated), 0.1),
    "wrong": ((_in_the_box(_change),), 0.16),
}


def spoil(text: str, kind: str, rng: random.Random) -> str:
    """Return `text` with one mistake of `kind`, or as it is when none of them can be made."""
    options = list(KINDS[kind][0])
    rng.shuffle(options)
    return next((bad for mistake in options if (bad := mistake(text, rng)) != text), text)


def careless(text: str, rng: random.Random) -> str:
    """Return `text` as a beginner would have written it: with at most one mistake."""
    chance = rng.random()
    for kind, (_, rate) in KINDS.items():
        if chance < rate:
            return spoil(text, kind, rng)
        chance -= rate
    return text
