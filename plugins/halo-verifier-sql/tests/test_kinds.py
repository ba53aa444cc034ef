"""Kinds of wrong answers that look right on the given rows, and of right answers that read like wrong ones.

No value of the given rows repeats and none is NULL, so only the copies can tell. Every case runs on every engine.
"""
# ruff: noqa: E501 (tables with one case per line)

from collections.abc import Callable
from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Completion, Prompt, Status, Verdict
from halo_verifier_sql import SQL

SCHEMA = """
CREATE TABLE team (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL, city VARCHAR(20), budget INTEGER);
CREATE TABLE staff (id INTEGER PRIMARY KEY, name VARCHAR(20), team_id INTEGER REFERENCES team (id), salary INTEGER, age INTEGER NOT NULL,
                    boss INTEGER);
"""
ROWS = {
    "team": [[1, "ops", "rome", 70], [2, "law", "oslo", 90], [3, "web", "bonn", 40], [4, "lab", "kyiv", 55]],
    "staff": [
        [1, "ann", 1, 50, 31, 2],
        [2, "bob", 2, 70, 44, 3],
        [3, "cyd", 3, 65, 28, 4],
        [4, "dan", 4, 90, 52, 1],
    ],
}
Judge = Callable[[str, str], Verdict]
STEP = {"sqlite": 1, "duckdb": 10, "postgresql": 6}
"""Every how many cases run on an engine: preparing a prompt takes ten times as long on DuckDB as on SQLite."""


@pytest.fixture(params=STEP)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def judge(engine: str, request: pytest.FixtureRequest) -> Judge:
    """Return a function that checks an answer against a reference on one engine."""
    if engine == "duckdb":
        pytest.importorskip("duckdb", reason="the extra `duckdb` is not installed")
    options: dict[str, Any] = {"dialect": engine}
    verifier = SQL(**options, url=request.getfixturevalue("url") if engine == "postgresql" else "")
    prompts: dict[str, Prompt] = {}

    def run(query: str, text: str) -> Verdict:
        reference = {"schema": SCHEMA, "rows": ROWS, "query": query}
        prompt = prompts.setdefault(query, Prompt("p", "t", reference=reference))
        return verifier.check(prompt, Completion("p", 0, text))

    return run


JOIN = "staff s JOIN team t ON t.id = s.team_id"
NARROW = "t.city = 'oslo' AND t.budget = 90 AND s.salary = 70 AND s.boss = 3"
ONE = "s.salary = 70 AND s.boss = 3 AND s.team_id = 2"
WRONG = {
    "aggregate dropped": [
        ("SELECT city, SUM(budget) FROM team GROUP BY city", "SELECT city, budget FROM team"),
        ("SELECT city, MAX(budget) FROM team GROUP BY city", "SELECT city, budget FROM team"),
        ("SELECT city, MIN(budget) FROM team GROUP BY city", "SELECT city, MAX(budget) FROM team GROUP BY city"),
        ("SELECT name, SUM(salary) FROM staff GROUP BY name", "SELECT name, MAX(salary) FROM staff GROUP BY name"),
        ("SELECT team_id, COUNT(*) FROM staff GROUP BY team_id", "SELECT team_id, 1 FROM staff"),
        ("SELECT age, SUM(salary) FROM staff GROUP BY age", "SELECT age, salary FROM staff"),
        (f"SELECT t.city, SUM(s.salary) FROM {JOIN} GROUP BY t.city", f"SELECT t.city, s.salary FROM {JOIN}"),
        ("SELECT salary FROM staff GROUP BY salary", "SELECT salary FROM staff"),
        ("SELECT city FROM team GROUP BY city HAVING COUNT(*) < 2", "SELECT city FROM team"),
        ("SELECT city, SUM(budget) FROM team GROUP BY city", "SELECT city, SUM(DISTINCT budget) FROM team GROUP BY city"),
        ("SELECT name, COUNT(DISTINCT age) FROM staff GROUP BY name", "SELECT name, COUNT(age) FROM staff GROUP BY name"),
    ],
    "grouped by something else": [
        (f"SELECT t.name, SUM(s.salary) FROM {JOIN} GROUP BY t.id, t.name", f"SELECT t.name, SUM(s.salary) FROM {JOIN} GROUP BY t.name"),
        (f"SELECT t.city, COUNT(*) FROM {JOIN} GROUP BY t.id, t.city", f"SELECT t.city, COUNT(*) FROM {JOIN} GROUP BY t.city"),
        ("SELECT COUNT(*) FROM staff GROUP BY name", "SELECT COUNT(*) FROM staff GROUP BY id"),
        ("SELECT name, COUNT(*) FROM staff GROUP BY name, team_id", "SELECT name, COUNT(*) FROM staff GROUP BY name"),
        ("SELECT MAX(salary) FROM staff GROUP BY age", "SELECT MAX(salary) FROM staff GROUP BY team_id"),
        ("SELECT name FROM team GROUP BY name", "SELECT name FROM team"),
        ("SELECT MIN(age) FROM staff GROUP BY team_id", "SELECT age FROM staff"),
        ("SELECT city, name FROM team GROUP BY city, name", "SELECT MIN(city), name FROM team GROUP BY name"),
        ("SELECT SUM(budget) FROM team GROUP BY city", "SELECT SUM(budget) FROM team GROUP BY name"),
        ("SELECT AVG(salary) FROM staff GROUP BY name, age", "SELECT AVG(salary) FROM staff GROUP BY age"),
    ],
    "DISTINCT": [
        ("SELECT city FROM team", "SELECT DISTINCT city FROM team"),
        ("SELECT DISTINCT city FROM team", "SELECT city FROM team"),
        ("SELECT COUNT(DISTINCT city) FROM team", "SELECT COUNT(city) FROM team"),
        ("SELECT COUNT(name) FROM staff", "SELECT COUNT(DISTINCT name) FROM staff"),
        ("SELECT SUM(salary) FROM staff", "SELECT SUM(DISTINCT salary) FROM staff"),
        ("SELECT AVG(age) FROM staff", "SELECT AVG(DISTINCT age) FROM staff"),
        ("SELECT name, age FROM staff", "SELECT DISTINCT name, age FROM staff"),
        ("SELECT name FROM staff WHERE salary > 60", "SELECT DISTINCT name FROM staff WHERE salary > 60"),
        (f"SELECT DISTINCT t.name FROM {JOIN}", f"SELECT t.name FROM {JOIN}"),
        (f"SELECT t.name FROM {JOIN} WHERE s.age > 30", f"SELECT DISTINCT t.name FROM {JOIN} WHERE s.age > 30"),
        ("SELECT name FROM team ORDER BY name", "SELECT DISTINCT name FROM team ORDER BY name"),
    ],
    "UNION": [
        ("SELECT city FROM team UNION ALL SELECT name FROM staff", "SELECT city FROM team UNION SELECT name FROM staff"),
        ("SELECT name FROM team UNION SELECT name FROM staff", "SELECT name FROM team UNION ALL SELECT name FROM staff"),
        ("SELECT age FROM staff UNION ALL SELECT budget FROM team", "SELECT age FROM staff UNION SELECT budget FROM team"),
        ("SELECT name FROM staff WHERE salary < 60 UNION SELECT name FROM staff WHERE salary > 80", "SELECT name FROM staff WHERE salary < 60 OR salary > 80"),
        ("SELECT name FROM staff WHERE age < 40 OR salary > 60", "SELECT name FROM staff WHERE age < 40 UNION SELECT name FROM staff WHERE salary > 60"),
        ("SELECT id FROM staff WHERE age < 40 OR salary > 60", "SELECT id FROM staff WHERE age < 40 UNION ALL SELECT id FROM staff WHERE salary > 60"),
        ("SELECT name FROM staff INTERSECT SELECT name FROM staff WHERE age > 30", "SELECT name FROM staff WHERE age > 30"),
        ("SELECT city FROM team EXCEPT SELECT city FROM team WHERE budget > 60", "SELECT city FROM team WHERE budget <= 60"),
        ("SELECT team_id FROM staff UNION SELECT id FROM team", "SELECT team_id FROM staff UNION ALL SELECT id FROM team"),
        ("SELECT COUNT(*) FROM (SELECT name FROM staff UNION ALL SELECT name FROM team) x", "SELECT COUNT(*) FROM (SELECT name FROM staff UNION SELECT name FROM team) x"),
    ],
    "COUNT": [
        ("SELECT COUNT(*) FROM team", "SELECT COUNT(city) FROM team"),
        ("SELECT COUNT(city) FROM team", "SELECT COUNT(*) FROM team"),
        ("SELECT COUNT(*) FROM staff", "SELECT COUNT(team_id) FROM staff"),
        ("SELECT COUNT(salary) FROM staff WHERE age > 30", "SELECT COUNT(*) FROM staff WHERE age > 30"),
        ("SELECT age, COUNT(name) FROM staff GROUP BY age", "SELECT age, COUNT(*) FROM staff GROUP BY age"),
        ("SELECT t.id, COUNT(s.id) FROM team t LEFT JOIN staff s ON s.team_id = t.id GROUP BY t.id", "SELECT t.id, COUNT(*) FROM team t LEFT JOIN staff s ON s.team_id = t.id GROUP BY t.id"),
        ("SELECT t.name, COUNT(*) FROM team t LEFT JOIN staff s ON s.team_id = t.id GROUP BY t.id, t.name", f"SELECT t.name, COUNT(*) FROM {JOIN} GROUP BY t.id, t.name"),
        ("SELECT COUNT(*) FROM staff", f"SELECT COUNT(*) FROM {JOIN}"),
        (f"SELECT COUNT(*) FROM {JOIN}", "SELECT COUNT(*) FROM staff"),
        ("SELECT COUNT(*) FROM staff GROUP BY team_id", "SELECT COUNT(team_id) FROM staff GROUP BY team_id"),
        ("SELECT SUM(salary) * 1.0 / COUNT(*) FROM staff", "SELECT SUM(salary) * 1.0 / COUNT(salary) FROM staff"),
    ],
    "NULL": [
        ("SELECT city FROM team WHERE city IS NOT NULL", "SELECT city FROM team"),
        ("SELECT name FROM staff WHERE salary IS NOT NULL", "SELECT name FROM staff"),
        ("SELECT name FROM staff", "SELECT name FROM staff WHERE name IS NOT NULL"),
        ("SELECT id FROM staff WHERE team_id IS NOT NULL AND age > 30", "SELECT id FROM staff WHERE age > 30"),
        ("SELECT DISTINCT city FROM team WHERE city IS NOT NULL", "SELECT DISTINCT city FROM team"),
        ("SELECT name, COUNT(*) FROM staff WHERE name IS NOT NULL GROUP BY name", "SELECT name, COUNT(*) FROM staff GROUP BY name"),
        ("SELECT id FROM staff WHERE salary <> 70 OR salary IS NULL", "SELECT id FROM staff WHERE salary <> 70"),
        ("SELECT id, COALESCE(salary, 0) FROM staff", "SELECT id, salary FROM staff"),
        ("SELECT id FROM staff WHERE salary > 60", "SELECT id FROM staff WHERE COALESCE(salary, 99) > 60"),
        ("SELECT id FROM team t WHERE NOT EXISTS (SELECT 1 FROM staff s WHERE s.boss = t.id)", "SELECT id FROM team WHERE id NOT IN (SELECT boss FROM staff)"),
    ],
    "three-valued logic": [
        ("SELECT id FROM team WHERE NOT (budget > 60 AND city = 'oslo')", "SELECT id FROM team WHERE budget <= 60 OR city IS NULL OR city <> 'oslo'"),
        ("SELECT id FROM team WHERE NOT (budget > 60 AND city = 'oslo')", "SELECT id FROM team WHERE (budget > 60 AND city = 'oslo') IS NOT TRUE"),
        ("SELECT id FROM team WHERE NOT (budget < 50 OR city = 'rome')", "SELECT id FROM team WHERE COALESCE(budget, 99) >= 50 AND city <> 'rome'"),
        ("SELECT id FROM team WHERE budget <= 60 OR city <> 'oslo'", "SELECT id FROM team WHERE (budget > 60 AND city = 'oslo') IS NOT TRUE"),
        ("SELECT id FROM team WHERE city NOT IN ('oslo', 'rome')", "SELECT id FROM team WHERE city IS NULL OR (city <> 'oslo' AND city <> 'rome')"),
        ("SELECT id FROM team WHERE NOT (city IN ('oslo', 'rome') AND budget > 60)", "SELECT id FROM team WHERE COALESCE(city, '') NOT IN ('oslo', 'rome') OR budget <= 60"),
        ("SELECT id FROM team WHERE city IN ('oslo', 'bonn') AND budget > 60", "SELECT id FROM team WHERE city IN ('oslo', 'bonn') AND COALESCE(budget, 61) > 60"),
        ("SELECT id FROM staff WHERE salary NOT BETWEEN 60 AND 80", "SELECT id FROM staff WHERE NOT COALESCE(salary BETWEEN 60 AND 80, FALSE)"),
        ("SELECT id FROM staff WHERE NOT (salary BETWEEN 60 AND 80 AND name = 'bob')", "SELECT id FROM staff WHERE salary < 60 OR salary > 80 OR name <> 'bob' OR name IS NULL"),
        ("SELECT id FROM staff WHERE name NOT LIKE 'a%'", "SELECT id FROM staff WHERE name IS NULL OR name NOT LIKE 'a%'"),
        ("SELECT id FROM staff WHERE NOT (name LIKE 'a%' OR salary > 60)", "SELECT id FROM staff WHERE name NOT LIKE 'a%' AND (salary <= 60 OR salary IS NULL)"),
        ("SELECT id, CASE WHEN salary > 60 THEN 'high' ELSE 'low' END FROM staff", "SELECT id, CASE WHEN salary <= 60 THEN 'low' ELSE 'high' END FROM staff"),
        ("SELECT id, CASE WHEN salary > 60 AND age < 40 THEN 1 ELSE 0 END FROM staff", "SELECT id, CASE WHEN salary <= 60 OR age >= 40 THEN 0 ELSE 1 END FROM staff"),
        ("SELECT SUM(CASE WHEN budget > 60 THEN 0 ELSE 1 END) FROM team", "SELECT SUM(CASE WHEN budget <= 60 THEN 1 ELSE 0 END) FROM team"),
        ("SELECT id FROM team WHERE COALESCE(budget, 0) < 60", "SELECT id FROM team WHERE budget < 60"),
        ("SELECT id FROM team WHERE COALESCE(budget, 100) > 60 AND city = 'oslo'", "SELECT id FROM team WHERE budget > 60 AND city = 'oslo'"),
        ("SELECT s.id FROM staff s LEFT JOIN team t ON t.id = s.team_id WHERE t.budget > 60 OR s.age > 40", f"SELECT s.id FROM {JOIN} WHERE t.budget > 60 OR s.age > 40"),
        ("SELECT s.id FROM staff s LEFT JOIN team t ON t.id = s.team_id AND t.budget > 60", "SELECT s.id FROM staff s LEFT JOIN team t ON t.id = s.team_id WHERE t.budget > 60"),
        ("SELECT s.id FROM staff s LEFT JOIN team t ON t.id = s.team_id WHERE NOT (t.city = 'oslo' AND s.salary > 60)", "SELECT s.id FROM staff s LEFT JOIN team t ON t.id = s.team_id WHERE t.city IS NULL OR t.city <> 'oslo' OR s.salary <= 60"),
        ("SELECT id FROM staff WHERE salary <> 70 AND name <> 'ann'", "SELECT id FROM staff WHERE NOT (COALESCE(salary, 0) = 70 OR name = 'ann')"),
    ],
    "constants of the answer": [
        ("SELECT id FROM team WHERE city = 'oslo'", "SELECT id FROM team WHERE city IN ('oslo', 'bern')"),
        ("SELECT id FROM team WHERE city <> 'oslo'", "SELECT id FROM team WHERE city NOT IN ('oslo', 'none')"),
        ("SELECT id FROM team WHERE city = 'oslo'", "SELECT id FROM team WHERE city LIKE 'osl%'"),
        ("SELECT id FROM staff WHERE salary > 60", "SELECT id FROM staff WHERE salary > 60 AND salary <> 77"),
        ("SELECT id FROM staff WHERE salary > 60", "SELECT id FROM staff WHERE salary > 60 OR age = 99"),
        ("SELECT name FROM staff WHERE name IS NOT NULL", "SELECT name FROM staff WHERE COALESCE(name, 'none') <> 'none'"),
        ("SELECT COUNT(*) FROM staff WHERE age > 30", "SELECT SUM(CASE WHEN age BETWEEN 31 AND 120 THEN 1 ELSE 0 END) FROM staff WHERE age <> 71"),
        ("SELECT id, COALESCE(city, 'none') FROM team", "SELECT id, CASE WHEN city IS NULL OR city = 'lima' THEN 'none' ELSE city END FROM team"),
        ("SELECT id FROM staff WHERE age >= 40", "SELECT id FROM staff WHERE age >= 40 AND age < 150"),
        ("SELECT name FROM team WHERE budget > 50", "SELECT name FROM team WHERE budget > 50 AND name NOT LIKE 'zz%'"),
    ],
    "little shown": [
        ("SELECT MAX(salary) FROM staff WHERE age < 40", "SELECT MAX(salary) FROM staff"),
        ("SELECT MIN(age) FROM staff WHERE salary > 60", "SELECT MIN(age) FROM staff WHERE salary >= 60"),
        ("SELECT MAX(budget) FROM team WHERE city IN ('oslo', 'rome')", "SELECT MAX(budget) FROM team WHERE city = 'oslo'"),
        ("SELECT MAX(budget) FROM team WHERE NOT (city = 'oslo' AND budget > 60)", "SELECT MAX(budget) FROM team WHERE city <> 'oslo'"),
        ("SELECT DISTINCT city FROM team WHERE city = 'oslo' AND budget < 60", "SELECT DISTINCT city FROM team WHERE city = 'oslo'"),
        ("SELECT SUM(budget) FROM team WHERE city = 'oslo'", "SELECT COALESCE(SUM(budget), 0) FROM team WHERE city = 'oslo'"),
        ("SELECT COUNT(DISTINCT city) FROM team WHERE budget > 50", "SELECT COUNT(DISTINCT city) FROM team WHERE budget > 50 OR budget IS NULL"),
        ("SELECT COUNT(*) FROM team WHERE city = 'oslo' GROUP BY city", "SELECT COUNT(*) FROM team WHERE city = 'oslo'"),
        ("SELECT MAX(salary) FROM staff WHERE age < 40 OR name IS NULL", "SELECT MAX(salary) FROM staff WHERE age < 40"),
        ("SELECT MIN(budget), MAX(budget) FROM team WHERE city <> 'oslo'", "SELECT MIN(budget), MAX(budget) FROM team WHERE COALESCE(city, '') <> 'oslo'"),
    ],
    "ties": [
        ("SELECT name FROM staff WHERE salary = (SELECT MAX(salary) FROM staff)", "SELECT name FROM staff WHERE salary IS NOT NULL ORDER BY salary DESC LIMIT 1"),
        ("SELECT id FROM staff WHERE age = (SELECT MIN(age) FROM staff)", "SELECT id FROM staff ORDER BY age LIMIT 1"),
        ("SELECT name FROM staff ORDER BY age, id", "SELECT name FROM staff ORDER BY age"),
        ("SELECT id FROM staff ORDER BY age, name, id", "SELECT id FROM staff ORDER BY age, id"),
        ("SELECT id, RANK() OVER (ORDER BY age) FROM staff", "SELECT id, ROW_NUMBER() OVER (ORDER BY age, id) FROM staff"),
        ("SELECT id, DENSE_RANK() OVER (ORDER BY age) FROM staff", "SELECT id, RANK() OVER (ORDER BY age) FROM staff"),
        ("SELECT COUNT(*) FROM staff WHERE age = (SELECT MAX(age) FROM staff)", "SELECT COUNT(*) FROM staff WHERE id IN (SELECT id FROM staff ORDER BY age DESC LIMIT 1)"),
        ("SELECT a.id FROM staff a WHERE NOT EXISTS (SELECT 1 FROM staff b WHERE b.age > a.age)", "SELECT id FROM staff ORDER BY age DESC LIMIT 1"),
        ("SELECT city FROM team GROUP BY city HAVING COUNT(*) = (SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM team GROUP BY city) x)", "SELECT city FROM team GROUP BY city ORDER BY COUNT(*) DESC LIMIT 1"),
        ("SELECT name, age FROM staff ORDER BY age DESC, name", "SELECT name, age FROM staff ORDER BY age DESC, id"),
    ],
    "ties that a LIMIT cuts": [
        ("SELECT name FROM staff WHERE salary IS NOT NULL ORDER BY salary DESC LIMIT 1", "SELECT name FROM staff WHERE salary = (SELECT MAX(salary) FROM staff)"),
        ("SELECT id FROM staff ORDER BY age LIMIT 1", "SELECT id FROM staff WHERE age = (SELECT MIN(age) FROM staff)"),
        ("SELECT name FROM staff WHERE age > 30 ORDER BY age LIMIT 1", "SELECT name FROM staff WHERE age = (SELECT MIN(age) FROM staff WHERE age > 30)"),
        ("SELECT id FROM team WHERE budget IS NOT NULL ORDER BY budget DESC LIMIT 2", "SELECT id FROM team WHERE budget >= (SELECT budget FROM team WHERE budget IS NOT NULL ORDER BY budget DESC LIMIT 1 OFFSET 1)"),
        ("SELECT city FROM team GROUP BY city ORDER BY COUNT(*) DESC LIMIT 1", "SELECT city FROM team GROUP BY city HAVING COUNT(*) = (SELECT MAX(n) FROM (SELECT COUNT(*) AS n FROM team GROUP BY city) x)"),
        ("SELECT city FROM team GROUP BY city ORDER BY SUM(budget) DESC LIMIT 1", "SELECT city FROM team ORDER BY budget DESC LIMIT 1"),
        ("SELECT name FROM staff ORDER BY salary LIMIT 2", "SELECT name FROM staff WHERE salary IS NOT NULL ORDER BY salary LIMIT 2"),
        ("SELECT id FROM staff ORDER BY salary DESC, id LIMIT 1", "SELECT MAX(id) FROM staff WHERE salary = (SELECT MAX(salary) FROM staff)"),
        ("SELECT salary FROM staff ORDER BY salary DESC LIMIT 1 OFFSET 1", "SELECT MAX(salary) FROM staff WHERE salary < (SELECT MAX(salary) FROM staff)"),
        ("SELECT MAX(c) FROM (SELECT COUNT(*) AS c FROM staff GROUP BY team_id) x", "SELECT COUNT(*) FROM staff GROUP BY team_id ORDER BY team_id LIMIT 1"),
    ],
    "joins": [
        ("SELECT s.name FROM staff s LEFT JOIN team t ON t.id = s.team_id", f"SELECT s.name FROM {JOIN}"),
        (f"SELECT s.name, t.name FROM {JOIN}", "SELECT s.name, t.name FROM staff s LEFT JOIN team t ON t.id = s.team_id"),
        ("SELECT t.name FROM team t LEFT JOIN staff s ON s.team_id = t.id", f"SELECT t.name FROM {JOIN}"),
        ("SELECT name FROM team WHERE id IN (SELECT team_id FROM staff)", f"SELECT t.name FROM {JOIN}"),
        (f"SELECT t.name FROM {JOIN}", "SELECT name FROM team WHERE id IN (SELECT team_id FROM staff)"),
        ("SELECT a.name FROM staff a JOIN staff b ON b.id = a.boss", "SELECT name FROM staff"),
        ("SELECT a.id, b.id FROM staff a JOIN staff b ON a.age = b.age", "SELECT id, id FROM staff"),
        (f"SELECT s.name FROM {JOIN} WHERE t.budget > s.salary", "SELECT s.name FROM staff s JOIN team t ON t.id = s.id WHERE t.budget > s.salary"),
        ("SELECT COUNT(*) FROM team t JOIN staff s ON s.boss = t.id", "SELECT COUNT(*) FROM staff"),
        ("SELECT t.id FROM team t LEFT JOIN staff s ON s.team_id = t.id WHERE s.id IS NULL OR s.age > 30", f"SELECT t.id FROM {JOIN} WHERE s.age > 30"),
    ],
    "narrow conditions": [
        (f"SELECT t.name, COUNT(*) FROM {JOIN} WHERE {NARROW} GROUP BY t.id, t.name", f"SELECT t.name, COUNT(*) FROM {JOIN} WHERE {NARROW} GROUP BY t.name"),
        (f"SELECT COUNT(s.boss) FROM {JOIN} WHERE {NARROW} GROUP BY s.name, s.age", f"SELECT COUNT(s.boss) FROM {JOIN} WHERE {NARROW} GROUP BY s.age"),
        (f"SELECT MAX(age) FROM staff s WHERE {ONE}", f"SELECT age FROM staff s WHERE {ONE} ORDER BY name LIMIT 1"),
        (f"SELECT MAX(age) FROM staff s WHERE {ONE}", f"SELECT age FROM staff s WHERE {ONE} ORDER BY id DESC LIMIT 1"),
        (f"SELECT name FROM staff s WHERE {ONE} ORDER BY age, id LIMIT 1", f"SELECT name FROM staff s WHERE {ONE} LIMIT 1"),
        (f"SELECT COUNT(DISTINCT s.age) FROM {JOIN} WHERE {NARROW}", f"SELECT COUNT(s.age) FROM {JOIN} WHERE {NARROW}"),
        (f"SELECT SUM(s.age) FROM {JOIN} WHERE {NARROW}", f"SELECT SUM(DISTINCT s.age) FROM {JOIN} WHERE {NARROW}"),
        (f"SELECT DISTINCT s.age FROM {JOIN} WHERE {NARROW}", f"SELECT s.age FROM {JOIN} WHERE {NARROW}"),
        (f"SELECT AVG(age) FROM staff s WHERE {ONE}", f"SELECT (MIN(age) + MAX(age)) / 2.0 FROM staff s WHERE {ONE}"),
        (f"SELECT boss FROM staff s WHERE {ONE} GROUP BY boss HAVING COUNT(*) > 1", f"SELECT boss FROM staff s WHERE {ONE} GROUP BY boss HAVING COUNT(*) > 2"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_answers_show_on_the_copies(judge: Judge, engine: str, kind: str) -> None:
    assert len(WRONG[kind]) >= 10
    for query, text in WRONG[kind][:: STEP[engine]]:
        verdict = judge(query, text)
        assert verdict.status is Status.FAIL, (query, text, verdict.detail)
        assert judge(query, query).status is Status.PASS, query


# Right answers: dates stay dates, and flags stay flags

SQLITE_DATES = """
CREATE TABLE e (id INTEGER PRIMARY KEY, day DATE, moment DATETIME, clock TEXT, text_day TEXT NOT NULL, slash TEXT,
                number INTEGER, stamp TEXT, month TEXT, due DATE NOT NULL);
"""
DAYS = ["2020-01-05", "2019-03-01", "2021-07-10", "2020-12-31", "2020-02-28"]
DATE_ROWS = {
    "e": [
        [
            place + 1,
            day,
            f"{day} {9 + place:02}:30:0{place}",
            f"{9 + place % 3:02}:0{place}:10",
            day,
            day.replace("-", "/"),
            int(day.replace("-", "")),
            f"{day}T{8 + place:02}:15:00Z",
            day[:7],
            day,
        ]
        for place, day in enumerate(DAYS)
    ]
}
DATES = [
    ("SELECT id FROM e WHERE strftime('%Y', day) = '2020'", "SELECT id FROM e WHERE substr(day, 1, 4) = '2020'"),
    ("SELECT id FROM e WHERE strftime('%H', clock) = '09'", "SELECT id FROM e WHERE clock LIKE '09:%'"),
    ("SELECT id FROM e WHERE CAST(strftime('%Y', day) AS INTEGER) >= 2020", "SELECT id FROM e WHERE day >= '2020-01-01'"),
    ("SELECT id FROM e WHERE day LIKE '2020-%'", "SELECT id FROM e WHERE strftime('%Y', day) = '2020'"),
    ("SELECT id FROM e WHERE strftime('%m', text_day) = '12'", "SELECT id FROM e WHERE substr(text_day, 6, 2) = '12'"),
    ("SELECT id FROM e WHERE day BETWEEN '2020-01-01' AND '2020-12-31'", "SELECT id FROM e WHERE strftime('%Y', day) = '2020'"),
    ("SELECT id FROM e WHERE date(moment) = '2020-01-05'", "SELECT id FROM e WHERE substr(moment, 1, 10) = '2020-01-05'"),
    ("SELECT id FROM e WHERE moment < '2020-01-01'", "SELECT id FROM e WHERE CAST(strftime('%Y', moment) AS INTEGER) < 2020"),
    ("SELECT id, strftime('%d', due) FROM e", "SELECT id, substr(due, 9) FROM e"),
    ("SELECT id FROM e WHERE substr(slash, 1, 4) = '2019'", "SELECT id FROM e WHERE slash >= '2019/01/01' AND slash < '2020/01/01'"),
    ("SELECT id FROM e WHERE number / 10000 = 2020", "SELECT id FROM e WHERE number BETWEEN 20200101 AND 20201231"),
    ("SELECT id FROM e WHERE strftime('%Y', stamp) = '2020'", "SELECT id FROM e WHERE stamp LIKE '2020%'"),
    ("SELECT id FROM e WHERE month = '2020-01'", "SELECT id FROM e WHERE substr(month, 1, 4) = '2020' AND substr(month, 6) = '01'"),
    ("SELECT strftime('%Y', day), COUNT(*) FROM e GROUP BY 1", "SELECT substr(day, 1, 4), COUNT(*) FROM e GROUP BY substr(day, 1, 4)"),
    ("SELECT id FROM e WHERE julianday(due) > julianday('2020-06-01')", "SELECT id FROM e WHERE due > '2020-06-01'"),
    ("SELECT id FROM e ORDER BY julianday(due), id LIMIT 2", "SELECT id FROM e ORDER BY due, id LIMIT 2"),
    ("SELECT MAX(due) FROM e", "SELECT date(MAX(julianday(due))) FROM e"),
]  # fmt: skip
SQLITE_FLAGS = """
CREATE TABLE f (id INTEGER PRIMARY KEY, a BOOLEAN NOT NULL, b BOOL, c TINYINT(1) NOT NULL, d INTEGER NOT NULL CHECK (d IN (0, 1)),
                is_new INTEGER, sex TEXT NOT NULL, level TEXT CHECK (level IN ('low', 'mid', 'high')), size INTEGER CHECK (size BETWEEN 1 AND 3), v INTEGER);
"""
FLAG_ROWS = {
    "f": [
        [1, 1, 1, 0, 0, 1, "M", "low", 1, 10],
        [2, 0, 1, 1, 1, 0, "F", "mid", 2, 20],
        [3, 1, 0, 0, 1, 1, "F", "high", 3, 30],
        [4, 0, 0, 1, 0, 0, "M", "low", 1, 40],
        [5, 1, 1, 1, 1, 1, "F", "mid", 2, 50],
    ]
}
FLAGS = [
    ("SELECT id FROM f WHERE a = 1", "SELECT id FROM f WHERE a"),
    ("SELECT id FROM f WHERE a = 0", "SELECT id FROM f WHERE NOT a"),
    ("SELECT id FROM f WHERE a = 1", "SELECT id FROM f WHERE a <> 0"),
    ("SELECT id FROM f WHERE a = 1", "SELECT id FROM f WHERE a > 0"),
    ("SELECT SUM(a) FROM f", "SELECT SUM(CASE WHEN a = 1 THEN 1 ELSE 0 END) FROM f"),
    ("SELECT id FROM f WHERE b = 1", "SELECT id FROM f WHERE b"),
    ("SELECT id FROM f WHERE b = 0", "SELECT id FROM f WHERE b IS FALSE"),
    ("SELECT id FROM f WHERE c = 1 AND v > 10", "SELECT id FROM f WHERE c AND v > 10"),
    ("SELECT id FROM f WHERE d = 1", "SELECT id FROM f WHERE d"),
    ("SELECT id FROM f WHERE is_new = 1", "SELECT id FROM f WHERE is_new"),
    ("SELECT id FROM f WHERE sex = 'F'", "SELECT id FROM f WHERE sex <> 'M'"),
    ("SELECT id FROM f WHERE level IN ('mid', 'high')", "SELECT id FROM f WHERE level <> 'low'"),
    ("SELECT id FROM f WHERE level = 'low'", "SELECT id FROM f WHERE level NOT IN ('mid', 'high')"),
    ("SELECT id FROM f WHERE size > 1", "SELECT id FROM f WHERE size IN (2, 3)"),
    ("SELECT a, COUNT(*) FROM f GROUP BY a", "SELECT 1 - (1 - a), COUNT(*) FROM f GROUP BY NOT a"),
    ("SELECT AVG(a) FROM f", "SELECT SUM(a <> 0) * 1.0 / COUNT(*) FROM f"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "rows", "cases"), [(SQLITE_DATES, DATE_ROWS, DATES), (SQLITE_FLAGS, FLAG_ROWS, FLAGS)], ids=["dates", "flags"]
)  # fmt: skip
def test_values_keep_their_form(schema: str, rows: Any, cases: list[tuple[str, str]]) -> None:
    verifier = SQL()
    for query, text in cases:
        prompt = Prompt("p", "t", reference={"schema": schema, "rows": rows, "query": query})
        verdict = verifier.check(prompt, Completion("p", 0, text))
        assert verdict.status is Status.PASS, (query, text, verdict.detail)


# Right answers: equivalent under the declared constraints

RIGHT = [
    ("SELECT DISTINCT id FROM staff", "SELECT id FROM staff"),
    ("SELECT COUNT(*) FROM staff", "SELECT COUNT(id) FROM staff"),
    ("SELECT COUNT(*) FROM staff", "SELECT COUNT(age) FROM staff"),
    ("SELECT name FROM team", "SELECT name FROM team WHERE name IS NOT NULL"),
    ("SELECT id FROM team UNION SELECT id FROM staff", "SELECT id FROM staff UNION SELECT id FROM team"),
    (f"SELECT s.id FROM {JOIN}", "SELECT id FROM staff WHERE team_id IS NOT NULL"),
    ("SELECT name FROM team WHERE id NOT IN (SELECT team_id FROM staff WHERE team_id IS NOT NULL)", "SELECT t.name FROM team t LEFT JOIN staff s ON s.team_id = t.id WHERE s.id IS NULL"),
    ("SELECT name FROM team t WHERE EXISTS (SELECT 1 FROM staff s WHERE s.team_id = t.id)", "SELECT name FROM team WHERE id IN (SELECT team_id FROM staff)"),
    (f"SELECT t.name, COUNT(*) FROM {JOIN} GROUP BY t.id, t.name", "SELECT t.name, x.n FROM team t JOIN (SELECT team_id, COUNT(*) AS n FROM staff GROUP BY team_id) x ON x.team_id = t.id"),
    ("SELECT id FROM staff WHERE salary BETWEEN 50 AND 70", "SELECT id FROM staff WHERE NOT (salary < 50 OR salary > 70)"),
    ("SELECT id FROM staff WHERE age = (SELECT MAX(age) FROM staff)", "SELECT a.id FROM staff a WHERE NOT EXISTS (SELECT 1 FROM staff b WHERE b.age > a.age)"),
    ("SELECT id FROM staff ORDER BY age, id", "SELECT id FROM staff ORDER BY age ASC, id ASC"),
    ("SELECT name FROM staff ORDER BY age", "SELECT name FROM staff ORDER BY age, id DESC"),
    ("SELECT id FROM staff ORDER BY age DESC LIMIT 1", "SELECT id FROM staff ORDER BY age DESC, name LIMIT 1"),
    ("SELECT id FROM staff ORDER BY age DESC LIMIT 2", "SELECT id FROM staff ORDER BY age DESC, id DESC LIMIT 2"),
    ("SELECT id FROM staff LIMIT 2", "SELECT id FROM staff ORDER BY id DESC LIMIT 2"),
    ("SELECT city, COUNT(*) AS n FROM team GROUP BY city ORDER BY n DESC LIMIT 1", "SELECT city, COUNT(*) FROM team GROUP BY city ORDER BY 2 DESC, city LIMIT 1"),
    ("SELECT name FROM team WHERE id = (SELECT team_id FROM staff WHERE team_id IS NOT NULL ORDER BY age DESC LIMIT 1)", "SELECT name FROM team WHERE id = (SELECT team_id FROM staff WHERE team_id IS NOT NULL ORDER BY age DESC, id DESC LIMIT 1)"),
    ("SELECT id, ROW_NUMBER() OVER (ORDER BY age) AS n FROM staff", "SELECT id, ROW_NUMBER() OVER (ORDER BY age, id DESC) AS n FROM staff"),
    ("SELECT MAX(age) FROM staff", "SELECT age FROM staff ORDER BY age DESC LIMIT 1"),
    ("SELECT SUM(age) FROM staff WHERE salary > 60", "SELECT SUM(CASE WHEN salary > 60 THEN age END) FROM staff"),
]  # fmt: skip


def test_equivalent_answers_pass(judge: Judge, engine: str) -> None:
    for query, text in RIGHT[:: STEP[engine]]:
        verdict = judge(query, text)
        assert verdict.status is Status.PASS, (query, text, verdict.detail)


# References whose result does not depend on the data

CONSTANT = [
    "SELECT COUNT(*) FROM team WHERE id IS NULL",
    "SELECT COUNT(*) FROM staff WHERE age IS NULL",
    "SELECT COUNT(*) FROM team WHERE id <> id",
    "SELECT 1 FROM team LIMIT 1",
    "SELECT MAX(1) FROM staff",
    "SELECT COUNT(*) FROM (SELECT id FROM team LIMIT 1) x",
    "SELECT DISTINCT 'x' FROM staff",
    "SELECT COUNT(*) FROM (SELECT id FROM team GROUP BY id HAVING COUNT(*) > 1) x",
    "SELECT MIN(age - age) FROM staff",
    "SELECT COUNT(*) > 0 FROM team",
    "SELECT EXISTS (SELECT 1 FROM staff)",
    "SELECT SUM(id - id) FROM team",
    "SELECT COUNT(*) FROM staff WHERE 1 = 0",
]


def test_reference_with_the_same_result_everywhere_is_rejected(judge: Judge, engine: str) -> None:
    for query in CONSTANT[:: STEP[engine]]:
        verdict = judge(query, query)
        assert verdict.status is Status.ERROR, query
        assert "a constant would pass" in verdict.detail


PEOPLE = {
    "schema": "CREATE TABLE p (id INTEGER PRIMARY KEY, city TEXT, age INTEGER)",
    "rows": {"p": [[1, "rome", 30], [2, "oslo", 41], [3, "bonn", 28], [4, "kiev", 55]]},
}


@pytest.mark.parametrize(
    ("query", "text", "status"),
    [
        ("SELECT city, SUM(age) FROM p GROUP BY city", "SELECT city, age FROM p", Status.FAIL),
        ("SELECT COUNT(DISTINCT city) FROM p", "SELECT COUNT(city) FROM p", Status.FAIL),
        ("SELECT COUNT(*) FROM p WHERE id IS NULL", "SELECT 0 FROM p LIMIT 1", Status.ERROR),
        ("SELECT city FROM p", "<think>\n```sql\nSELECT city FROM p\n```", Status.FAIL),
        ("SELECT city FROM p", "<think>\nhm\n</think>\n```sql\nSELECT city FROM p\n```", Status.PASS),
    ],
)
def test_table_with_text_without_repetitions(query: str, text: str, status: Status) -> None:
    prompt = Prompt("p", "t", reference={**PEOPLE, "query": query})
    verdict = SQL().check(prompt, Completion("p", 0, text))
    assert verdict.status is status, verdict.detail
    if status is Status.ERROR:
        with pytest.raises(DataError, match="the same on every copy"):
            SQL().check_prompt(prompt)
