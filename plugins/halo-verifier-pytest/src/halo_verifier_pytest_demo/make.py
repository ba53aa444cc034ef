"""Build the demo: `python -m halo_verifier_pytest_demo.make OUT` writes prompts, held-out prompts and model.

The model is trained on functions in a beginner's style; `mistakes` introduces errors at fixed rates.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from halo_core.demo import build as demos
from halo_core.model.pretraining import Pair
from halo_verifier_pytest.mutants import mutate
from halo_verifier_pytest_demo.mistakes import careless
from halo_verifier_pytest_demo.style import Author
from halo_verifier_pytest_demo.tasks import Task, all_tasks, draw_arguments, phrase

PIECES = r"\n[^\n]*| ?[A-Za-z]+| ?[^\sA-Za-z]+|\s+"
"""Pieces that no token crosses: words in English, up to whole lines in code, so that completions are short."""
TESTS = 5
"""Minimum number of tests per prompt; more are added until all mutants that the pool can detect are detected."""
POOL = 24
"""Number of candidate arguments from which the tests are chosen."""
_MUTANTS = 100


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return a corpus of `count` prompts, each with one beginner's function; families are equally likely."""

    def write(task: Task, rng: random.Random) -> Pair:
        return Pair(phrase(task, rng), careless(Author(rng).program(task), rng))

    return demos.make_pairs(tasks, count, seed, write)


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for distinct tasks, cycling through the families."""

    def write(task: Task, rng: random.Random) -> Mapping[str, object]:
        return {"prompt": phrase(task, rng), "reference": make_reference(task, rng)}

    return demos.make_prompts(tasks, count, name, seed, write)


def make_reference(task: Task, rng: random.Random) -> dict[str, object]:
    """Return a solution of the task and tests that distinguish it from its mutants where the argument pool can."""
    solution = Author(rng).program(task)
    correct, mutants = _runner(solution), [_runner(text) for text in mutate(solution, _MUTANTS)]
    pool = draw_arguments(task, rng, POOL)
    detected = [
        {n for n, mutant in enumerate(mutants) if mutant(argument) != correct(argument)} for argument in pool
    ]
    chosen: list[int] = []
    while len(chosen) < TESTS or set().union(*detected) - set().union(*(detected[n] for n in chosen)):
        covered = set().union(*(detected[n] for n in chosen))
        remaining = (n for n in range(len(pool)) if n not in chosen)
        chosen.append(max(remaining, key=lambda n: len(detected[n] - covered)))
    return {
        "entry_point": "f",
        "tests": [_test(argument, task.answer(argument)) for argument in (pool[n] for n in chosen)],
        "solution": solution,
    }


def _test(argument: object, answer: object) -> dict[str, object]:
    if isinstance(answer, set):
        return {"args": [argument], "returns": repr(answer)}
    return {"args": [argument], "expected": answer}


def _runner(program: str) -> Callable[[object], str]:
    """Return a function that runs the trusted `program` on an argument; it returns the value or exception as text."""
    namespace: dict[str, Any] = {}
    exec(program, namespace)

    def outcome(argument: object) -> str:
        try:
            return repr(namespace["f"](argument))
        except Exception as error:
            return type(error).__name__

    return outcome


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the prompts, held-out prompts and training pairs of the demo."""
    return demos.split(args, all_tasks(), make_prompts, make_pairs, pieces=PIECES)


if __name__ == "__main__":
    demos.main(__doc__, make_corpus)
