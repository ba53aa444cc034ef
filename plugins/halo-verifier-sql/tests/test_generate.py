"""Copies that are bound by the declared constraints alone."""
# ruff: noqa: E501 (tables with one case per line)

import random
from collections.abc import Iterator
from typing import Any

import pytest

from halo_core.types import Completion, Prompt, Status
from halo_verifier_sql import SQL
from halo_verifier_sql.constants import of_query
from halo_verifier_sql.engines import make_description
from halo_verifier_sql.generate import generate, richness
from halo_verifier_sql.sqlite import SQLiteDatabase
from halo_verifier_sql.tables import Table, read_tables

SCHEMA = """
CREATE TABLE area (code TEXT PRIMARY KEY, title TEXT NOT NULL, size INTEGER);
CREATE TABLE team (id INTEGER PRIMARY KEY, name TEXT, area TEXT REFERENCES area, kind TEXT CHECK (kind IN ('a', 'b')));
CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT, team_id INTEGER NOT NULL REFERENCES team (id), wage REAL,
                    boss INTEGER REFERENCES staff (id), guess INTEGER);
CREATE TABLE seat (team_id INTEGER REFERENCES team (id), place INTEGER, owner INTEGER UNIQUE REFERENCES staff (id),
                   PRIMARY KEY (team_id, place));
CREATE TABLE log (line TEXT);
"""
ROWS = {
    "area": [["n", "north", 1], ["s", "south", 2], ["w", "west", 5]],
    "team": [[1, "ops", "n", "a"], [2, "law", "s", "b"], [3, "web", "w", "a"]],
    "staff": [[1, "ann", 1, 1.1, None, 7], [2, "bob", 2, 2.2, 1, 8], [3, "cyd", 3, 3.3, 2, 9]],
    "seat": [[1, 1, 1], [2, 1, 2], [3, 2, 3]],
    "log": [["start"], ["stop"]],
}


def tables_of(schema: str, rows: Any, query: str = "SELECT 1") -> dict[str, Table]:
    given = SQLiteDatabase(
        make_description(schema, {table: (None, each) for table, each in rows.items()}, copy=False)
    )
    return read_tables(given.contents(), of_query(query, "sqlite"), "sqlite")


TABLES = tables_of(SCHEMA, ROWS)
COPIES = [generate(TABLES, random.Random(seed)) for seed in range(30)]


def columns_of(table: str) -> Iterator[dict[str, list[Any]]]:
    for copy in COPIES:
        names, rows = copy[table]
        yield dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def test_equal_seeds_give_equal_copies() -> None:
    assert generate(TABLES, random.Random(3)) == COPIES[3]
    assert len({repr(copy) for copy in COPIES}) == len(COPIES)


def test_copies_satisfy_the_constraints_as_they_are_made() -> None:
    for copy in COPIES:
        database = SQLiteDatabase(make_description(SCHEMA, copy, copy=True))
        stored = database.contents()
        for name, (_, rows) in copy.items():
            assert len(rows) >= 5
            if name != "team":  # a CHECK may reject some
                assert sorted(map(repr, stored[name][1])) == sorted(map(repr, rows))
        assert len(stored["team"][1]) >= len(copy["team"][1]) // 2


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("area", "title"),
        ("area", "size"),
        ("team", "name"),
        ("staff", "wage"),
        ("staff", "team_id"),
        ("log", "line"),
    ],
)
def test_values_repeat_unless_they_are_declared_unique(table: str, column: str) -> None:
    repeating = sum(len(set(values[column])) < len(values[column]) for values in columns_of(table))
    assert repeating > len(COPIES) / 2


@pytest.mark.parametrize(
    ("table", "column", "allowed"),
    [
        *(
            ("area", "code", False),
            ("area", "title", False),
            ("staff", "team_id", False),
            ("seat", "place", False),
        ),
        *(("area", "size", True), ("team", "area", True), ("staff", "boss", True), ("log", "line", True)),
    ],
)
def test_nulls_stand_wherever_they_are_allowed(table: str, column: str, allowed: bool) -> None:
    assert any(None in values[column] for values in columns_of(table)) is allowed


def test_some_rows_are_referred_to_often_and_some_never() -> None:
    for copy in COPIES:
        teams = {row[0] for row in copy["team"][1]}
        used = [row[2] for row in copy["staff"][1]]
        assert set(used) <= teams
    assert sum(len(set(used["team_id"])) < len(used["team_id"]) for used in columns_of("staff")) == len(
        COPIES
    )
    assert any({row[0] for row in copy["team"][1]} - {row[2] for row in copy["staff"][1]} for copy in COPIES)


def test_undeclared_references_may_match_nothing() -> None:
    for copy in COPIES:
        if {row[5] for row in copy["staff"][1]} - {row[0] for row in copy["staff"][1]} - {None}:
            return
    raise AssertionError


def test_rows_repeat_in_tables_without_a_key() -> None:
    assert any(len(set(map(tuple, copy["log"][1]))) < len(copy["log"][1]) for copy in COPIES)


def test_sums_of_floats_do_not_depend_on_the_order() -> None:
    for values in columns_of("staff"):
        numbers = [value for value in values["wage"] if value is not None]
        assert all(value * 4 == round(value * 4) for value in numbers)


def test_richness_counts_what_the_schema_allows() -> None:
    tables = tables_of("CREATE TABLE t (a INTEGER, b INTEGER)", {"t": [[1, 2]]})
    assert richness(tables, {"t": (["a", "b"], [[1, 5], [2, 6]])}) == 0
    assert richness(tables, {"t": (["a", "b"], [[1, 5], [1, None]])}) == 3
    assert richness(tables, {"t": (["a", "b"], [])}) == 0


def test_empty_tables_get_rows() -> None:
    made = generate(tables_of("CREATE TABLE t (a INTEGER, b DATE, c TEXT, d BLOB)", {}), random.Random(0))
    assert len(made["t"][1]) >= 5
    reference = {
        "schema": "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER); CREATE TABLE closed (t_id INTEGER);",
        "rows": {"t": [[1, 5], [2, 6], [3, 9]]},
        "query": "SELECT n FROM t WHERE id NOT IN (SELECT t_id FROM closed WHERE t_id IS NOT NULL)",
    }
    verdict = SQL().check(Prompt("p", "t", reference=reference), Completion("p", 0, "SELECT n FROM t"))
    assert verdict.status is Status.FAIL


# Schemas that SQLite accepts but cannot check


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE a (id INTEGER, n TEXT); CREATE TABLE b (a_id INTEGER NOT NULL REFERENCES a (id));",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT); CREATE TABLE b (a_id INTEGER NOT NULL REFERENCES c (id));",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT); CREATE TABLE b (a_id INTEGER REFERENCES A);",
        "CREATE TABLE a (id INTEGER, n TEXT, PRIMARY KEY (id)); CREATE TABLE b (a_id REFERENCES a DEFERRABLE INITIALLY DEFERRED);",
        'CREATE TABLE a ("id" INTEGER PRIMARY KEY AUTOINCREMENT, n TEXT); CREATE TABLE b (a_id INTEGER REFERENCES a);',
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT) WITHOUT ROWID; CREATE TABLE b (a_id INTEGER REFERENCES a);",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, n TEXT); CREATE INDEX i ON a (n); CREATE VIEW v AS SELECT n FROM a;"
        "CREATE TABLE b (a_id INTEGER REFERENCES a); CREATE TRIGGER r AFTER DELETE ON a BEGIN SELECT 1; END;",
    ],
)  # fmt: skip
def test_foreign_keys_of_any_kind(schema: str) -> None:
    rows = {"a": [[1, "x"], [2, "y"], [3, "z"]], "b": [[1], [2], [3]]}
    query = "SELECT n FROM a JOIN b ON b.a_id = a.id"
    prompt = Prompt("p", "t", reference={"schema": schema, "rows": rows, "query": query})
    verifier = SQL()
    assert verifier.check(prompt, Completion("p", 0, query)).status is Status.PASS
    assert verifier.check(prompt, Completion("p", 0, "SELECT n FROM a")).status is Status.FAIL


@pytest.mark.parametrize("key", ["id INTEGER PRIMARY KEY", "id INTEGER NOT NULL, PRIMARY KEY (id)"])
def test_copies_are_not_stored_in_the_order_of_their_keys(key: str) -> None:
    first, rest = (key + ",").split(",", 1)
    schema = f"CREATE TABLE t ({first}, n INTEGER{', ' + rest.strip(', ') if rest.strip(', ') else ''})"
    rows = {"t": (["id", "n"], [[number, 1] for number in (3, 1, 5, 2, 4)])}
    database = SQLiteDatabase(make_description(schema, rows, copy=True))
    assert [row[0] for row in database.contents()["t"][1]] not in ([1, 2, 3, 4, 5], [5, 4, 3, 2, 1])
