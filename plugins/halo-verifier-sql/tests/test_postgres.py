"""The verifier on PostgreSQL; the tests start a temporary server."""
# ruff: noqa: E501 (tables with one case per line)

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from halo_core.drivers import Attack
from halo_core.errors import PluginError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sql import SQL

pytest.importorskip("psycopg", reason="the extra `postgres` is not installed")
pytest.importorskip("pglast", reason="the extra `postgres` is not installed")
ATTACKS = SQL(dialect="postgresql").attacks()
SCHEMA = """
CREATE TYPE mood AS ENUM ('low', 'high');
CREATE TABLE place (id INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name TEXT UNIQUE, area NUMERIC(8, 2), wet BOOLEAN, since DATE, info JSONB,
                    code CHAR(4), feel mood, raw BYTEA);
CREATE TABLE visit (id INTEGER PRIMARY KEY, place_id INTEGER REFERENCES place, mark DOUBLE PRECISION);
INSERT INTO place (name, area, wet, since, info, code, feel, raw) VALUES
    ('lake', 10.50, true, '2001-02-03', '{"a": 1}', 'ab', 'low', 'x'), ('hill', 3, false, '2011-02-03', '[1]', 'c', 'high', ''),
    ('fen', 7.25, true, '1999-12-31', NULL, 'd', NULL, NULL), ('moor', 3.00, NULL, '2005-06-07', '"s"', 'e', 'low', '\\x00ff');
INSERT INTO visit VALUES (1, 1, 2.5), (2, 1, 'NaN'), (3, 3, 4.0), (4, 4, 1.5), (5, 3, 4.0);
"""


@pytest.fixture
def verifier(url: str) -> SQL:
    return SQL(dialect="postgresql", url=url, cpu_seconds=1.0, copies=2)


@pytest.fixture
def judge(verifier: SQL) -> Any:
    def run(query: str, text: str, **more: Any) -> Verdict:
        prompt = Prompt("p", "t", reference={"schema": SCHEMA, "query": query, **more})
        return verifier.check(prompt, Completion("p", 0, text))

    return run


def fetch(url: str, query: str) -> list[Any]:
    import psycopg

    with psycopg.connect(url) as connection:
        return connection.execute(query.encode()).fetchall()


def test_missing_server_is_reported() -> None:
    with pytest.raises(PluginError, match="no PostgreSQL server") as caught:
        SQL(dialect="postgresql", url="postgresql://nobody@/x?host=/nowhere").preflight()
    assert "url=" in caught.value.hint


def test_there_are_enough_attacks() -> None:
    assert len({attack.name for attack in ATTACKS}) == len(ATTACKS) >= 100


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_attack_is_rejected(
    attack: Attack, check_attack: Callable[[SQL, Attack], Verdict], verifier: SQL
) -> None:
    verdict = check_attack(verifier, attack)
    assert verdict.status is Status.FAIL, verdict


def test_references_pass_mutants_fail_and_nothing_remains(
    check_references_and_mutants: Callable[[SQL], None], verifier: SQL, url: str
) -> None:
    verifier.preflight()
    check_references_and_mutants(verifier)
    assert fetch(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'halo%'") == []
    assert fetch(url, "SELECT rolname FROM pg_roles WHERE rolname LIKE 'halo%'") == []


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT * FROM place", "SELECT id, name, area, wet, since, info, code, feel, raw FROM place ORDER BY name;"),
        ("SELECT area FROM place WHERE wet", "SELECT area * 1.000 FROM place WHERE wet = true"),
        ("SELECT name FROM place ORDER BY area", "SELECT name FROM place ORDER BY area, name DESC -- ties"),
        ("SELECT name FROM place ORDER BY area FETCH FIRST 2 ROWS ONLY", "SELECT name FROM place ORDER BY area LIMIT 2"),
        ("SELECT EXTRACT(year FROM since), COUNT(*) FROM place GROUP BY 1", "SELECT date_part('year', since)::numeric, COUNT(1) FROM place GROUP BY 1"),
        ("SELECT place_id, SUM(mark) FROM visit GROUP BY place_id", "SELECT v.place_id, SUM(v.mark) AS total FROM visit AS v GROUP BY 1 HAVING COUNT(*) > 0"),
        ("SELECT info ->> 'a' FROM place", "SELECT jsonb_extract_path_text(info, 'a') FROM place"),
        ("SELECT name FROM place WHERE since > '2001-01-01'::date", "SELECT name FROM place WHERE NOT since <= DATE '2001-01-01'"),
        ("SELECT string_agg(name, ',' ORDER BY name) FROM place", "SELECT array_to_string(array_agg(name ORDER BY name), ',') FROM place"),
    ],
)  # fmt: skip
def test_equal_queries_pass(judge: Any, query: str, text: str) -> None:
    verdict = judge(query, text)
    assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT wet FROM place", "SELECT wet::integer FROM place"),
        ("SELECT since FROM place", "SELECT since::text FROM place"),
        ("SELECT since FROM place", "SELECT since::timestamp FROM place"),
        ("SELECT area FROM place", "SELECT area::double precision FROM place"),
        ("SELECT feel FROM place", "SELECT feel::text FROM place"),
        ("SELECT info FROM place", "SELECT info::text FROM place"),
        ("SELECT code FROM place", "SELECT code::text FROM place"),
        ("SELECT raw FROM place", "SELECT encode(raw, 'hex') FROM place"),
        ("SELECT mark FROM visit", "SELECT NULLIF(mark, 'NaN') FROM visit"),
    ],
)
def test_values_of_other_types_are_wrong(judge: Any, query: str, text: str) -> None:
    assert judge(query, text).stage is Stage.WRONG


def test_other_tables_cannot_be_read(judge: Any, url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE answers (a TEXT)")
    for table in ("answers", "public.answers"):
        assert judge("SELECT name FROM place", f"SELECT a FROM {table}").stage.rank <= Stage.FLAWED.rank


def test_a_user_without_createrole_suffices(url: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE USER modest; GRANT CREATE ON DATABASE postgres TO modest")
    verifier = SQL(dialect="postgresql", url=url.replace("owner@", "modest@"))
    prompt = Prompt(
        "p",
        "t",
        reference={
            "schema": "CREATE TABLE t (a INTEGER)",
            "rows": {"t": [[1], [3]]},
            "query": "SELECT a FROM t",
        },
    )
    assert verifier.check(prompt, Completion("p", 0, "SELECT a FROM t")).status is Status.PASS
    assert verifier.check(prompt, Completion("p", 0, "SELECT 1 FROM t")).status is Status.FAIL


def test_threads_use_separate_connections(verifier: SQL) -> None:
    prompt = ATTACKS[0].prompt
    texts = [verifier.references(prompt)[0], verifier.mutants(prompt)[0]] * 8
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda text: verifier.check(prompt, Completion("p", 0, text)).status, texts))
    assert found == [Status.PASS, Status.FAIL] * 8


def test_a_lost_connection_is_replaced(judge: Any, url: str) -> None:
    query = "SELECT name FROM place"
    assert judge(query, query).status is Status.PASS
    fetch(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    assert judge(query, query).status is Status.PASS
