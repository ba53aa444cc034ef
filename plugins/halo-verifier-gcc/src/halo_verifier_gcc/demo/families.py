"""All tasks: each family lists one for every combination of its parameters.

So a split by task keeps training and held-out prompts apart: what is held out is an unseen combination of
parts that were each seen elsewhere.
"""

from __future__ import annotations

from halo_verifier_gcc.demo import formulas, loops
from halo_verifier_gcc.demo.tasks import Task

FAMILIES = (
    formulas.arithmetic,
    formulas.linear,
    formulas.convert,
    formulas.extreme,
    formulas.check,
    formulas.relate,
    loops.total,
    loops.listing,
    loops.scan,
    loops.line,
    loops.text,
    loops.digits,
    formulas.layout,
    formulas.real,
)


def all_tasks() -> list[Task]:
    """Return every task there is, in a fixed order."""
    return [task for family in FAMILIES for task in family()]
