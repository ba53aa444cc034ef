"""Make the demo anew: `python -m halo_verifier_sql.demo.make OUT` writes prompts, held-out prompts and model.

The model learns from queries as beginners write them: `mistakes` spoils some of them, at fixed rates.
"""

from __future__ import annotations

import argparse
import hashlib
import random
from collections.abc import Iterable, Sequence

from halo_core import demos
from halo_core.errors import DataError
from halo_core.pretrain import Pair
from halo_core.seeds import derive_seed
from halo_core.types import Prompt
from halo_verifier_sql.demo.mistakes import careless
from halo_verifier_sql.demo.style import Pen, Plain
from halo_verifier_sql.demo.tasks import Query, all_tasks, phrase
from halo_verifier_sql.verifier import SQL

PIECES = r"\n| ?\w+| ?[^\s\w]+|\s+"
"""Between these no token runs on: words and numbers, and runs of signs."""


def is_heldout(task: Query) -> bool:
    """Whether a task is kept from the corpus: about one in four, by its name alone."""
    return hashlib.sha256(task.key.encode()).digest()[0] < 64


def make_pairs(tasks: Sequence[Query], count: int, seed: int) -> list[Pair]:
    """Return the corpus: `count` prompts, each with one beginner's query; all families alike."""
    rng = random.Random(derive_seed(seed, "pairs"))
    by_family = list(_families(tasks).values())
    chosen = [rng.choice(rng.choice(by_family)) for _ in range(count)]
    return [Pair(phrase(task, rng), careless(Pen(rng).write(task), rng)) for task in chosen]


def make_prompts(tasks: Sequence[Query], count: int, name: str, seed: int) -> list[dict[str, object]]:
    """Return `count` prompts for different tasks, taking the families in turn."""
    rng = random.Random(derive_seed(seed, name))
    waiting = [rng.sample(family, len(family)) for family in _families(tasks).values()]
    turns = (family.pop() for _ in range(max(map(len, waiting))) for family in waiting if family)
    made: list[dict[str, object]] = []
    for task in turns:
        if len(made) == count:
            break
        text, reference = phrase(task, rng), reference_of(task)
        if _usable(Prompt("p", text, reference=reference)):
            made.append(
                {
                    "id": f"{name}-{len(made) + 1:03}",
                    "prompt": text,
                    "reference": reference,
                    "family": task.family,
                }
            )
    return made


def reference_of(task: Query) -> dict[str, object]:
    """Return what a task is judged by."""
    domain = task.domain
    return {
        "schema": domain.schema,
        "rows": {domain.table: [list(row) for row in domain.rows]},
        "query": Plain().write(task),
    }


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


def _usable(prompt: Prompt) -> bool:
    try:
        SQL().check_prompt(prompt)
    except DataError:
        return False
    return True


def _families(tasks: Iterable[Query]) -> dict[str, list[Query]]:
    families: dict[str, list[Query]] = {}
    for task in tasks:
        families.setdefault(task.family, []).append(task)
    return families


if __name__ == "__main__":
    demos.main(__doc__, make_corpus)
