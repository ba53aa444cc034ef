"""Make the demo: `python -m halo_verifier_jsonschema_demo.make OUT` writes prompts and model.

The model learns from a beginner's answers: `style.beginner_answer` puts mistakes into some, at fixed rates.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence

from halo_core.demo import build as demos
from halo_core.model.pretraining import Pair
from halo_verifier_jsonschema_demo.style import beginner_answer
from halo_verifier_jsonschema_demo.tasks import Task, all_tasks

PIECES = r'[\[{]*"\w*"(?:: ?[\[{]*)?|[\]},]+ ?|</?tool_call>| ?[A-Za-z]+| ?[^\sA-Za-z"\]},]+|\s+'
"""Pieces that no token spans: words of English; in JSON, a key with its colon, and runs of brackets."""


def make_pairs(tasks: Sequence[Task], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` requests, each with one beginner's answer; every family has the same weight."""
    return demos.make_pairs(
        tasks, count, seed, lambda task, rng: Pair(task.phrase(rng), beginner_answer(task, rng))
    )


def make_prompts(tasks: Sequence[Task], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, one family after the other in rotation."""

    def write(task: Task, rng: random.Random) -> Mapping[str, object]:
        return {"prompt": task.phrase(rng), "reference": task.reference}

    return demos.make_prompts(tasks, count, name, seed, write)


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the whole demo except the weights."""
    return demos.split(args, all_tasks(), make_prompts, make_pairs, pieces=PIECES)


if __name__ == "__main__":
    demos.main(__doc__, make_corpus, pairs=16000)
