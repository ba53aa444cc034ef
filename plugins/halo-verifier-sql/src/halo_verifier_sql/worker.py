"""What runs behind the walls for every engine: databases kept ready, queries run on all of them.

The host names a set of databases by a key and sends its description only when asked, once for each process.
Expected results are never here.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from halo_core.sandbox.service import ask

_ROOM = 128 << 20
"""Bytes of databases that a process keeps for later calls, the latest set aside."""

Description = Mapping[str, Any]
"""A database: `schema` (a script), `rows` (by table: columns or None, and rows), `copy` (whether the rows
replace what the script inserted, each left out that a constraint forbids)."""
Contents = dict[str, tuple[list[str], list[list[Any]], list[str]]]
"""By table, its columns, its rows, and which of the columns refer to other rows."""
Found = tuple[str, list[str], str, bool]
"""How a query went: what happened (`rows`, `invalid`, `forbidden`, `failed`, `limit`), the columns' names, the
canonical text of the rows or the reason, and whether it read a table."""


@dataclass(frozen=True, slots=True)
class Caps:
    """What one query may use on one database."""

    steps: int
    """Instructions of the engine's virtual machine, where it has one."""
    rows: int
    bytes: int
    """Length of the canonical text of the result, and of any one value."""


class Database(Protocol):
    """A built database of some engine."""

    size: int
    """Bytes of memory that it takes, roughly."""

    def contents(self) -> Contents:
        """Return everything that its tables hold."""

    def run(self, sql: str, caps: Caps) -> Found:
        """Run one query that may only read."""


_sets: OrderedDict[str, list[Database]] = OrderedDict()


def serve(
    build: Callable[[Description], Database], key: str, queries: Sequence[str] | None, caps: Sequence[int]
) -> Any:
    """Run each of `queries` on each database of the set `key`, or return what they hold where it is None."""
    databases = _sets.get(key)
    if databases is None:
        databases = _build(build, key)
    else:
        _sets.move_to_end(key)
    if queries is None:
        return [database.contents() for database in databases]
    limits = Caps(*caps)
    return [_everywhere(sql, databases, limits) for sql in queries]


def _build(build: Callable[[Description], Database], key: str) -> list[Database]:
    """Build a set of databases, and forget those that were not used for longest where there is no room."""
    described: Any = ask(key)
    _sets[key] = [build(description) for description in described]
    taken = sum(database.size for kept in _sets.values() for database in kept)
    while taken > _ROOM and len(_sets) > 1:
        _, dropped = _sets.popitem(last=False)
        taken -= sum(database.size for database in dropped)
    return _sets[key]


def _everywhere(sql: str, databases: Sequence[Database], caps: Caps) -> list[Found]:
    """Run a query on each database; where it runs into a limit, let the others be, as it would there."""
    found: list[Found] = []
    for database in databases:
        found.append(database.run(sql, caps))
        if found[-1][0] == "limit":
            found += [found[-1]] * (len(databases) - len(found))
            break
    return found


def insert_all(insert: Callable[[str, Any], bool], rows: Mapping[str, tuple[Any, Sequence[Any]]]) -> None:
    """Insert what the constraints let in, in as many rounds as references between the rows take.

    `insert` is given a table and a row and returns whether it went in.
    """
    waiting = [(table, row) for table, (_, rows_of) in rows.items() for row in rows_of]
    while waiting:
        left = [(table, row) for table, row in waiting if not insert(table, row)]
        if len(left) == len(waiting):
            return
        waiting = left
