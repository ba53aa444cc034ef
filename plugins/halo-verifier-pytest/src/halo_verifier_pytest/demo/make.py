"""Make the demo anew: `python -m halo_verifier_pytest.demo.make OUT` writes prompts, held-out prompts and model.

The model learns from functions as beginners write them: `mistakes` spoils some of them, at fixed rates.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.demo import build as demos
from halo_core.model.pretraining import Pair
from halo_verifier_pytest.demo.mistakes import careless
from halo_verifier_pytest.demo.style import Pen
from halo_verifier_pytest.demo.tasks import Task, all_tasks, draw_arguments, phrase
from halo_verifier_pytest.mutants import mutate

PIECES = r"\n[^\n]*| ?[A-Za-z]+| ?[^\sA-Za-z]+|\s+"
"""Between these no token runs on: words in English, but up to whole lines in code, so that it is short."""
TESTS = 5
"""Tests for each prompt, or more where they do not tell its solution from all mutants."""
POOL = 24
"""Arguments that these are chosen from."""
_MUTANTS = 100


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's function; all families alike."""

    def write(task: Task, rng: random.Random) -> Pair:
        return Pair(phrase(task, rng), careless(Pen(rng).program(task), rng))

    return demos.make_pairs(tasks, count, seed, write)


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""

    def write(task: Task, rng: random.Random) -> Mapping[str, object]:
        return {"prompt": phrase(task, rng), "reference": make_reference(task, rng)}

    return demos.make_prompts(tasks, count, name, seed, write)


def make_reference(task: Task, rng: random.Random) -> dict[str, object]:
    """Return a solution of the task and tests that tell it from its mutants, where anything does."""
    solution = Pen(rng).program(task)
    right, wrong = _outcomes(solution), [_outcomes(text) for text in mutate(solution, _MUTANTS)]
    pool = draw_arguments(task, rng, POOL)
    caught = [{n for n, mutant in enumerate(wrong) if mutant(each) != right(each)} for each in pool]
    chosen: list[int] = []
    while len(chosen) < TESTS or set().union(*caught) - set().union(*(caught[n] for n in chosen)):
        known = set().union(*(caught[n] for n in chosen))
        rest = (n for n in range(len(pool)) if n not in chosen)
        chosen.append(max(rest, key=lambda n: len(caught[n] - known)))
    drawn = [pool[n] for n in chosen]
    return {
        "entry_point": "f",
        "tests": [_test(argument, task.answer(argument)) for argument in drawn],
        "solution": solution,
    }


def _test(argument: object, answer: object) -> dict[str, object]:
    if isinstance(answer, set):
        return {"args": [argument], "returns": repr(answer)}
    return {"args": [argument], "expected": answer}


def _outcomes(program: str) -> Callable[[object], str]:
    """Return what a function of our own, or a mutant of it, makes of an argument: a value or an exception."""
    space: dict[str, Any] = {}
    exec(program, space)

    def outcome(argument: object) -> str:
        try:
            return repr(space["f"](argument))
        except Exception as error:
            return type(error).__name__

    return outcome


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the whole demo but for the weights."""
    return demos.split(args, all_tasks(), make_prompts, make_pairs, pieces=PIECES)


if __name__ == "__main__":
    demos.main(__doc__, make_corpus)
