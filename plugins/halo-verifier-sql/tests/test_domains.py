"""Domains of columns: new values keep the form of the known ones, and every search for one ends."""
# ruff: noqa: E501 (tables with one case per line)

import random
from datetime import datetime
from typing import Any

import pytest

from halo_core.types import Prompt
from halo_verifier_sql import SQL
from halo_verifier_sql.constants import Constants, of_check, of_query
from halo_verifier_sql.domains import Domain, MomentDomain, NumberDomain, TextDomain, domain_of
from halo_verifier_sql.moments import find_format

NONE = Constants()


def values_of(domain: Domain, count: int = 60) -> list[Any]:
    """Return values that a copy may hold: known ones, hints, nearby and fresh ones."""
    rng = random.Random(0)
    near = [domain.near(value, rng) for value in domain.values for _ in range(count // len(domain.values))]
    fresh: list[Any] = []
    while len(fresh) < count and (value := domain.fresh(rng, [*domain.values, *fresh])) is not None:
        fresh.append(value)
    return [*domain.values, *domain.hints, *near, *fresh]


# Dates and times


@pytest.mark.parametrize(
    ("declared", "values", "pattern"),
    [
        ("DATE", ["2020-01-05", "2019-12-31"], "%Y-%m-%d"),
        ("TEXT", ["2020-01-05"], "%Y-%m-%d"),
        ("TEXT", ["2020/01/05", "1999/02/28"], "%Y/%m/%d"),
        ("TEXT", ["31.12.2020", "01.02.2003"], "%d.%m.%Y"),
        ("TEXT", ["31/12/2020", "01/02/2003"], "%d/%m/%Y"),
        ("TEXT", ["12/31/2020", "01/02/2003"], "%m/%d/%Y"),
        ("DATETIME", ["2020-01-05 10:30:00", "2021-01-05 23:59:59"], "%Y-%m-%d %H:%M:%S"),
        ("TEXT", ["2020-01-05T10:30", "2021-01-05T23:59"], "%Y-%m-%dT%H:%M"),
        ("TIME", ["09:30:00", "23:59:59"], "%H:%M:%S"),
        ("TEXT", ["09:30", "10:00"], "%H:%M"),
        ("TEXT", ["2020-01", "2021-12"], "%Y-%m"),
        ("TEXT", ["20200105", "19991231"], "%Y%m%d"),
        ("INTEGER", [20200105, 19991231], "%Y%m%d"),
        ("TEXT", ["05 Jan 2020", "31 Dec 1999"], "%d %b %Y"),
        ("TEXT", ["January 05, 2020"], "%B %d, %Y"),
    ],
)  # fmt: skip
def test_moments_keep_their_format(declared: str, values: list[Any], pattern: str) -> None:
    query = of_query(
        "SELECT 1 FROM t WHERE strftime('%Y', c) = '2020' OR c > '2020-06' OR substr(c, 1, 2) = '09'",
        "sqlite",
    )
    domain = domain_of(declared, values, "c", query, [])
    assert isinstance(domain, MomentDomain)
    found = values_of(domain)
    assert len(set(found)) > 20
    for value in found:
        assert type(value) is type(values[0])
        assert datetime.strptime(str(value), pattern).strftime(pattern) == str(value)


def test_fractions_and_zones_are_repeated() -> None:
    domain = domain_of("TEXT", ["2020-01-05T10:30:00.125Z", "2021-01-05T23:59:59.125Z"], "c", NONE, [])
    assert all(value.endswith(".125Z") for value in values_of(domain))
    zoned = domain_of("TIMESTAMPTZ", ["2020-01-05 10:30:00+00:00"], "c", NONE, [])
    assert all(value.endswith("+00:00") for value in values_of(zoned))


@pytest.mark.parametrize(
    ("condition", "matches"),
    [
        ("strftime('%Y', c) = '2031'", lambda text: text.startswith("2031")),
        ("c LIKE '2031-%'", lambda text: text.startswith("2031")),
        ("CAST(strftime('%Y', c) AS INTEGER) = 2031", lambda text: text.startswith("2031")),
        ("c = '2031-07-08'", lambda text: text == "2031-07-08"),
        ("c > '2031-07-08'", lambda text: text == "2031-07-09"),
        ("strftime('%m', c) = '11'", lambda text: text[5:7] == "11"),
        ("substr(c, 9, 2) = '27'", lambda text: text[8:] == "27"),
    ],
)
def test_hints_become_moments(condition: str, matches: Any) -> None:
    query = of_query(f"SELECT 1 FROM t WHERE {condition}", "sqlite")
    domain = domain_of("DATE", ["2020-01-05", "2019-12-31"], "c", query, [])
    assert any(map(matches, domain.hints))
    assert not any(map(matches, domain.values))


@pytest.mark.parametrize(
    "values",
    [["2020-01-05", "soon"], ["2020-13-05"], ["2020-02-30"], ["ab"], [""], ["2020-1-5"], [20201305], [12], [1.5], [b"x"], ["24:00"], ["0000-00-00"]],
)  # fmt: skip
def test_other_values_have_no_format(values: list[Any]) -> None:
    assert find_format(values) is None


def test_a_column_of_dates_with_other_values_is_closed() -> None:
    domain = domain_of(
        "DATE", ["2020-01-05", "unknown"], "c", of_query("SELECT 1 FROM t WHERE c = '2020'", "sqlite"), []
    )
    assert set(values_of(domain)) == {"2020-01-05", "unknown"}


@pytest.mark.parametrize(
    ("declared", "length"), [("DATE", 10), ("TIMESTAMP", 19), ("DATETIME", 19), ("TIME", 8)]
)
def test_an_empty_column_of_dates_gets_dates(declared: str, length: int) -> None:
    assert {len(value) for value in values_of(domain_of(declared, [None], "c", NONE, []))} == {length}


# Flags and closed domains


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("BOOLEAN", [1, 1], {0, 1}),
        ("BOOL", [0, None], {0, 1}),
        ("boolean", [True], {True, False}),
        ("BOOLEAN", [], {True, False}),
        ("BIT", [1], {0, 1}),
        ("TINYINT(1)", [0], {0, 1}),
        ("BOOLEAN", ["true", "false"], {"true", "false"}),
        ("INTEGER", [0, 1, 1], {0, 1}),
        ("", [1, 0], {0, 1}),
        ("TEXT", ["Y", "N"], {"Y", "N"}),
        ("TEXT", ["yes", "no", "yes"], {"yes", "no"}),
        ("CHAR(1)", ["M", "F"], {"M", "F"}),
        ("ENUM('low', 'it''s')", ["low"], {"low", "it's"}),
        ("JSON", ['{"a": 1}', "[2]"], {'{"a": 1}', "[2]"}),
        ("TEXT", ['{"a": 1}', "[2]"], {'{"a": 1}', "[2]"}),
        ("INTEGER[]", ["[1, 2]"], {"[1, 2]"}),
    ],
)
def test_closed_domains_get_no_other_value(declared: str, values: list[Any], expected: set[Any]) -> None:
    query = of_query("SELECT 1 FROM t WHERE c = 'x' OR c = 1", "sqlite")
    assert set(values_of(domain_of(declared, values, "c", query, []))) == expected


@pytest.mark.parametrize(
    "condition", ["c > 0", "c >= 1", "c = 2", "c + 1 = 2", "c BETWEEN 0 AND 1", "AVG(c) > 0"]
)
def test_zeros_and_ones_that_are_quantities_are_no_flags(condition: str) -> None:
    query = of_query(f"SELECT 1 FROM t GROUP BY a HAVING {condition}", "sqlite")
    assert isinstance(domain_of("INTEGER", [0, 1, 1], "c", query, []), NumberDomain)


def test_checks_close_a_text_column_and_hint_at_its_values() -> None:
    check = of_check("CREATE TABLE t (c TEXT CHECK (c IN ('a', 'b', 'c')))", "sqlite")
    domain = domain_of("TEXT", ["a"], "c", of_query("SELECT 1 FROM t WHERE c <> 'a'", "sqlite"), [check])
    assert set(values_of(domain)) == {"a", "b", "c"}
    assert "'" not in "".join(map(str, domain.hints))
    other = of_check("((d = ANY (ARRAY['x'::text, 'y'::text])))", "postgresql")
    assert set(domain_of("text", ["x"], "d", NONE, [other]).hints) == {"y"}


# Numbers: every search for a new one ends


@pytest.mark.parametrize(
    "values",
    [
        [1.9e30, 2.1e30, 8e29],
        [1e16, 1e16 + 2],
        [1.7976931348623157e308],
        [-1e300, 1e300],
        [9007199254740992.0, 9007199254740994.0],
        [2**63 - 1],
        [2**63 - 1, -(2**63)],
        [2**53, 2**53 + 1],
        [float("inf")],
        [float("nan"), 1.0],
        [0.1, 1e-300],
        [5e-324],
        [0],
        [-5, -7],
    ],
)
def test_numbers_of_any_size(values: list[Any]) -> None:
    domain = domain_of(
        "REAL", values, "c", of_query("SELECT 1 FROM t WHERE c > 1e400 AND c < 1e30", "sqlite"), []
    )
    found = values_of(domain, 30)
    assert all(type(value) in (int, float) for value in found)
    assert all(-(2**63) <= value < 2**63 for value in found if type(value) is int)
    rows = [[place, value if value == value else None] for place, value in enumerate(values)]
    reference = {
        "schema": "CREATE TABLE t (a INTEGER, c REAL)",
        "rows": {"t": rows},
        "query": "SELECT a, c FROM t",
    }
    SQL().check_prompt(Prompt("p", "t", reference=reference))


def test_numbers_keep_sign_and_decimals() -> None:
    query = of_query("SELECT 1 FROM t WHERE c > 0", "sqlite")
    for values in ([1, 5, 9], [0.25, 1.5], [3]):
        for value in values_of(domain_of("", values, "c", query, [])):
            assert value >= 0
            assert type(value) in set(map(type, values)) | {float}
    assert min(values_of(domain_of("", [-3, 4, 5, 6], "c", query, []))) < 0


# Text


@pytest.mark.parametrize(
    "values",
    [
        ["ann", "bob"],
        ["A-12", "B-07"],
        ["ann@x.org"],
        ["007"],
        [""],
        ["é"],
        ["Ü1"],
        ["a" * 300],
        ["--"],
        [" "],
    ],
)
def test_new_text_resembles_the_known_text(values: list[str]) -> None:
    domain = domain_of("VARCHAR(20)", values, "c", NONE, [])
    assert isinstance(domain, TextDomain)
    found = set(values_of(domain)) - set(values)
    assert len(found) > 20
    if values[0] == "A-12":
        assert all(len(text) == 4 and text[1] == "-" and text[2:].isdigit() for text in list(found)[:5])
