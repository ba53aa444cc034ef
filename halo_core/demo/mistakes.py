"""Beginners' mistakes for the demos, so that the demo model has something to learn.

A mistake is a function of a correct answer and a random generator; it returns None if it does not apply.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

__all__ = ["Mistake", "MistakeInjector", "swap"]

Mistake = Callable[[str, random.Random], str | None]
Replacement = str | Callable[[re.Match[str]], str]


def swap(pattern: str, replacement: Replacement, *, flags: re.RegexFlag = re.MULTILINE) -> Mistake:
    """Return a mistake that replaces one random match of `pattern`; groups work as in `re.sub`."""
    compiled = re.compile(pattern, flags)

    def make(text: str, rng: random.Random) -> str | None:
        found = list(compiled.finditer(text))
        if not found:
            return None
        match = rng.choice(found)
        new = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
        return text[: match.start()] + new + text[match.end() :]

    return make


@dataclass(frozen=True)
class MistakeInjector:
    """Adds each kind of mistake to a fixed share of the answers."""

    kinds: Mapping[str, tuple[tuple[Mistake, ...], float]]
    """By the effect of the mistakes: the mistakes, and the share of the answers that get one."""

    def __call__(self, text: str, rng: random.Random) -> str:
        """Return `text`, with mistakes added at random."""
        for kind, (_, share) in self.kinds.items():
            if rng.random() < share:
                text = self.inject(text, kind, rng)
        return text

    def inject(self, text: str, kind: str, rng: random.Random) -> str:
        """Return `text` with one mistake of `kind`; unchanged if no mistake of that kind applies."""
        mistakes = list(self.kinds[kind][0])
        rng.shuffle(mistakes)
        return next((bad for mistake in mistakes if (bad := mistake(text, rng)) not in (None, text)), text)
