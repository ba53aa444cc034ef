"""The demo's tasks: what is asked, in English, and what the right answer is.

What a program should print is computed here, in Python, never by running C. Families of tasks live in
`families`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from halo_verifier_gcc.demo.style import Pen


@dataclass(frozen=True)
class Task:
    """One exercise."""

    family: str
    what: str
    """The second half of the English sentence; names the task within its family."""
    given: str
    """What is read: a key of `GIVEN`."""
    answer: Callable[..., Any]
    """The oracle: the values read, to what should be printed."""
    write: Callable[[Pen], str]
    """A correct program in one author's hand."""

    @property
    def key(self) -> str:
        """A name that is unique among all tasks and stable across runs."""
        return f"{self.family}: {self.what}"


def _ints(rng: random.Random, count: int, low: int = -20, high: int = 30) -> list[int]:
    return [rng.randint(low, high) for _ in range(count)]


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcdeilnorst") for _ in range(rng.randint(3, 8)))


def _list(rng: random.Random) -> list[int]:
    count = rng.randint(2, 7)
    return [count, *_ints(rng, count, -9, 20)]


GIVEN: dict[str, tuple[tuple[str, ...], Callable[[random.Random], list[Any]]]] = {
    "one": (("an integer", "an integer n", "a number"), lambda rng: _ints(rng, 1)),
    "natural": (("an integer n", "a number n"), lambda rng: _ints(rng, 1, 1, 12)),
    "count": (("a number", "an integer"), lambda rng: _ints(rng, 1, 1, 400)),
    "positive": (("a positive integer", "a positive number"), lambda rng: _ints(rng, 1, 10, 99999)),
    "two": (("two integers", "two numbers"), lambda rng: _ints(rng, 2)),
    "three": (("three integers", "three numbers"), lambda rng: _ints(rng, 3)),
    "reals": (("two real numbers",), lambda rng: [n / 8 for n in _ints(rng, 2, 1, 80)]),
    "list": (("n and then n integers", "a count n and n integers"), _list),
    "word": (("a word", "one word"), lambda rng: [_word(rng)]),
}
"""For each kind of input: how the English names it, and how to draw one."""

_SENTENCES = (
    "Read {} and print {}.",
    "Read {} and print {}.",
    "Read {}, print {}.",
    "Given {}, print {}.",
    "Write a program that reads {} and prints {}.",
)


def phrase(task: Task, rng: random.Random) -> str:
    """Return the task in English, in one of several wordings."""
    return rng.choice(_SENTENCES).format(rng.choice(GIVEN[task.given][0]), task.what)


def draw_tests(task: Task, rng: random.Random, count: int) -> list[dict[str, str]]:
    """Return `count` tests with different inputs, whose outputs are not all the same.

    A program that ignores its input therefore fails at least one of them.
    """
    while True:
        drawn = [GIVEN[task.given][1](rng) for _ in range(count)]
        inputs = [" ".join(map(str, values)) for values in drawn]
        outputs = [str(task.answer(*values)) for values in drawn]
        if len(set(inputs)) == count and len(set(outputs)) > 1 and all(map(str.split, outputs)):
            return [{"stdin": f"{a}\n", "stdout": f"{b}\n"} for a, b in zip(inputs, outputs, strict=True)]
