"""Make the demo anew: `python -m halo_verifier_gcc.demo.make OUT` writes prompts, held-out prompts and model.

The model learns from programs as beginners write them: `mistakes` spoils some of them, at fixed rates.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Iterable, Sequence

from halo_core import demos
from halo_core.pretrain import Pair
from halo_core.seeds import derive_seed
from halo_verifier_gcc.demo.families import all_tasks
from halo_verifier_gcc.demo.mistakes import careless
from halo_verifier_gcc.demo.style import Pen
from halo_verifier_gcc.demo.tasks import Task, draw_tests, phrase

PIECES = r"#include <\w+\.h>|\n[^\n]*| ?[A-Za-z]+| ?[^\sA-Za-z]+|\s+"
"""Between these no token runs on: words in English, but whole lines in code, so that programs are short."""
TESTS = 4
"""Tests for each prompt."""


def is_heldout(task: Task) -> bool:
    """Whether a task is kept from the corpus: about one in four, by its name alone."""
    return hashlib.sha256(task.key.encode()).digest()[0] < 64


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's program; all families alike."""
    rng = random.Random(derive_seed(seed, "pairs"))
    by_family = list(_families(tasks).values())
    chosen = [rng.choice(rng.choice(by_family)) for _ in range(count)]
    return [Pair(phrase(task, rng), careless(task.write(Pen(rng)), rng)) for task in chosen]


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""
    rng = random.Random(derive_seed(seed, name))
    waiting = [rng.sample(family, len(family)) for family in _families(tasks).values()]
    turns = (family.pop() for _ in range(max(map(len, waiting))) for family in waiting if family)
    chosen = [task for task, _ in zip(turns, range(count), strict=False)]
    return [
        {
            "id": f"{name}-{number:03}",
            "prompt": phrase(task, rng),
            "reference": {"tests": draw_tests(task, rng, TESTS), "solution": solve(task, seed)},
            "family": task.family,
        }
        for number, task in enumerate(chosen, 1)
    ]


def solve(task: Task, seed: int) -> str:
    """Return a correct program, in a hand of its own: what is drawn for the prompts does not depend on it."""
    return task.write(Pen(random.Random(derive_seed(seed, "solution", task.key))))


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the whole demo but for the weights."""
    tasks = all_tasks()
    seen = [task for task in tasks if not is_heldout(task)]
    unseen = [task for task in tasks if is_heldout(task)]
    return demos.Corpus(
        make_prompts(seen, args.prompts, "train", args.seed),
        make_prompts(unseen, args.heldout, "heldout", args.seed),
        make_pairs(seen, args.pairs, args.seed),
        pieces=PIECES,
    )


def _families(tasks: Iterable[Task]) -> dict[str, list[Task]]:
    families: dict[str, list[Task]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    return families


if __name__ == "__main__":
    demos.main(__doc__, make_corpus)
