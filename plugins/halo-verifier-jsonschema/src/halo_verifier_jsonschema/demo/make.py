"""Make the demo anew: `python -m halo_verifier_jsonschema.demo.make OUT` writes prompts and model.

The model learns from answers as beginners give them: `style.careless` spoils some of them, at fixed rates.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence

from halo_core.demo import build as demos
from halo_core.model.pretraining import Pair
from halo_verifier_jsonschema.demo.style import careless
from halo_verifier_jsonschema.demo.tasks import Task, all_tasks

PIECES = r'[\[{]*"\w*"(?:: ?[\[{]*)?|[\]},]+ ?|</?tool_call>| ?[A-Za-z]+| ?[^\sA-Za-z"\]},]+|\s+'
"""Between these no token runs on: words in English; in JSON a key with its colon, and brackets together."""


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` requests, each with one beginner's answer; all families alike."""
    return demos.make_pairs(tasks, count, seed, lambda task, rng: Pair(task.phrase(rng), careless(task, rng)))


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""

    def write(task: Task, rng: random.Random) -> Mapping[str, object]:
        return {"prompt": task.phrase(rng), "reference": task.reference}

    return demos.make_prompts(tasks, count, name, seed, write)


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the whole demo but for the weights."""
    return demos.split(args, all_tasks(), make_prompts, make_pairs, pieces=PIECES)


if __name__ == "__main__":
    demos.main(__doc__, make_corpus, pairs=16000)
