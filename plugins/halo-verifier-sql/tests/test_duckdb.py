"""The verifier on DuckDB, including its additional types."""
# ruff: noqa: E501 (tables with one case per line)

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from halo_core.drivers import Attack
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sql import SQL

pytest.importorskip("duckdb", reason="the extra `duckdb` is not installed")
from halo_verifier_sql.duck import DuckDatabase

VERIFIER = SQL(dialect="duckdb", cpu_seconds=1.0, copies=2)
ATTACKS = VERIFIER.attacks()
SCHEMA = """
CREATE TABLE place (id INTEGER PRIMARY KEY, name VARCHAR NOT NULL UNIQUE, area DECIMAL(8, 2), wet BOOLEAN, since DATE, tags VARCHAR[]);
CREATE TABLE visit (id INTEGER PRIMARY KEY, place_id INTEGER REFERENCES place (id), mark DOUBLE);
INSERT INTO place VALUES
    (1, 'lake', 10.50, true, '2001-02-03', ['a', 'b']), (2, 'hill', 3.00, false, '2011-02-03', []),
    (3, 'fen', 7.25, true, '1999-12-31', NULL), (4, 'moor', 3.00, NULL, '2005-06-07', ['c']);
INSERT INTO visit VALUES (1, 1, 2.5), (2, 1, 'NaN'), (3, 3, 4.0), (4, 4, 1.5), (5, 3, 4.0);
"""


def judge(query: str, text: str, **more: Any) -> Verdict:
    prompt = Prompt("p", "t", reference={"schema": SCHEMA, "query": query, **more})
    return VERIFIER.check(prompt, Completion("p", 0, text))


def test_there_are_enough_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_rejected(attack: Attack, check_attack: Callable[[SQL, Attack], Verdict]) -> None:
    assert check_attack(VERIFIER, attack).status in (Status.FAIL, Status.INCONCLUSIVE)


def test_references_pass_and_mutants_do_not(check_references_and_mutants: Callable[[SQL], None]) -> None:
    check_references_and_mutants(VERIFIER)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT * FROM place", "SELECT id, name, area, wet, since, tags FROM place ORDER BY name"),
        ("SELECT area FROM place WHERE wet", "SELECT area * 1.00 FROM place WHERE wet = true"),
        ("SELECT name, SUM(mark) FROM place p JOIN visit v ON v.place_id = p.id GROUP BY ALL", "SELECT ANY_VALUE(name), SUM(mark) FROM visit v JOIN place p ON p.id = v.place_id GROUP BY p.id"),
        ("SELECT name FROM place ORDER BY area", "SELECT name FROM place ORDER BY area, name DESC"),
        ("SELECT year(since), COUNT(*) FROM place GROUP BY 1", "SELECT date_part('year', since), SUM(1)::BIGINT FROM place GROUP BY 1"),
        ("SELECT unnest(tags) FROM place", "SELECT u FROM place, unnest(tags) AS t(u)"),
        ("SELECT name, row_number() OVER (ORDER BY id) FROM place", "SELECT name, (SELECT COUNT(*) FROM place q WHERE q.id <= p.id) FROM place p"),
        ("SELECT mark FROM visit", "SELECT NULLIF(mark, -1) FROM visit"),
    ],
)  # fmt: skip
def test_equal_queries_pass(query: str, text: str) -> None:
    verdict = judge(query, text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT wet FROM place", "SELECT CAST(wet AS INTEGER) FROM place"),
        ("SELECT since FROM place", "SELECT CAST(since AS VARCHAR) FROM place"),
        ("SELECT since FROM place", "SELECT CAST(since AS TIMESTAMP) FROM place"),
        ("SELECT area FROM place", "SELECT CAST(area AS DOUBLE) FROM place"),
        ("SELECT tags FROM place", "SELECT CAST(tags AS VARCHAR) FROM place"),
        ("SELECT mark FROM visit", "SELECT CASE WHEN isnan(mark) THEN NULL ELSE mark END FROM visit"),
    ],
)
def test_values_of_other_types_are_wrong(query: str, text: str) -> None:
    assert judge(query, text).stage is Stage.WRONG


@pytest.mark.parametrize("tier", ["weak", "standard", "strong"])
def test_duckdb_starts_in_every_tier(tier: Any) -> None:
    script = f"""
from halo_core import sandbox
from halo_core.errors import SandboxError
from halo_verifier_sql import SQL
sandbox.configure({tier!r})
try:
    sandbox.get()
except SandboxError as error:
    raise SystemExit(f"skip: {{error}}")
SQL(dialect="duckdb").preflight()
print(sandbox.get().tier)
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=300)
    if found.stderr.startswith("skip: "):
        pytest.skip(found.stderr)
    assert found.stdout == f"{tier}\n", found.stderr


def test_a_query_that_writes_is_rejected_and_changes_nothing() -> None:
    query = "SELECT name FROM place"
    for text in (
        "WITH d AS (DELETE FROM visit RETURNING id) SELECT id FROM d",
        "WITH u AS (UPDATE place SET name = '' RETURNING 1) SELECT * FROM u",
    ):
        assert judge(query, text).stage is Stage.FLAWED
    assert judge(query, query).status is Status.PASS


def test_a_copy_has_the_rows_that_the_constraints_allow_unchanged() -> None:
    """Many rows are inserted with one statement: values of several types in a column are not converted to one."""
    schema = """
        CREATE TABLE city (id INTEGER PRIMARY KEY, name VARCHAR, near INTEGER REFERENCES city (id));
        CREATE TABLE trip (id INTEGER UNIQUE, city_id INTEGER REFERENCES city (id), note VARCHAR);
        CREATE TABLE word (text VARCHAR, number BIGINT);
    """
    cities = [[1, "a", 2], [2, 3, None], [2, "again", None], [3, True, 9], [4, 1.0, 1]]
    trips = [[n, 1 + n % 5, f"trip {n % 90}"] for n in range(100)] + [[8, 1, "again"]]
    words = [[1, 2**53 + 1], [1.5, 7], [None, 0.5], [True, None]]
    rows: Any = {
        "trip": (["id", "city_id", "note"], trips),
        "city": (["id", "name", "near"], cities),
        "word": (["text", "number"], words),
    }
    with closing(DuckDatabase({"schema": schema, "rows": rows, "copy": True})) as database:
        contents = database.contents()
    assert sorted(contents["city"][1]) == [[1, "a", 2], [2, "3", None], [4, "1.0", 1]]
    assert contents["word"][1] == [["1", 2**53 + 1], ["1.5", 7], [None, 0], ["true", None]]
    assert sorted(contents["trip"][1]) == [row for row in trips[:100] if row[1] in (1, 2, 4)]
