"""Mutants of a reference query: each has one change that a model might make by mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot import ErrorLevel, exp

from halo_verifier_sql.changes import clauses, constants, joins, lists, operators, orders
from halo_verifier_sql.constants import DIALECTS, parse
from halo_verifier_sql.row_changes import best, columns, groups, nulls, ties, truths

_MAX_MUTANTS = 80
"""Maximum number of mutants of one query; the kinds of changes take turns."""


def mutants(query: str, dialect: str, tables: Mapping[str, Sequence[str]]) -> list[str]:
    """Return changed copies of `query`, deterministically; an empty list if it cannot be parsed.

    `tables` has the columns of each table. A mutant can be correct: moving a comparison's boundary changes nothing
    if no value lies on it.
    """
    tree = parse(query, dialect)
    if tree is None:
        return []
    kinds = (operators, clauses, joins, constants, lists, orders, groups, nulls, truths, best, ties)
    turns = [*(kind(tree) for kind in kinds), columns(tree, tables)]
    found: dict[str, None] = {}
    while turns and len(found) < _MAX_MUTANTS:
        for turn in list(turns):
            changed = next(turn, None)
            if changed is None:
                turns.remove(turn)
            elif text := _render(changed, dialect):
                found[text] = None
    found.pop(_render(tree, dialect), None)
    return list(found)


def _render(tree: exp.Expr, dialect: str) -> str:
    try:
        return tree.sql(dialect=DIALECTS[dialect], comments=False, unsupported_level=ErrorLevel.IGNORE)
    except Exception:  # a changed tree may be invalid in any way; one mutant fewer does no harm
        return ""
