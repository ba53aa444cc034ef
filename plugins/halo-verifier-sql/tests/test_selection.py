"""Choices that a reference leaves open, look-ups by known values, and the selection of copies."""
# ruff: noqa: E501 (tables with one case per line)

from collections.abc import Callable

import pytest

from halo_core.errors import VerifierError
from halo_core.types import Prompt, Status, Verdict
from halo_verifier_sql import SQL, ambiguity, lookups, mutate
from halo_verifier_sql.compare import Gold, Group
from halo_verifier_sql.selection import Candidate, select

# Choices that a query leaves open


@pytest.mark.parametrize(
    ("query", "low", "high"),
    [
        ("SELECT a FROM t WHERE b = (SELECT b FROM t ORDER BY c LIMIT 1)", "ORDER BY c, 1 ASC", "ORDER BY c, 1 DESC"),
        ("SELECT a FROM t WHERE b IN (SELECT b FROM t LIMIT 3)", "ORDER BY 1 ASC", "ORDER BY 1 DESC"),
        ("WITH x AS (SELECT a, b FROM t ORDER BY c LIMIT 2) SELECT a FROM x", "c, 1 ASC NULLS LAST, 2 ASC", "c, 1 DESC, 2 DESC"),
        ("SELECT a, ROW_NUMBER() OVER (ORDER BY c) FROM t", "ORDER BY c, a ASC", "ORDER BY c, a DESC"),
        ("SELECT a, LAG(b) OVER (ORDER BY c) FROM t", "ORDER BY c, a ASC", "ORDER BY c, a DESC"),
        ("SELECT a, b FROM t GROUP BY a", "MIN(b)", "MAX(b)"),
        ("SELECT x.a, COUNT(*) FROM t x JOIN t y ON x.b = y.b GROUP BY y.b", "MIN(x.a)", "MAX(x.a)"),
        ("SELECT a, COUNT(*) FROM t", "MIN(a)", "MAX(a)"),
    ],
)  # fmt: skip
def test_open_choices_are_made_in_two_ways(query: str, low: str, high: str) -> None:
    one, two = ambiguity.variants(query, "sqlite")
    assert low in one
    assert high in two


@pytest.mark.parametrize(
    "query",
    [
        "SELECT a FROM t ORDER BY b LIMIT 3",
        "SELECT a, COUNT(*) FROM t GROUP BY a",
        "SELECT x.a AS k, COUNT(*) FROM t x GROUP BY k",
        "SELECT UPPER(a), SUM(b) FROM t GROUP BY 1",
        "SELECT t.a, SUM(b) FROM t GROUP BY a ORDER BY 2",
        "SELECT a, MAX(b) FROM t GROUP BY c",
        "SELECT a, RANK() OVER (ORDER BY b) FROM t",
        "SELECT a FROM t WHERE b = (SELECT MAX(b) FROM t)",
        "SELECT (SELECT COUNT(*) FROM t y WHERE y.a = x.a) FROM t x",
        "SELECT FROM",
    ],
)
def test_queries_without_open_choices(query: str) -> None:
    assert ambiguity.variants(query, "sqlite") == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT name FROM item WHERE id = (SELECT item_id FROM sale ORDER BY amount DESC LIMIT 1)",
        "SELECT COUNT(*) FROM item WHERE price < (SELECT price FROM item WHERE kind = 'home' ORDER BY name LIMIT 1)",
        "SELECT i.name, COUNT(*) FROM item i JOIN sale s ON s.item_id = i.id GROUP BY i.id",
        "SELECT name, ROW_NUMBER() OVER (ORDER BY id, price) FROM item",
        "WITH x AS (SELECT item_id FROM sale ORDER BY amount DESC, id LIMIT 2) SELECT name FROM item WHERE id IN (SELECT item_id FROM x)",
    ],
)  # fmt: skip
def test_the_result_is_determined_on_all_copies(check: Callable[..., Verdict], query: str) -> None:
    for variant in ambiguity.variants(query, "sqlite"):
        verdict = check(query, variant)
        assert verdict.status is Status.PASS, verdict.detail


@pytest.mark.parametrize(
    ("query", "ordered", "text"),
    [
        ("SELECT id FROM sale ORDER BY id % 3, amount", True, "SELECT id FROM sale ORDER BY id % 3, amount, id"),
        ("SELECT name FROM item ORDER BY weight, price", True, "SELECT name FROM item ORDER BY weight, price, id DESC"),
        ("SELECT id FROM item ORDER BY price DESC LIMIT 1", True, "SELECT id FROM item ORDER BY price DESC, name LIMIT 1"),
        ("SELECT id FROM item ORDER BY price DESC LIMIT 1", False, "SELECT id FROM item ORDER BY price DESC, name LIMIT 1"),
        ("SELECT id FROM item ORDER BY weight DESC LIMIT 2", False, "SELECT id FROM item ORDER BY weight DESC, id DESC LIMIT 2"),
    ],
)  # fmt: skip
def test_ties_do_not_decide_although_the_prompt_says_whether_order_counts(
    check: Callable[..., Verdict], query: str, ordered: bool, text: str
) -> None:
    verdict = check(query, text, {"ordered": ordered})
    assert verdict.status is Status.PASS, verdict.detail


# Look-ups by known values


@pytest.mark.parametrize(
    ("query", "columns"),
    [
        ("SELECT a FROM t WHERE b > 1", ["t.id", "a"]),
        ("SELECT x.a, y.b FROM t AS x JOIN s AS y ON y.c = x.id", ["x.id", "x.a", "y.b"]),
        ("SELECT a + 1 FROM s", []),
        ("SELECT COUNT(*) FROM t", []),
        ("SELECT DISTINCT a FROM t", []),
        ("SELECT a FROM t GROUP BY a", []),
        ("SELECT a FROM t UNION SELECT b FROM t", []),
        ("VALUES (1)", []),
    ],
)
def test_columns_to_look_up(query: str, columns: list[str]) -> None:
    assert lookups.columns(query, "sqlite", {"t": "id"}) == columns


def test_rows_are_looked_up() -> None:
    query = "SELECT a FROM t WHERE b > 1 ORDER BY c LIMIT 2"
    assert lookups.reading(query, "sqlite", "t.id") == "SELECT t.id FROM t WHERE b > 1 ORDER BY c LIMIT 2"
    assert (
        lookups.looked_up(query, "sqlite", "t.id", [2, 1, 2])
        == "SELECT a FROM t WHERE t.id IN (2, 1) ORDER BY c"
    )
    assert (
        lookups.looked_up(query, "sqlite", "a", ["it's"]) == "SELECT a FROM t WHERE a IN ('it''s') ORDER BY c"
    )
    assert lookups.looked_up(query, "sqlite", "a", [None, 1.5]) == ""
    assert lookups.reading("SELECT a FROM show", "sqlite", "show.id") == "SELECT show.id FROM show"
    assert lookups.looked_up(query, "sqlite", "a", list(range(99))) == ""


# Mutants


@pytest.mark.parametrize(
    ("query", "mutant"),
    [
        ("SELECT a FROM t UNION SELECT b FROM t", "SELECT a FROM t UNION ALL SELECT b FROM t"),
        ("SELECT COUNT(b) FROM t", "SELECT COUNT(*) FROM t"),
        ("SELECT COUNT(*) FROM t", "SELECT COUNT(a) FROM t"),
        ("SELECT a, SUM(b) FROM t GROUP BY a", "SELECT a, b FROM t"),
        ("SELECT SUM(b) FROM t", "SELECT SUM(DISTINCT b) FROM t"),
        ("SELECT a, SUM(b) FROM t GROUP BY c, a", "SELECT a, SUM(b) FROM t GROUP BY a"),
        ("SELECT a FROM t WHERE b IS NOT NULL", "SELECT a FROM t"),
        ("SELECT a FROM t", "SELECT a FROM t WHERE NOT a IS NULL"),
        ("SELECT a FROM t WHERE b > 1", "SELECT a FROM t WHERE (NOT (b > 1) IS FALSE)"),
        ("SELECT COALESCE(a, 0) FROM t", "SELECT a FROM t"),
        ("SELECT a FROM t WHERE b = (SELECT MAX(b) FROM t)", "SELECT a FROM t ORDER BY b DESC LIMIT 1"),
        ("SELECT a FROM t ORDER BY b, c", "SELECT a FROM t ORDER BY b"),
        ("SELECT a FROM t WHERE b IN (1, 2)", "SELECT a FROM t WHERE NOT (b IN (1, 2))"),
        ("SELECT RANK() OVER (ORDER BY b) FROM t", "SELECT DENSE_RANK() OVER (ORDER BY b) FROM t"),
        ("SELECT a FROM t WHERE b > 1", "SELECT a FROM t WHERE c > 1"),
    ],
)  # fmt: skip
def test_mutants(query: str, mutant: str) -> None:
    found = mutate.mutants(query, "sqlite", {"t": ("a", "b", "c")})
    assert mutant in [each.replace(" ASC NULLS LAST", "") for each in found]
    assert query not in found


# Selection


def candidate(value: int, kills: set[int], **more: bool) -> Candidate:
    row = f"[{value}]"
    gold = Gold(("a",), f"[{row}]", (Group((row,), 1),))
    return Candidate(
        gold,
        more.get("determined", True),
        more.get("complete", True) * 1.0,
        more.get("free", False),
        0,
        kills,
    )


def test_one_copy_of_each_kind_is_selected() -> None:
    many = [
        candidate(0, set()),
        candidate(1, {1, 2, 3}),
        candidate(2, {1, 2, 3, 4}),
        candidate(3, {1}, free=True),
    ]
    assert select(many, 2) == [3, 2]
    assert select(many[:3], 2) == [2, 1]


def test_determined_copies_come_first() -> None:
    open_copy = candidate(3, {1, 2, 3}, free=True, determined=False)
    assert select([candidate(0, set()), candidate(1, set()), candidate(2, {1}), open_copy], 2) == [2, 1]
    given = candidate(0, set(), determined=False)
    assert select([given, candidate(1, set()), open_copy], 2) == [2, 1]


def test_copies_with_another_result_come_before_copies_that_kill_more() -> None:
    same, other = candidate(0, {1, 2}, free=True), candidate(1, {1}, free=True)
    assert select([candidate(0, set()), same, other], 2)[0] == 2


def test_too_few_copies() -> None:
    with pytest.raises(VerifierError, match="enough"):
        select([candidate(0, set()), candidate(1, set())], 2)


def test_told_apart_is_counted(prompt: Callable[..., Prompt]) -> None:
    verifier, asked = SQL(), prompt("SELECT kind, SUM(price) FROM item WHERE price > 4 GROUP BY kind")
    counts = verifier.told_apart(asked)
    assert counts
    assert 10 < counts[0] <= counts[1]
    assert len(verifier.mutants(asked)) >= counts[0]
    reference = {"schema": "CREATE TABLE t (a)", "rows": {"t": [[1]]}, "result": [[1]]}
    assert verifier.told_apart(Prompt("p", "t", reference=reference)) is None
