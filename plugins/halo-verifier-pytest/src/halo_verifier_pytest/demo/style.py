"""How the corpus' authors write Python: one `Pen` is one author, with habits drawn at random."""

from __future__ import annotations

import random

from halo_verifier_pytest.demo.parts import ALL, SAME
from halo_verifier_pytest.demo.tasks import Task


class Pen:
    """One author's habits. The same seed gives the same author, writing the same program."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.result = rng.choice(["r", "result", "out"])
        self.plain = rng.random() < 0.7
        """Whether the item is called as most would call it."""
        self.loops = rng.random() < 0.35

    def program(self, task: Task) -> str:
        """Return a right program for the task."""
        item = task.source.item if self.plain else "v"
        write = self._loop if self.loops and task.goal.start else self._at_once
        body = write(task, item)
        return "\n".join([f"def f({task.source.parameter}):", *(f"    {line}" for line in body)]) + "\n"

    def _at_once(self, task: Task, item: str) -> list[str]:
        values = self.rng.choice(task.source.python)
        if task.change == SAME and task.test == ALL:
            inner = values
        else:
            condition = f" if {task.test.python.format(item)}" if task.test != ALL else ""
            inner = f"{task.change.python.format(item)} for {item} in {values}{condition}"
        goal = self.rng.choice(task.goal.python)
        if self.rng.random() < 0.3:
            return [f"{self.result} = [{inner}]", f"return {goal.format(self.result)}"]
        if goal == "list({})":
            return [f"return [{inner}]"]
        if goal == "list({})[::-1]":
            return [f"return [{inner}][::-1]"]
        if goal == "set({})" and self.rng.random() < 0.5:
            return [f"return {{{inner}}}"]
        return [f"return {goal.format(inner)}"]

    def _loop(self, task: Task, item: str) -> list[str]:
        add = task.goal.add.format(self.result, task.change.python.format(item))
        values = self.rng.choice(task.source.python)
        body = [f"    {add}"]
        if task.test != ALL:
            body = [f"    if {task.test.python.format(item)}:", f"        {add}"]
        return [
            f"{self.result} = {task.goal.start}",
            f"for {item} in {values}:",
            *body,
            f"return {self.result}",
        ]
