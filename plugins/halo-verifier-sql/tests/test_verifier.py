"""The verifier's verdicts on queries and its checks of references."""
# ruff: noqa: E501 (tables with one case per line)

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from busy import decided

from halo_core import sandbox
from halo_core.errors import DataError
from halo_core.types import Completion, Prompt, Stage, Status, Verdict
from halo_verifier_sql import SQL

Check = Callable[..., Verdict]
NAMES = "SELECT name FROM item WHERE price > 4"


def reached(verdict: Verdict) -> tuple[Status, Stage]:
    return verdict.status, verdict.stage


# Stages


def test_right_query_passes(check: Check) -> None:
    verdict = check(NAMES, "SELECT name FROM item WHERE NOT price <= 4 ORDER BY name")
    assert reached(verdict) == (Status.PASS, Stage.CORRECT)
    assert verdict.score == 1.0
    assert verdict.detail.splitlines() == [
        "correct on 4 of 4 databases",
        "given: ok",
        "copy 1: ok",
        "copy 2: ok",
        "copy 3: ok",
    ]
    assert verdict.wall_seconds > 0
    assert (verdict.sandbox, verdict.integrity) == (sandbox.get().tier, "split")


@pytest.mark.parametrize(
    ("text", "stage", "reason"),
    [
        ("no", Stage.INVALID, "contains no query"),
        ("SELECT name FORM item", Stage.INVALID, "syntax error"),
        ("SELECT nome FROM item", Stage.INVALID, "no such column"),
        ("DROP TABLE item", Stage.INVALID, "not a query"),
        (f"{NAMES}; {NAMES}", Stage.FLAWED, "more than one statement"),
        ("SELECT random() FROM item", Stage.FLAWED, "may not call random"),
        ("SELECT sql FROM sqlite_master", Stage.FLAWED, "may not read sqlite_master"),
        ("SELECT 'cup'", Stage.FLAWED, "reads no table"),
        ("SELECT abs(-9223372036854775807 - id) FROM item", Stage.CRASHED, "integer overflow"),
        ("SELECT a.name FROM item a, item b, item c, item d, item e, item f, item g", Stage.CRASHED, "10000 rows"),
        ("SELECT name FROM item", Stage.WRONG, "expected 4 rows, got 5"),
        ("SELECT name, 1 FROM item", Stage.WRONG, "expected 1 column, got 2"),
        ("SELECT name FROM item WHERE id > 1", Stage.WRONG, "given: ok"),
    ],
)  # fmt: skip
def test_stages(check: Check, text: str, stage: Stage, reason: str) -> None:
    verdict = check(NAMES, text)
    assert reached(verdict) == (Status.FAIL, stage)
    assert reason in verdict.detail


def test_score_is_the_share_of_databases(check: Check) -> None:
    assert check(NAMES, "SELECT name FROM item WHERE id > 1").score in (0.25, 0.5)
    assert check(NAMES, "SELECT 'x' FROM item").score == 0.0
    assert check(NAMES, "SELECT name FROM item WHERE id > 1", copies=5).score <= 0.5


@pytest.mark.parametrize(
    ("options", "text", "reason"),
    [
        ({"steps": 10_000}, "SELECT count(*) FROM sale a, sale b, sale c, sale d, sale e, sale f", "steps"),
        ({"max_rows": 20}, "SELECT a.name FROM item a, item b", "more than 20 rows"),
        ({"output_kib": 1}, "SELECT hex(zeroblob(400)) FROM item", "more than 1024 bytes"),
        ({"output_kib": 1}, "SELECT hex(zeroblob(4000)) FROM item", "too long"),
    ],
)
def test_limits(check: Check, options: dict[str, Any], text: str, reason: str) -> None:
    verdict = check(NAMES, text, **options)
    assert reached(verdict) == (Status.FAIL, Stage.CRASHED)
    assert reason in verdict.detail


def test_cpu_limit_ends_a_query_of_few_steps(check: Check) -> None:
    slow = "SELECT sum(instr(hex(zeroblob(99999)), '1' || a.id || b.id)) FROM item a, item b, sale c, sale d, sale e"
    verdict = decided(lambda: check(NAMES, slow, cpu_seconds=0.2))
    assert reached(verdict) == (Status.FAIL, Stage.CRASHED)
    assert "cpu" in verdict.detail
    assert check(NAMES, NAMES, cpu_seconds=0.2).status is Status.PASS


# Equal queries


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("SELECT kind, COUNT(*) FROM item GROUP BY kind", "SELECT kind, SUM(1) FROM item GROUP BY 1 ORDER BY 2"),
        (
            "SELECT i.name, SUM(s.amount) FROM item i JOIN sale s ON s.item_id = i.id GROUP BY i.id",
            "SELECT name, (SELECT SUM(amount) FROM sale WHERE item_id = item.id) t FROM item WHERE t IS NOT NULL",
        ),
        (
            "SELECT name FROM item WHERE id NOT IN (SELECT item_id FROM sale)",
            "SELECT name FROM item i LEFT JOIN sale s ON s.item_id = i.id WHERE s.id IS NULL",
        ),
        (
            "SELECT name FROM item WHERE id IN (SELECT item_id FROM sale)",
            "SELECT i.name FROM item i WHERE EXISTS (SELECT 1 FROM sale s WHERE s.item_id = i.id)",
        ),
        ("SELECT name FROM item ORDER BY price DESC", "SELECT name FROM item ORDER BY price DESC, name DESC"),
        ("SELECT name FROM item ORDER BY price, id LIMIT 2", "WITH x AS (SELECT * FROM item ORDER BY price, id) SELECT name FROM x LIMIT 2"),
        ("SELECT MAX(price) FROM item", "SELECT price FROM item ORDER BY price DESC LIMIT 1"),
        ("SELECT AVG(amount) FROM sale", "SELECT SUM(amount) * 1.0 / COUNT(*) FROM sale"),
        ("SELECT DISTINCT kind FROM item", "SELECT kind FROM item UNION SELECT kind FROM item"),
        ("SELECT id FROM item WHERE price BETWEEN 5 AND 8", "SELECT id FROM item WHERE price >= 5 AND price <= 8"),
        (
            "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < (SELECT MAX(id) FROM item)) SELECT n FROM r",
            "WITH RECURSIVE r(n) AS (SELECT MAX(id) FROM item UNION SELECT n - 1 FROM r WHERE n > 1) SELECT * FROM r",
        ),
        ("SELECT strftime('%Y', '2020-0' || (id % 9 + 1) || '-01'), name FROM item", "SELECT '2020', name FROM item"),
        ("SELECT value FROM item, json_each('[1,2]') WHERE value < price", "SELECT 1 FROM item WHERE price > 1 UNION ALL SELECT 2 FROM item WHERE price > 2"),
    ],
)  # fmt: skip
def test_equal_queries_pass(check: Check, query: str, text: str) -> None:
    verdict = check(query, text)
    assert verdict.status is Status.PASS, verdict.detail


def test_columns_by_name(check: Check) -> None:
    query, more = "SELECT name, price FROM item", {"columns": "name"}
    assert check(query, "SELECT price, name FROM item").status is Status.FAIL
    assert check(query, "SELECT price, name FROM item", more).status is Status.PASS
    assert check(query, "SELECT name, price AS p FROM item", more).status is Status.FAIL


def test_prompt_sets_whether_order_matters(check: Check) -> None:
    plain, ordered = "SELECT name FROM item", "SELECT name FROM item ORDER BY id"
    assert check(ordered, plain).status is Status.FAIL
    assert check(ordered, plain, {"ordered": False}).status is Status.PASS
    assert check(ordered, ordered, {"ordered": True}).status is Status.PASS
    assert check(ordered, plain + " ORDER BY price", {"ordered": True}).status is Status.FAIL


def test_tolerance_is_an_option(check: Check) -> None:
    query, near = "SELECT SUM(weight) FROM item", "SELECT SUM(weight) * 1.000001 FROM item"
    assert check(query, near).status is Status.FAIL
    assert check(query, near, rtol=1e-5).status is Status.PASS
    assert check(query, near, atol=1e-9).status is Status.FAIL


# References with a result only


def test_result_without_a_query(check: Check) -> None:
    more = {"result": [["cup"], ["pot"], ["hat"], ["ink"]]}
    verdict = check("", NAMES, more)
    assert reached(verdict) == (Status.PASS, Stage.CORRECT)
    assert "no reference query" in verdict.detail
    assert check("", "SELECT name FROM item", more).status is Status.FAIL
    assert check("", "VALUES ('cup'), ('pot'), ('hat'), ('ink')", more).stage is Stage.FLAWED
    assert check("", NAMES, {**more, "ordered": True}).status is Status.FAIL
    assert (
        check(
            "", f"{NAMES} ORDER BY name", {"result": [["cup"], ["hat"], ["ink"], ["pot"]], "ordered": True}
        ).status
        is Status.PASS
    )


def test_result_as_objects_names_the_columns(check: Check) -> None:
    more = {"result": [{"kind": "home", "n": 2}, {"kind": "office", "n": 2}, {"kind": None, "n": 1}]}
    assert check("", "SELECT COUNT(*) AS n, kind FROM item GROUP BY kind", more).status is Status.PASS
    assert check("", "SELECT kind, COUNT(*) FROM item GROUP BY kind", more).status is Status.FAIL


# Reference data


def test_schema_may_insert_rows() -> None:
    schema = "CREATE TABLE t (a); INSERT INTO t VALUES (1), (2), (x'00ff'); CREATE VIEW v AS SELECT a FROM t WHERE a > 1;"
    prompt = Prompt("p", "t", reference={"schema": schema, "query": "SELECT a FROM v"})
    verifier = SQL()
    verifier.check_prompt(prompt)
    assert verifier.check(prompt, Completion("p", 0, "SELECT a FROM t WHERE a > 1")).status is Status.PASS
    assert verifier.check(prompt, Completion("p", 0, "SELECT 2 FROM t LIMIT 1")).status is Status.FAIL


def test_blobs_are_compared_exactly() -> None:
    reference = {
        "schema": "CREATE TABLE t (a BLOB)",
        "rows": {"t": [[{"blob": "00ff"}], [{"blob": ""}]]},
        "query": "SELECT a FROM t",
    }
    verifier, prompt = SQL(), Prompt("p", "t", reference=reference)
    assert verifier.check(prompt, Completion("p", 0, "SELECT a || '' FROM t")).status is Status.FAIL
    assert verifier.check(prompt, Completion("p", 0, "SELECT a FROM t ORDER BY 1")).status is Status.PASS


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quary": ""}, "did you mean 'query'"),
        ({"schema": " "}, "schema is missing"),
        ({"schema": 3}, "schema must be text"),
        ({"schema": "CREATE TABL"}, "syntax error"),
        ({"query": ""}, "either a query or its result"),
        ({"result": [[1]]}, "either a query or its result"),
        ({"query": "", "result": []}, "result is empty"),
        ({"query": "", "result": [[1], [1, 2]]}, "same number of values"),
        ({"query": "", "result": [1]}, "must be a list of values"),
        ({"query": "", "result": [{"a": 1}, {"b": 1}]}, "same keys"),
        ({"query": "", "result": [[1]], "columns": "name"}, "result as objects"),
        ({"query": "SELECT nome FROM item"}, "no such column"),
        ({"query": "DELETE FROM item"}, "reference"),
        ({"query": "SELECT random()"}, "may not call random"),
        ({"query": "SELECT name, datetime('now') FROM item"}, "may not read the clock"),
        ({"query": "SELECT name FROM item WHERE 1 = 0"}, "returns no rows"),
        ({"query": "SELECT DISTINCT name FROM item ORDER BY price"}, "not among its columns"),
        ({"query": "SELECT name, name FROM item", "columns": "name"}, "two have the same"),
        ({"query": "SELECT a.id FROM item a, item b, item c, item d, item e, item f, item g"}, "rows"),
        ({"rows": [1]}, "must map tables"),
        ({"rows": {"item": 3}}, "must be a list"),
        ({"rows": {"item": [[{"blob": "x"}, 1]]}}, "non-hexadecimal"),
        ({"rows": {"item": [[[1]]]}}, "not a valid cell value"),
        ({"rows": {"thing": [[1]]}}, "no such table"),
        ({"rows": {"item": [[1]]}}, "columns"),
        ({"ordered": "yes"}, "true or false"),
        ({"columns": "any"}, '"position" or "name"'),
    ],
)  # fmt: skip
def test_unusable_reference_is_rejected(
    prompt: Callable[..., Prompt], change: dict[str, Any], reason: str
) -> None:
    data = {**prompt(NAMES).reference, **change}
    if not data.get("query"):
        data.pop("query")
    with pytest.raises(DataError, match=reason) as caught:
        SQL().check_prompt(Prompt("p", "t", reference=data))
    assert caught.value.hint
    verdict = SQL().check(Prompt("p", "t", reference=data), Completion("p", 0, NAMES))
    assert verdict.status is Status.ERROR


def test_reference_must_respect_the_limits_of_completions(prompt: Callable[..., Prompt]) -> None:
    slow = "SELECT COUNT(*) FROM item a, item b, item c, item d, sale s"
    with pytest.raises(DataError, match="exceeds a limit: steps"):
        SQL(steps=50_000, copies=2).check_prompt(prompt(slow))


def test_empty_result_is_accepted_if_copies_have_rows(check: Check) -> None:
    query = "SELECT name FROM item WHERE price = 9"
    assert check(query, query).status is Status.PASS
    assert check(query, "SELECT name FROM item WHERE 1 = 0").status is Status.FAIL


def test_copies_have_different_results(prompt: Callable[..., Prompt]) -> None:
    for query in (
        NAMES,
        "SELECT COUNT(*) FROM item",
        "SELECT MAX(price) FROM item",
        "SELECT kind, SUM(price) FROM item GROUP BY kind",
    ):
        task = SQL(copies=3)._task(prompt(query))
        assert len(task.golds) == 4
        assert len({gold.text for gold in task.golds}) == 4, query


def test_a_few_thousand_rows() -> None:
    script = """
        CREATE TABLE t (a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
        WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r WHERE x < 5000)
        INSERT INTO t SELECT x, x * 7919 % 1009, 'c' || x % 17 FROM r;
    """
    prompt = Prompt("p", "t", reference={"schema": script, "query": "SELECT c, SUM(b) FROM t GROUP BY c"})
    verifier = SQL(cpu_seconds=20.0)
    assert (
        verifier.check(prompt, Completion("p", 0, "SELECT c, TOTAL(b) FROM t GROUP BY c")).stage
        is Stage.WRONG
    )
    assert (
        verifier.check(prompt, Completion("p", 0, "SELECT c, SUM(b) FROM t GROUP BY c")).status is Status.PASS
    )


# Concurrency


def test_threads_agree(prompt: Callable[..., Prompt]) -> None:
    verifier = SQL()
    tasks = [prompt(f"SELECT name FROM item WHERE price > {n}") for n in range(3, 9)]
    jobs = [
        (task, Completion("p", 0, f"SELECT name FROM item WHERE price >= {n}"))
        for task in tasks
        for n in range(2, 10)
    ]
    expected = [reached(verifier.check(*job)) for job in jobs]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda job: reached(verifier.check(*job)), jobs)) == expected
    assert expected.count((Status.PASS, Stage.CORRECT)) == 6
