"""Extraction of the query from a completion."""
# ruff: noqa: E501 (tables with one case per line)

import random

import pytest
from growth import grows_linearly
from hypothesis import given
from hypothesis import strategies as st

from halo_verifier_sql.extract import extract, is_query

QUERY = "SELECT a\nFROM t\nWHERE b = 'x'"


@pytest.mark.parametrize(
    "text",
    [
        QUERY,
        f"  {QUERY};  ",
        f"```sql\n{QUERY}\n```",
        f"```\n{QUERY};\n```\nIt selects a.",
        f"~~~ SQL\n{QUERY}\n~~~",
        f"```sql\n{QUERY}",  # never closed
        f"{QUERY}\n```\nThat is all.",  # opened in the prompt
        f"```sql\nSELECT wrong\n```\nNo, rather:\n```sql\n{QUERY}\n```",  # the last one counts
        f"```sql\n{QUERY}\n```\nwhich prints\n```\n1\n2\n```",
        f"The query is:\n{QUERY};\nIt selects a.",
        f"SQL: {QUERY}",
        f"Answer: {QUERY};\n\nSo much for that.",
        f"{QUERY}\n\nThis selects a.",
        f"With this query we are done:\n\n{QUERY}",
        # prose that begins like a statement
        f"Use this query:\n{QUERY};",
        f"Select all names from the table:\n\n{QUERY}",
        f"Select the names of those who earn more than the others\n{QUERY}",
        f"Values like these come from one table.\n\n{QUERY};",
        f"{QUERY};\n\nUse it with care.\n",
        f"{QUERY};\nSet the limit to another number if you like.",
        f"{QUERY};\nDrop the WHERE to get all rows.",
        f"{QUERY};\nCreate an index on b to make it fast.",
        f"{QUERY};\nSelect only what you need.",
        f"{QUERY};\nUpdate the number when the data changes.",
        f"{QUERY};\nInsert into your program as a string.",
        f"{QUERY};\nDo not forget the quotes.",
        f"{QUERY};\nBegin with the table t.",
        f"{QUERY};\nCall it once a day.",
        f"{QUERY};\nLoad the result into a data frame.",
        f"{QUERY};\nExplain it to your colleagues.",
        f"{QUERY};\nDelete from this what you do not need.",
        f"{QUERY};\nValues of b are texts.",
        f"{QUERY}; this selects a.",
        f"{QUERY}\n\nFrom this we get a.",
        f"{QUERY}\n\nOn a large table this is slow.",
        f"**SQL:** {QUERY}",
        # empty statements
        f"{QUERY};;",
        f"{QUERY}; ;\n;",
        f"{QUERY};\n;",
        f"```sql\n{QUERY};;\n```",
        f"{QUERY}; -- done",
        # fences
        f"```sql\n{QUERY};```",
        f"```sql\n{QUERY}```",
        f"```{QUERY}```",
        f"```sql {QUERY}\n```",
        f"The query is ```sql\n{QUERY}\n```",
        f"1. The query:\n\n   ```sql\n{QUERY}\n   ```\n",
        f"- ```sql\n{QUERY}\n  ```",
        f"```sql\n{QUERY};```\n\nUse it with care.",
        f"```sql\nSELECT wrong\n```sql\n{QUERY}\n```",
        f"{QUERY};```",
    ],
)
def test_query_is_found(text: str) -> None:
    found = extract(text)
    assert found is not None
    assert found.rstrip("; \n") == QUERY


@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (SELECT 1) SELECT * FROM x",
        "with recursive x(n) as (select 1) select * from x",
        "VALUES (1), (2)",
        "(SELECT 1) UNION (SELECT 2)",
        "SELECT a\n\nFROM t\n\nWHERE a > 1\n\n  AND b < 2",
        "SELECT 1; DROP TABLE t",
        "SELECT 1;\nDROP TABLE t",
        "SELECT 1;\n\nSELECT 2",
        "DELETE FROM t;\nSELECT 1",
        "RESET ROLE;\nSELECT 1",
        "Anything;\nSELECT 1",
        "SELECT 1;\nAnything;",
        "SELECT 1;; DROP TABLE t",
        "SELECT 1; or SELECT 2",
        "SELECT a FROM t; or select b from t",
        "SELECT ';'; DELETE FROM t",
        "SELECT 1;\nUSE other;",
        "SELECT 1;\nSET x = 2",
        "SELECT 1;\nBEGIN",
        "SELECT 1;\nEXPLAIN SELECT 2",
        "SELECT 1;\nCREATE TEMP TABLE u AS SELECT 1",
        "SELECT 1;\nCALL f(1)",
        "SELECT 1;\nVALUES (2)",
        "SELECT 1;\nWITH x AS (SELECT 2) SELECT * FROM x",
    ],
)
def test_all_statements_are_kept(query: str) -> None:
    assert extract(query) == query
    assert extract(f"```sql\n{query}\n```") == query


@pytest.mark.parametrize(
    "query", ["-- all of them\nSELECT a FROM t", "SELECT ';\n\nnot prose' FROM t", "/**/ VALUES (1)"]
)
def test_fence_delimits_a_query(query: str) -> None:
    assert extract(f"```sql\n{query}\n```") == query


def test_inline_code_is_the_last_resort() -> None:
    assert extract("Not `SELECT 1` but `SELECT a FROM t`, I think.") == "SELECT a FROM t"
    assert extract("Use `SELECT a FROM t`.") == "SELECT a FROM t"
    assert extract("Select the rows with `SELECT a FROM t`.") == "SELECT a FROM t"


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 'use; it', a FROM t WHERE b = 'it''s; so'",
        'SELECT a AS "x;y" FROM t',
        "SELECT a /* ; */ FROM t -- ; more\nWHERE a > 60.",
        "SELECT a FROM t WHERE a > 60.",
        "SELECT a b, c d FROM t u",
        "SELECT a FROM t JOIN u\n\nON t.a = u.a",
    ],
)
def test_a_query_is_not_cut(query: str) -> None:
    assert extract(query) == query


@pytest.mark.parametrize(
    "text", ["", " ", "I cannot.", "```\n```", "With pleasure!", "4", "`rm -rf`", "SELECTED"]
)
def test_text_without_a_query(text: str) -> None:
    assert extract(text) is None


@pytest.mark.parametrize(
    "text", ["EXPLAIN SELECT 1", "PRAGMA x", "/* SELECT */ DROP TABLE t", "-- SELECT 1", ""]
)
def test_other_statements_are_not_queries(text: str) -> None:
    assert not is_query(text)


_BITS = [
    "SELECT ", "select", "WITH x AS (", "VALUES (", "```", "```sql\n", "~~~", "`", "\n", "\n\n", ";", "; ", "--", "/*",
    "*/", "'", '"', "(", ")", " FROM t", "DROP TABLE t", "Answer: ", "a", " ", "\t", "\0", "\ud800", "é", "0", "\r",
]  # fmt: skip


def assemble(rng: random.Random) -> str:
    return "".join(rng.choice(_BITS) for _ in range(rng.randint(0, 40)))


def test_any_text_is_accepted() -> None:
    rng = random.Random(0)
    for _ in range(5000):
        found = extract(assemble(rng))
        assert found is None or found == found.strip()


@given(st.text(max_size=300))
def test_the_query_is_part_of_the_text(text: str) -> None:
    found = extract(text)
    assert found is None or found in text


@pytest.mark.parametrize(
    "bit",
    [
        "(", "```\n", "`", "SELECT ", "SELECT\n", "\n\n", ";\n", "with ", "WITH x AS (", " ", "\n ", "/*", "/**/", "--\n",
        "INSERT INTO a ", "SELECT a.\n", "SELECT 1;", "$$", "SELECT a FROM t;```", "; select 1 ",
        "A: ", "a ", "Answer: SELECT 1;\n\n", "`SELECT ", "~~~", "( ", "\t(", "UPDATE a", "SET a ", "DROP ", "WITH\n",
    ],
)  # fmt: skip
def test_time_is_linear(bit: str) -> None:
    def read(size: int) -> None:
        text = bit * (size // len(bit))
        extract(text)
        is_query(text)

    assert grows_linearly(read, 200_000)
