"""Tables of a prompt's database: their rows, what the schema declares, and the domain of each column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_verifier_sql.constants import Constants, of_check
from halo_verifier_sql.domains import Domain, domain_of
from halo_verifier_sql.worker import Contents


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table, by place, that refer to columns of another."""

    places: tuple[int, ...]
    table: str
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the given database."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    domains: tuple[Domain, ...]
    required: tuple[bool, ...]
    """For each column, True if it is declared to hold no NULL."""
    unique: tuple[tuple[int, ...], ...]
    """Places of the columns that are declared to be unique together, the smallest sets first."""
    foreign_keys: tuple[ForeignKey, ...]


def read_tables(contents: Contents, constants: Constants, dialect: str) -> dict[str, Table]:
    """Return the tables in `contents`. `constants` are those of the reference query."""
    places = {table: _places(columns) for table, (columns, *_) in contents.items()}
    found = {}
    for name, (columns, rows, declared) in contents.items():
        checks = [of_check(text, dialect) for text in declared["checks"]]
        domains = tuple(
            domain_of(kind, [row[place] for row in rows], column, constants, checks)
            for place, (column, kind) in enumerate(zip(columns, declared["types"], strict=True))
        )
        unique = {tuple(sorted(at)) for each in declared["unique"] if (at := _located(places[name], each))}
        keys = tuple(
            key for each in declared["references"] if (key := _foreign_key(each, name, places, contents))
        )
        ordered = tuple(sorted(unique, key=lambda each: (len(each), each)))
        found[name] = Table(tuple(columns), rows, domains, tuple(declared["required"]), ordered, keys)
    return found


def parents_first(tables: Mapping[str, Table]) -> list[str]:
    """Return the names of the tables, each after those that it refers to unless they form a cycle."""
    ordered: list[str] = []
    waiting = list(tables)
    while waiting:
        ready = [
            name
            for name in waiting
            if all(key.table == name or key.table not in waiting for key in tables[name].foreign_keys)
        ]
        for name in ready or waiting[:1]:
            ordered.append(name)
            waiting.remove(name)
    return ordered


def _places(columns: Iterable[str]) -> dict[str, int]:
    return {column.lower(): place for place, column in enumerate(columns)}


def _located(places: Mapping[str, int], columns: Sequence[str]) -> tuple[int, ...]:
    """Return the places of some columns; empty if one is not stored in the table."""
    found = [places.get(column.lower(), -1) for column in columns]
    return () if -1 in found else tuple(found)


def _foreign_key(
    given: Sequence[Any], name: str, places: Mapping[str, Mapping[str, int]], contents: Contents
) -> ForeignKey | None:
    columns, target, others = given
    table = next((each for each in contents if each.lower() == target.lower()), None)
    if table is None:
        return None
    key: Sequence[str] = others or next(iter(contents[table][2]["unique"][::-1]), [])
    here, there = _located(places[name], columns), _located(places[table], key)
    return ForeignKey(here, table, there) if here and len(here) == len(there) else None
