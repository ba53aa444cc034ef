"""Make the demo anew: `python -m halo_verifier_jsonschema.demo.make OUT` writes prompts and model.

The model learns from answers as beginners give them: `style.careless` spoils some of them, at fixed rates.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Iterable, Sequence

from halo_core import demos
from halo_core.pretrain import Pair
from halo_core.seeds import derive_seed
from halo_verifier_jsonschema.demo.style import careless
from halo_verifier_jsonschema.demo.tasks import Task, all_tasks

PIECES = r'[\[{]*"\w*"(?:: ?[\[{]*)?|[\]},]+ ?|</?tool_call>| ?[A-Za-z]+| ?[^\sA-Za-z"\]},]+|\s+'
"""Between these no token runs on: words in English; in JSON a key with its colon, and brackets together."""


def is_heldout(task: Task) -> bool:
    """Whether a task is kept from the corpus: about one in four, by its name alone."""
    return hashlib.sha256(task.key.encode()).digest()[0] < 64


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` requests, each with one beginner's answer; all families alike."""
    rng = random.Random(derive_seed(seed, "pairs"))
    by_family = list(_families(tasks).values())
    chosen = [rng.choice(rng.choice(by_family)) for _ in range(count)]
    return [Pair(task.phrase(rng), careless(task, rng)) for task in chosen]


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""
    rng = random.Random(derive_seed(seed, name))
    waiting = [rng.sample(family, len(family)) for family in _families(tasks).values()]
    turns = (family.pop() for _ in range(max(map(len, waiting))) for family in waiting if family)
    chosen = [task for task, _ in zip(turns, range(count), strict=False)]
    return [
        {
            "id": f"{name}-{number:03}",
            "prompt": task.phrase(rng),
            "reference": task.reference,
            "family": task.family,
        }
        for number, task in enumerate(chosen, 1)
    ]


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
    demos.main(__doc__, make_corpus, pairs=16000)
