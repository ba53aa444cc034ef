"""Makes the demo anew: `python -m halo_verifier_sympy.demo.make OUT` writes prompts, held-out prompts and model.

The model learns from calculations as beginners write them: `mistakes` spoils some of them, at fixed rates.
"""

from __future__ import annotations

import argparse
import itertools
import random

from halo_core.demo import build as demos
from halo_core.demo.build import is_heldout
from halo_core.model.pretraining import Pair
from halo_core.seeds import derive_seed
from halo_verifier_sympy.demo.mistakes import careless
from halo_verifier_sympy.demo.tasks import FAMILIES, Task, draw, phrase, solution

PIECES = r"\\[a-z]+\{?|[0-9]| ?[A-Za-z]{3,}| [-+=<>]=? |[A-Za-z]|[^\sA-Za-z0-9\\]|\s"
"""Between these no token runs on. Variables and digits are tokens of their own wherever they stand: a tiny model
copies a token more easily than it learns that two tokens hold the same letter."""


def make_pairs(count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's answer; all families alike."""
    rng = random.Random(derive_seed(seed, "pairs"))
    families = list(FAMILIES)
    pairs: list[Pair] = []
    while len(pairs) < count:
        task = draw(rng.choice(families), rng)
        if not is_heldout(task):
            pairs.append(Pair(phrase(task, rng), careless(solution(task, rng), rng)))
    return pairs


def make_prompts(count: int, name: str, seed: int, *, heldout: bool) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""
    rng = random.Random(derive_seed(seed, name))
    chosen: dict[str, Task] = {}
    for family in itertools.cycle(FAMILIES):  # goes on with the others when one has no more tasks
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
    """Return the whole demo but for the weights."""
    return demos.Corpus(
        make_prompts(args.prompts, "train", args.seed, heldout=False),
        make_prompts(args.heldout, "heldout", args.seed, heldout=True),
        make_pairs(args.pairs, args.seed),
        pieces=PIECES,
        vocabulary=512,
    )


if __name__ == "__main__":
    demos.main(__doc__, make_corpus, pairs=48000, epochs=4)
