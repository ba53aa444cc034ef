"""Create the demo: `python -m halo_verifier_sql_demo.make OUT` writes prompts, held-out prompts and model.

The model is trained on queries with beginners' mistakes, which `mistakes` introduces at fixed rates.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence

from halo_core.demo import build as demos
from halo_core.errors import DataError
from halo_core.model.pretraining import Pair
from halo_core.types import Prompt
from halo_verifier_sql.verifier import SQL
from halo_verifier_sql_demo.mistakes import careless
from halo_verifier_sql_demo.style import Author, ReferenceAuthor
from halo_verifier_sql_demo.tasks import Query, all_tasks, phrase

PIECES = r"\n| ?\w+| ?[^\s\w]+|\s+"
"""Units that no token crosses: newlines, words and numbers, runs of punctuation, runs of white space."""


def make_pairs(tasks: Sequence[Query], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's query; all families are equally likely."""

    def write(task: Query, rng: random.Random) -> Pair:
        return Pair(phrase(task, rng), careless(Author(rng).write(task), rng))

    return demos.make_pairs(tasks, count, seed, write)


def make_prompts(tasks: Sequence[Query], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, cycling through the families."""

    def write(task: Query, rng: random.Random) -> Mapping[str, object] | None:
        text, reference = phrase(task, rng), reference_of(task)
        usable = _usable(Prompt("p", text, reference=reference))
        return {"prompt": text, "reference": reference} if usable else None

    return demos.make_prompts(tasks, count, name, seed, write)


def reference_of(task: Query) -> dict[str, object]:
    """Return the reference of a task."""
    domain = task.domain
    return {
        "schema": domain.schema,
        "rows": {domain.table: [list(row) for row in domain.rows]},
        "query": ReferenceAuthor().write(task),
    }


def make_corpus(args: argparse.Namespace) -> demos.Corpus:
    """Return the whole demo except the weights."""
    return demos.split(args, all_tasks(), make_prompts, make_pairs, pieces=PIECES)


def _usable(prompt: Prompt) -> bool:
    try:
        SQL().check_prompt(prompt)
    except DataError:
        return False
    return True


if __name__ == "__main__":
    demos.main(__doc__, make_corpus)
