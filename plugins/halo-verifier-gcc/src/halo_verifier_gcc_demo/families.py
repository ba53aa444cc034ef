"""All tasks: each family yields one task for every combination of its parameters.

So a split by task separates training from held-out prompts: a held-out prompt is an unseen combination of parts
that each occur in training.
"""

from __future__ import annotations

from halo_verifier_gcc_demo import formulas, loops
from halo_verifier_gcc_demo.tasks import Task

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
    """Return every task, in a fixed order."""
    return [task for family in FAMILIES for task in family()]
