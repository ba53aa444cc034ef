"""Coding styles of the corpus: an `Author` has randomly drawn habits."""

from __future__ import annotations

import random

from halo_verifier_pytest_demo.parts import ALL, SAME
from halo_verifier_pytest_demo.tasks import Task


class Author:
    """One author's habits. Deterministic: the same seed gives the same author and the same program."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.result = rng.choice(["r", "result", "out"])
        self.usual_name = rng.random() < 0.7
        """True if the loop variable has the usual name of its source's items."""
        self.loops = rng.random() < 0.35

    def program(self, task: Task) -> str:
        """Return a correct program for the task."""
        item = task.source.item if self.usual_name else "v"
        write = self._loop if self.loops and task.goal.start else self._expression
        body = write(task, item)
        return "\n".join([f"def f({task.source.parameter}):", *(f"    {line}" for line in body)]) + "\n"

    def _expression(self, task: Task, item: str) -> list[str]:
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
