"""Regenerate the demo: `python -m halo_verifier_sympy_demo.make OUT` writes prompts, held-out prompts and the model.

The model learns from calculations as beginners write them: `mistakes` adds mistakes to them at fixed rates.
"""

from __future__ import annotations

import argparse
import itertools
import random

from halo_core.demo import build as demos
from halo_core.demo.build import is_heldout
from halo_core.model.pretraining import Pair
from halo_core.seeds import derive_seed
from halo_verifier_sympy_demo.mistakes import as_beginner
from halo_verifier_sympy_demo.tasks import FAMILIES, Task, draw, phrase, solution

PIECES = r"\\[a-z]+\{?|[0-9]| ?[A-Za-z]{3,}| [-+=<>]=? |[A-Za-z]|[^\sA-Za-z0-9\\]|\s"
"""No token crosses the boundary between two of these matches. Each variable and digit is a separate token: a tiny
model copies a token more easily than it learns that two tokens contain the same letter."""


def make_pairs(count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's answer; all families are equally likely."""
    rng = random.Random(derive_seed(seed, "pairs"))
    families = list(FAMILIES)
    pairs: list[Pair] = []
    while len(pairs) < count:
        task = draw(rng.choice(families), rng)
        if not is_heldout(task):
            pairs.append(Pair(phrase(task, rng), as_beginner(solution(task, rng), rng)))
    return pairs


def make_prompts(count: int, name: str, seed: int, *, heldout: bool) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, cycling through the families."""
    rng = random.Random(derive_seed(seed, name))
    chosen: dict[str, Task] = {}
    for family in itertools.cycle(FAMILIES):  # a family without further tasks leaves its turns to the others
        task = draw(family, rng)
        if is_heldout(task) == heldout:
            chosen.setdefault(task.key, task)
        if len(chosen) == count:
            break
    return [
        {
            "id": f"{name}-{number:03}",
            "prompt": phrase(task, rng),
            "reference": dict(task.reference),
            "family": task.family,
        }
        for number, task in enumerate(chosen.values(), 1)
    ]


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return everything in the demo except the model's weights."""
    return demos.Corpus(
        make_prompts(args.prompts, "train", args.seed, heldout=False),
        make_prompts(args.heldout, "heldout", args.seed, heldout=True),
        make_pairs(args.pairs, args.seed),
        pieces=PIECES,
        vocabulary=512,
    )


if __name__ == "__main__":
    demos.main(__doc__, make_corpus, pairs=48000, epochs=4)
