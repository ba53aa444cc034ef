"""Selection of copies: of many candidates, those on which the most wrong queries show.

A candidate is either similar to the given database or bound by the declared constraints alone; one of each kind is
selected at least. Mutants of the reference stand for the wrong queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from halo_core.errors import VerifierError
from halo_verifier_sql import cells
from halo_verifier_sql.compare import Gold, Tolerance, difference
from halo_verifier_sql.worker import Outcome

EXACT = Tolerance()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A database that may be selected, with what was measured on it."""

    gold: Gold | None
    """The reference's result; None if it has none here."""
    is_determined: bool
    """True if the reference leaves no choice to the engine that changes its result."""
    completeness: float
    """Share of its rows that the constraints allowed."""
    is_free: bool = False
    """True if the rows are bound by the declared constraints alone."""
    richness: int = 0
    """In how many ways a free candidate uses the freedom of its schema."""
    kills: set[int] = field(default_factory=set)
    """Mutants that return something else than the reference, by index."""


def find_kills(gold: Gold | None, outcomes: Sequence[Outcome]) -> set[int]:
    """Return the indices of the mutants whose outcome on a database is not the reference's result."""
    if gold is None:
        return set()
    return {
        index
        for index, (kind, columns, text, _) in enumerate(outcomes)
        if kind != "rows" or difference(gold, columns, text, EXACT)
    }


def differ(one: Gold | None, other: Gold | None) -> bool:
    """Return True unless what the reference returned on either of two databases is its result on both."""
    if not one or not other:
        return True
    pairs = ((one, other), (other, one))
    return any(difference(gold, found.columns, found.text, EXACT) for gold, found in pairs)


def select(candidates: Sequence[Candidate], copies: int, more: int = 0) -> list[int]:
    """Return the indices of `copies` candidates; the first candidate is the given database.

    The first copy is free, the second is similar to the given database, as far as the result is determined on such
    candidates. Each is the soundest that is left; among
    equally sound ones, the one that kills the most mutants not killed before, then one with yet another result.
    The first two must also differ from the given database's result if possible, so that constants fail. Raises
    `VerifierError` if the reference does not run on enough of them. Up to `more` others are selected if they kill
    mutants that no other kills.
    """
    given = candidates[0]
    selected: list[int] = []
    killed = set(given.kills)
    for number in range(copies + more):
        usable = [
            index for index, each in enumerate(candidates) if index and each.gold and index not in selected
        ]
        wanted = [index for index in usable if number > 1 or candidates[index].is_free == (number == 0)]
        if given.is_determined:
            wanted = [index for index in wanted if candidates[index].is_determined]
        if not usable and number >= copies:
            break
        if not usable:
            raise VerifierError("the reference does not run on enough perturbed copies of its database")
        results = [given.gold, *(candidates[index].gold for index in selected)]
        merits = {
            index: (
                *_soundness(candidates[index], given, number < 2, is_extra=number >= copies),
                len(candidates[index].kills - killed),
                all(differ(candidates[index].gold, other) for other in results),
                candidates[index].richness,
                -index,
            )
            for index in wanted or usable
        }
        best = max(merits, key=merits.__getitem__)
        if number >= copies and not (candidates[best].is_determined and candidates[best].kills - killed):
            break
        selected.append(best)
        killed |= candidates[best].kills
    return selected


def _soundness(
    candidate: Candidate, given: Candidate, must_differ: bool, *, is_extra: bool
) -> tuple[bool, ...]:
    """Return how well a candidate can tell right from wrong, the most important property first."""
    gold, other = candidate.gold, given.gold
    assert gold
    assert other
    return (
        candidate.is_determined or not given.is_determined,
        gold.count > 0 or not must_differ,
        must_differ and differ(gold, other),
        is_extra or other.has_cut_ties or not gold.has_cut_ties,
        not (must_differ and _lacks_values(gold)) or _lacks_values(other),
        candidate.completeness > 0.5 or not must_differ,
    )


def _lacks_values(gold: Gold) -> bool:
    """Return True if the result is one row of NULLs: most aggregate functions return it where they find nothing."""
    if gold.count != 1:
        return False
    return all(value is None for row in cells.decode(gold.text) for value in row)
