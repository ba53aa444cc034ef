"""The demo's tasks: all combinations of parts, with their English and their expected answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

from halo_verifier_pytest_demo import parts
from halo_verifier_pytest_demo.parts import ALL, SAME, Goal, Source, Step


@dataclass(frozen=True)
class Task:
    """Specification of one small function, always named `f`."""

    source: Source
    test: Step
    change: Step
    goal: Goal

    @property
    def family(self) -> str:
        """Name of the group of tasks with the same source and goal."""
        return f"{self.goal.english} {self.source.english}"

    @property
    def key(self) -> str:
        """English description: unique among all tasks and stable across runs."""
        words = [self.goal.english, self.source.english, self.test.english]
        return " ".join(filter(None, words)) + (
            f", each {self.change.english}" if self.change != SAME else ""
        )

    def kept(self, argument: Any) -> list[Any]:
        """Return the values that satisfy the condition, each with the change applied."""
        return [self.change.meaning(v) for v in self.source.values(argument) if self.test.meaning(v)]

    def answer(self, argument: Any) -> Any:
        """Return the expected result for `argument`."""
        return self.goal.meaning(self.kept(argument))


@cache
def all_tasks() -> tuple[Task, ...]:
    """Return all tasks in a fixed order, without plain copies and tasks with few distinct answers (guessable)."""
    plain_copy = (ALL, SAME)
    return tuple(t for t in _combinations() if (t.test, t.change) != plain_copy and _has_varied_answers(t))


def _has_varied_answers(task: Task) -> bool:
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
    """Return a randomly chosen English wording of the task."""
    return rng.choice(_SENTENCES).format(task.source.parameter, task.key)


def draw_arguments(task: Task, rng: random.Random, count: int) -> list[Any]:
    """Return up to `count` distinct random arguments for which the task is defined."""
    drawn: list[Any] = []
    for _ in range(50 * count):
        argument = task.source.draw(rng)
        if argument not in drawn and (task.goal.empty or task.kept(argument)):
            drawn.append(argument)
        if len(drawn) == count:
            break
    return drawn
