"""Beginners' mistakes, for the demos: a model that was taught by careless authors has something to learn.

A mistake is a function of a right answer's text and a random generator; it returns None where it cannot be made.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

Mistake = Callable[[str, random.Random], str | None]
Replacement = str | Callable[[re.Match[str]], str]


def swap(pattern: str, replacement: Replacement, *, flags: re.RegexFlag = re.MULTILINE) -> Mistake:
    """Make a mistake that replaces one match of `pattern`, chosen at random; groups as in `re.sub`."""
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
    """An author who makes each kind of mistake at a rate of its own."""

    kinds: Mapping[str, tuple[tuple[Mistake, ...], float]]
    """By what comes of them: the mistakes, and the share of the answers that have one."""

    def __call__(self, text: str, rng: random.Random) -> str:
        """Return `text` as this author would have written it."""
        for kind, (_, rate) in self.kinds.items():
            if rng.random() < rate:
                text = self.inject(text, kind, rng)
        return text

    def inject(self, text: str, kind: str, rng: random.Random) -> str:
        """Return `text` with one mistake of `kind`, or as it is when none of them can be made."""
        options = list(self.kinds[kind][0])
        rng.shuffle(options)
        return next((bad for mistake in options if (bad := mistake(text, rng)) not in (None, text)), text)
