"""The demo's tasks: every combination of parts, in English, with programs and the right answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from halo_verifier_pytest.demo import parts
from halo_verifier_pytest.demo.parts import ALL, SAME, Goal, Source, Step


@dataclass(frozen=True)
class Task:
    """One small function, always called `f`."""

    source: Source
    test: Step
    change: Step
    goal: Goal

    @property
    def family(self) -> str:
        """Tasks with one source and one goal."""
        return f"{self.goal.english} {self.source.english}"

    @property
    def key(self) -> str:
        """The task in English: unique among all tasks and stable across runs."""
        words = [self.goal.english, self.source.english, self.test.english]
        return " ".join(filter(None, words)) + (
            f", each {self.change.english}" if self.change != SAME else ""
        )

    def kept(self, argument: Any) -> list[Any]:
        """Return the values that count, each changed."""
        return [self.change.meaning(v) for v in self.source.values(argument) if self.test.meaning(v)]

    def answer(self, argument: Any) -> Any:
        """Return what the function should return."""
        return self.goal.meaning(self.kept(argument))


@cache
def all_tasks() -> tuple[Task, ...]:
    """Return every task, in a fixed order: no plain copies, and none with few answers, which could be guessed."""
    plain = (ALL, SAME)
    return tuple(t for t in _combinations() if (t.test, t.change) != plain and _varied(t))


def _varied(task: Task) -> bool:
    rng = random.Random(task.key)
    kept = [task.kept(task.source.draw(rng)) for _ in range(20)]
    usable = [values for values in kept if values or task.goal.empty]
    return len(usable) >= 10 and len({repr(task.goal.meaning(values)) for values in usable}) >= 5


def _combinations() -> Iterator[Task]:
    for combination in product(parts.NUMBERS, parts.NUMBER_TESTS, parts.NUMBER_CHANGES, parts.NUMBER_GOALS):
        yield Task(*combination)
    for combination in product(parts.LETTERS, parts.LETTER_TESTS, parts.LETTER_CHANGES, parts.LETTER_GOALS):
        yield Task(*combination)


_SENTENCES = (
    "Write f({}) that returns {}.",
    "Write f({}) that returns {}.",
    "Define f({}): return {}.",
    "f({}) gives {}.",
)


def phrase(task: Task, rng: random.Random) -> str:
    """Return the task in English, in one of several wordings."""
    return rng.choice(_SENTENCES).format(task.source.parameter, task.key)


def draw_arguments(task: Task, rng: random.Random, count: int) -> list[Any]:
    """Return different arguments that the task makes sense for: `count`, or as many as there are."""
    drawn: list[Any] = []
    for _ in range(50 * count):
        argument = task.source.draw(rng)
        if argument not in drawn and (task.goal.empty or task.kept(argument)):
            drawn.append(argument)
        if len(drawn) == count:
            break
    return drawn
