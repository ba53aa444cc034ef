"""Perturbed copies of databases."""

import random
from typing import Any

from halo_core.types import Prompt
from halo_verifier_sql import SQL
from halo_verifier_sql.constants import Constants
from halo_verifier_sql.perturb import perturb
from halo_verifier_sql.tables import read_tables
from halo_verifier_sql.worker import Contents, Declared

STAFF: list[list[Any]] = [
    [n, f"n{n}", 1 + n % 3, 50 + 7 * n, f"20{n:02}-01-15", None if n % 2 else "yes"] for n in range(1, 13)
]


def declared(*types: str, **more: Any) -> Declared:
    return {
        "types": list(types),
        "required": [False for _ in types],
        "unique": [],
        "references": [],
        "checks": [],
        **more,
    }


CONTENTS: Contents = {
    "team": (["id", "name"], [[1, "ops"], [2, "law"], [3, "hr"]], declared("INTEGER", "TEXT")),
    "staff": (
        ["id", "name", "team_id", "salary", "since", "left"],
        STAFF,
        declared(
            *("INTEGER", "TEXT", "INTEGER", "INTEGER", "TEXT", "TEXT"),
            references=[[["team_id"], "team", ["id"]]],
        ),
    ),
    "none": (["a"], [], declared("INTEGER")),
}
TABLES = read_tables(CONTENTS, Constants({"salary": [99]}), "sqlite")


def copies(count: int) -> list[dict[str, tuple[list[str], list[list[object]]]]]:
    return [perturb(TABLES, random.Random(seed)) for seed in range(count)]


def test_equal_seeds_give_equal_copies() -> None:
    assert copies(3) == copies(3)
    assert len({repr(copy) for copy in copies(10)}) == 10


def test_copies_stay_plausible() -> None:
    for copy in copies(20):
        teams, staff = copy["team"][1], copy["staff"][1]
        keys = {row[0] for row in teams}
        assert len(keys) == len(teams)
        assert len({row[0] for row in staff}) == len(staff)
        assert len({row[1] for row in staff}) == len(staff)
        assert {row[2] for row in staff} <= {1, 2, 3}
        assert {row[5] for row in staff} <= {None, "yes"}
        assert all(row[3] is not None for row in staff)
        assert all(len(str(row[4])) == 10 for row in staff)
        assert copy["none"] == (["a"], [])
        assert staff != sorted(staff)


def test_copies_differ_in_every_way() -> None:
    made = copies(20)
    before = STAFF
    assert any(len(copy["staff"][1]) < len(before) + 4 for copy in made)  # rows dropped
    assert any(
        {row[0] for row in copy["staff"][1]} - {row[0] for row in before} for copy in made
    )  # rows added
    assert any(99 in {row[3] for row in copy["staff"][1]} for copy in made)  # a constant of the reference
    for place in range(1, 6):
        values = {row[0]: row[place] for row in before}
        assert any(
            row[place] != values.get(row[0], row[place]) for copy in made for row in copy["staff"][1]
        ), place


def test_constraints_hold_on_copies() -> None:
    schema = """
        CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES node (id), size INTEGER CHECK (size > 2));
        CREATE TABLE tag (node INTEGER NOT NULL REFERENCES node (id), word TEXT, UNIQUE (node, word));
    """
    rows = {
        "tag": [[n, word] for n in range(1, 7) for word in ("a", "b")],
        "node": [[n, n // 2 or None, 3 + n % 5] for n in range(1, 10)],
    }
    verifier = SQL()
    for query in (
        "SELECT COUNT(*) FROM tag",
        "SELECT id, size FROM node",
        "SELECT SUM(size) FROM node WHERE parent > 2",
    ):
        prompt = Prompt("p", "t", reference={"schema": schema, "rows": rows, "query": query})
        task = verifier._task(prompt)
        for number, copy in enumerate(verifier._engine().contents(f"{task.key}/", task.databases)[1:]):
            nodes, tags = copy["node"][1], copy["tag"][1]
            keys = {row[0] for row in nodes}
            assert number > 1 or min(len(nodes), len(tags)) > 3
            assert {row[1] for row in nodes} <= keys | {None}
            assert {row[0] for row in tags} <= keys
            assert all(row[2] is None or row[2] > 2 for row in nodes)
