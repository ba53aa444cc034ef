"""The interface of the engines that run queries, as the host sees them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_verifier_sql.worker import Caps, Contents, Description, Outcome

LOADING_FACTOR = 10
"""Factor on the time limit while prompts are loaded: their queries are trusted, and databases must be built."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The outcomes of several queries on several databases."""

    outcomes: Sequence[Sequence[Outcome]] = ()
    """Outcomes by query, then by database; empty if the process did not finish."""
    limit: str = ""
    """Limit that ended the process from outside: cpu, memory."""
    died: str = ""
    """Description of the process's end, if no limit caused it."""
    inconclusive: bool = False
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    tier: str = "none"


class Engine(ABC):
    """An engine that runs queries on sets of databases, each identified by a key. Thread-safe."""

    @abstractmethod
    def run(
        self, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps, *, loading: bool
    ) -> Batch:
        """Run each of `queries` on each of `databases`. With `loading` they are trusted and get more time."""

    @abstractmethod
    def contents(self, key: str, databases: Sequence[Description]) -> list[Contents]:
        """Return the databases' contents. Raises `VerifierError` with the engine's message if a build fails."""

    @abstractmethod
    def version(self) -> str:
        """Return the engine's version."""


def make_description(
    schema: str, rows: Mapping[str, tuple[Sequence[str] | None, Sequence[Sequence[Any]]]], *, copy: bool
) -> Description:
    """Return the description of a database, in plain data that can be sent to a sandboxed process."""
    plain = {
        table: (None if columns is None else list(columns), [list(row) for row in contents])
        for table, (columns, contents) in rows.items()
    }
    return {"schema": schema, "rows": plain, "copy": copy}
