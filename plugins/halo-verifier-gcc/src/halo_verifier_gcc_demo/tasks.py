"""The demo's tasks: a request in English and an oracle for the correct answer.

The oracle computes expected outputs in Python, never by running C. The families of tasks are in `families`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from halo_verifier_gcc_demo.style import Style


@dataclass(frozen=True)
class Task:
    """One exercise."""

    family: str
    request: str
    """The second half of the English sentence; unique within the family."""
    input_kind: str
    """Kind of the input: a key of `INPUT_KINDS`."""
    answer: Callable[..., Any]
    """The oracle: takes the input values and returns the expected output."""
    write: Callable[[Style], str]
    """Returns a correct program in one author's style."""

    @property
    def key(self) -> str:
        """A name that is unique among all tasks and stable across runs."""
        return f"{self.family}: {self.request}"


def _ints(rng: random.Random, count: int, low: int = -20, high: int = 30) -> list[int]:
    return [rng.randint(low, high) for _ in range(count)]


def _word(rng: random.Random) -> str:
    return "".join(rng.choice("abcdeilnorst") for _ in range(rng.randint(3, 8)))


def _list(rng: random.Random) -> list[int]:
    count = rng.randint(2, 7)
    return [count, *_ints(rng, count, -9, 20)]


INPUT_KINDS: dict[str, tuple[tuple[str, ...], Callable[[random.Random], list[Any]]]] = {
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
"""For each kind of input: its English wordings, and a function that draws one at random."""

_SENTENCES = (
    "Read {} and print {}.",
    "Read {} and print {}.",
    "Read {}, print {}.",
    "Given {}, print {}.",
    "Write a program that reads {} and prints {}.",
)


def phrase(task: Task, rng: random.Random) -> str:
    """Return the task's prompt in English, in one of several wordings."""
    return rng.choice(_SENTENCES).format(rng.choice(INPUT_KINDS[task.input_kind][0]), task.request)


def draw_tests(task: Task, rng: random.Random, count: int) -> list[dict[str, str]]:
    """Return `count` tests with different inputs and at least two different expected outputs.

    So a program that ignores its input fails at least one of them.
    """
    while True:
        drawn = [INPUT_KINDS[task.input_kind][1](rng) for _ in range(count)]
        inputs = [" ".join(map(str, values)) for values in drawn]
        outputs = [str(task.answer(*values)) for values in drawn]
        if len(set(inputs)) == count and len(set(outputs)) > 1 and all(map(str.split, outputs)):
            return [{"stdin": f"{a}\n", "stdout": f"{b}\n"} for a, b in zip(inputs, outputs, strict=True)]
