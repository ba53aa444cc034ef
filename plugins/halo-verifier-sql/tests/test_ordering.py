"""Ties among the rows of a reference, as determined by SQLite itself."""
# ruff: noqa: E501 (tables with one case per line)

import json
import sqlite3

import pytest

from halo_verifier_sql.ordering import UnclearOrderError, groups, rank

ROWS = [("a", 1, 10), ("b", 2, 10), ("c", 2, 20), ("D", 3, None), ("d", 3, 20)]


def groups_of(query: str) -> list[tuple[list[str], int]]:
    """Return the groups of a query: the first cells of their rows, and the number of required rows."""
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE t (n TEXT, a INTEGER, b INTEGER)")
    db.executemany("INSERT INTO t VALUES (?, ?, ?)", ROWS)
    width = len(db.execute(query).description)
    ranked = rank(query, "sqlite", width)
    assert ranked is not None
    rows = db.execute(ranked.sql).fetchall()
    assert all(len(row) == width + 1 for row in rows)
    text = json.dumps(rows)
    return [
        (sorted(str(json.loads(row)[0]) for row in group.rows), group.count) for group in groups(text, ranked)
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT n FROM t ORDER BY a", [(["a"], 1), (["b", "c"], 2), (["D", "d"], 2)]),
        ("SELECT n, a FROM t ORDER BY 2 DESC", [(["D", "d"], 2), (["b", "c"], 2), (["a"], 1)]),
        ("SELECT n, a AS k FROM t ORDER BY k", [(["a"], 1), (["b", "c"], 2), (["D", "d"], 2)]),
        ("SELECT n FROM t ORDER BY a LIMIT 2", [(["a"], 1), (["b", "c"], 1)]),
        ("SELECT n FROM t ORDER BY a LIMIT 2 OFFSET 2", [(["b", "c"], 1), (["D", "d"], 1)]),
        ("SELECT n FROM t ORDER BY a LIMIT 2, 1", [(["b", "c"], 1)]),
        ("SELECT n FROM t LIMIT 2", [(["D", "a", "b", "c", "d"], 2)]),
        ("SELECT n FROM t ORDER BY b, a", [(["D"], 1), (["a"], 1), (["b"], 1), (["c"], 1), (["d"], 1)]),
        ("SELECT n FROM t ORDER BY b NULLS LAST, a DESC", [(["b"], 1), (["a"], 1), (["d"], 1), (["c"], 1), (["D"], 1)]),
        ("SELECT n FROM t ORDER BY n COLLATE NOCASE", [(["a"], 1), (["b"], 1), (["c"], 1), (["D", "d"], 2)]),
        ("SELECT * FROM t ORDER BY a DESC LIMIT 1", [(["D", "d"], 1)]),
        ("SELECT a, COUNT(*) FROM t GROUP BY a ORDER BY COUNT(*)", [(["1"], 1), (["2", "3"], 2)]),
        ("SELECT a FROM t GROUP BY a ORDER BY COUNT(*) DESC, a", [(["2"], 1), (["3"], 1), (["1"], 1)]),
        ("SELECT a, SUM(b) AS s FROM t GROUP BY a ORDER BY s * -1", [(["2"], 1), (["3"], 1), (["1"], 1)]),
        ("SELECT DISTINCT a FROM t ORDER BY a DESC", [(["3"], 1), (["2"], 1), (["1"], 1)]),
        ("SELECT a FROM t UNION SELECT b FROM t WHERE b > 10 ORDER BY a", [(["1"], 1), (["2"], 1), (["3"], 1), (["20"], 1)]),
        ("WITH x AS (SELECT * FROM t) SELECT n FROM x ORDER BY a LIMIT 1", [(["a"], 1)]),
        ("SELECT x.n FROM t AS x JOIN t AS y ON x.a = y.b / 10 ORDER BY x.a LIMIT 3", [(["a", "a"], 2), (["b", "b", "c", "c"], 1)]),
    ],
)  # fmt: skip
def test_groups(query: str, expected: list[tuple[list[str], int]]) -> None:
    assert groups_of(query) == expected


@pytest.mark.parametrize(
    "query", ["SELECT n FROM t", "SELECT n FROM (SELECT * FROM t ORDER BY a LIMIT 2)", "VALUES (1)"]
)
def test_unordered_query(query: str) -> None:
    assert rank(query, "sqlite", 1) is None


@pytest.mark.parametrize(
    "query",
    [
        "SELECT DISTINCT n FROM t ORDER BY a",
        "SELECT n FROM t UNION SELECT n FROM t ORDER BY LENGTH(n)",
        "SELECT n FROM t ORDER BY a LIMIT 1 + 1",
        "SELECT n FROM t ORDER BY 7",
        "SELECT n FROM",
        "DROP TABLE t",
    ],
)
def test_unclear_order(query: str) -> None:
    with pytest.raises(UnclearOrderError):
        rank(query, "sqlite", 1)
