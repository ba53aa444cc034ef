"""Make the demo: `python -m halo_verifier_gcc_demo.make OUT` writes prompts, held-out prompts and model.

The model learns from beginners' programs: `mistakes` adds mistakes to correct programs at fixed rates.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence

from halo_core.demo import build as demos
from halo_core.model.pretraining import Pair
from halo_core.seeds import derive_seed
from halo_verifier_gcc_demo.families import all_tasks
from halo_verifier_gcc_demo.mistakes import BEGINNER
from halo_verifier_gcc_demo.style import Style
from halo_verifier_gcc_demo.tasks import Task, draw_tests, phrase

PIECES = r"#include <\w+\.h>|\n[^\n]*| ?[A-Za-z]+| ?[^\sA-Za-z]+|\s+"
"""No token spans two matches: words in English, but whole lines in code, so that programs have few tokens."""
TESTS = 4
"""Tests for each prompt."""


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with a beginner's program; all families are equally likely."""

    def write(task: Task, rng: random.Random) -> Pair:
        return Pair(phrase(task, rng), BEGINNER(task.write(Style(rng)), rng))

    return demos.make_pairs(tasks, count, seed, write)


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""

    def write(task: Task, rng: random.Random) -> Mapping[str, object]:
        return {
            "prompt": phrase(task, rng),
            "reference": {
                "language": "c",  # the texts name none, because the demo's model knows no other
                "tests": draw_tests(task, rng, TESTS),
                "solution": solve(task, seed),
            },
        }

    return demos.make_prompts(tasks, count, name, seed, write)


def solve(task: Task, seed: int) -> str:
    """Return a correct program, drawn from a separate generator so that the prompts do not depend on it."""
    return task.write(Style(random.Random(derive_seed(seed, "solution", task.key))))


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the whole demo except the weights."""
    return demos.split(args, all_tasks(), make_prompts, make_pairs, pieces=PIECES)


if __name__ == "__main__":
    demos.main(__doc__, make_corpus)
