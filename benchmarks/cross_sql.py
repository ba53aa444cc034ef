"""Cross test of the `sql` verifier: queries for other questions, tried as answers.

    python benchmarks/cross_sql.py
    python benchmarks/cross_sql.py --answers 5000 --dialect duckdb

Databases and questions resemble those of Spider: two or three tables with foreign keys, and queries with filters,
groupings, nested queries, joins, set operations and orders. Each query is the reference of a prompt, with a few given
rows in which hardly a value repeats, and other queries on the same tables are tried as its answers, first of all those
with as many columns. An accepted answer is right only if it is equivalent. To find out, both queries run on many random
databases that satisfy the declared constraints; the code for these, and for the comparison, is not the verifier's. A
database on which a LIMIT cuts through ties is left out, because several results are right on it.

The accepted answers are printed with the reason why they are equivalent, as far as a rule proves it. The exit code is
1 if one of them differs from its reference on a random database, or if a reference is refused as its own answer.
"""

from __future__ import annotations

import argparse
import random
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from halo_core.types import Completion, Prompt, Status
from halo_verifier_sql import SQL

SCHEMAS = (
    "singer(name!, country, age# !, fee#); concert(title!, theme, year#, singer_id>singer)",
    "owner(name!, city, age#); pet(kind!, name, weight#, owner_id>owner)",
    "maker(name!, country); car(model!, colour, power#, price#, maker_id>maker)",
    "airline(name!, country); airport(name!, city, size#); flight(code, cost#, airline_id>airline, airport_id>airport)",
    "shop(name!, district, staff#); employee(name!, city, age#, shop_id>shop)",
    "country(name!, continent, people#); city(name!, kind, people#, country_id>country)",
    "museum(name!, city, opened#); visit(guest!, level, spent#, museum_id>museum)",
    "teacher(name!, town, age#); course(title!, subject, hours#, teacher_id>teacher)",
    "orchestra(name!, label, founded#); concert(title, style, guests#, orchestra_id>orchestra)",
    "student(name!, grade, height#); friend(note, closeness#, student_id>student)",
    "battle(name!, region, year#); ship(name!, fate, tons#, battle_id>battle); death(cause, killed#, ship_id>ship)",
    "channel(name!, language, rating#); show(title!, genre, share#, channel_id>channel)",
)
"""Tables with their columns. Every table also has a key `id`. `#`: a number, `!`: NOT NULL, `a>b`: refers to `b`."""
WORDS = (
    *("amber", "birch", "cedar", "delta", "ember", "flint", "grove", "haven"),
    *("iris", "jade", "koala", "lotus", "maple", "north", "olive", "pearl"),
)
NUMBERS = (10, 15, 20, 25, 30, 40)
_ANSWERS = 12
"""Answers tried on one reference."""


@dataclass(frozen=True)
class Column:
    """A column of a table, besides its key."""

    name: str
    is_number: bool
    required: bool
    target: str
    """The table that the column refers to; empty if it does not."""


Tables = dict[str, list[Column]]


def parse(text: str) -> Tables:
    """Return the tables that a line of `SCHEMAS` describes."""
    tables: Tables = {}
    for name, columns in re.findall(r"(\w+)\(([^)]*)\)", text):
        parts = [part.strip() for part in columns.split(",")]
        tables[name] = [
            Column(
                re.split(r"[#!>\s]", part)[0], "#" in part or ">" in part, "!" in part, part.partition(">")[2]
            )
            for part in parts
        ]
    return tables


def script(tables: Tables) -> str:
    """Return the statements that create the tables."""
    return "\n".join(
        f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, "
        + ", ".join(
            f"{column.name} {'INTEGER' if column.is_number else 'VARCHAR(20)'}"
            + (" NOT NULL" if column.required else "")
            + (f" REFERENCES {column.target} (id)" if column.target else "")
            for column in columns
        )
        + ");"
        for name, columns in tables.items()
    )


def given_rows(tables: Tables, rng: random.Random) -> dict[str, list[list[object]]]:
    """Return rows as a question's author writes them: five in each table, without NULLs, with few repetitions."""
    rows: dict[str, list[list[object]]] = {}
    for name, columns in tables.items():
        values = [
            rng.sample(range(1, 6), 5) if c.target else rng.sample(NUMBERS if c.is_number else WORDS, 5)
            for c in columns
        ]
        rows[name] = [[place + 1, *(column[place] for column in values)] for place in range(5)]
    return rows


def random_rows(tables: Tables, rng: random.Random) -> dict[str, list[list[object]]]:
    """Return rows that satisfy the declared constraints and use all the freedom that these leave."""
    rows: dict[str, list[list[object]]] = {}
    shares = {name: rng.choice((0.0, 0.2, 0.4)) for name in tables}
    for name, columns in tables.items():
        words, numbers = rng.sample(WORDS, rng.randint(2, 5)), rng.sample(NUMBERS, rng.randint(2, 5))
        ids = rng.sample(range(1, 20), rng.randint(1, 9))
        rows[name] = [
            [
                key,
                *(
                    None
                    if not c.required and rng.random() < shares[name]
                    else rng.choice(rows[c.target])[0]
                    if c.target
                    else rng.choice(numbers if c.is_number else words)
                    for c in columns
                ),
            ]
            for key in ids
        ]
    return rows


def queries(tables: Tables, rows: dict[str, list[list[object]]], rng: random.Random) -> list[str]:
    """Return queries of many kinds on the tables."""
    found = [query for name in tables for query in on_one_table(name, tables[name], rows[name], rng)]
    for name, columns in tables.items():
        for column in columns:
            if column.target:
                found += on_two_tables(name, column, tables, rows, rng)
    return list(dict.fromkeys(found))


def on_one_table(
    t: str, columns: list[Column], rows: list[list[object]], rng: random.Random
) -> Iterator[str]:
    texts = [column.name for column in columns if not column.is_number]
    numbers = [column.name for column in columns if column.is_number and not column.target]
    place = {column.name: number for number, column in enumerate(columns, 1)}
    for c in texts:
        word = rng.choice(rows)[place[c]]
        yield f"SELECT {c} FROM {t}"
        yield f"SELECT DISTINCT {c} FROM {t}"
        yield f"SELECT COUNT({c}) FROM {t}"
        yield f"SELECT COUNT(DISTINCT {c}) FROM {t}"
        yield f"SELECT {c}, COUNT(*) FROM {t} GROUP BY {c}"
        yield f"SELECT {c} FROM {t} GROUP BY {c} HAVING COUNT(*) >= 2"
        yield f"SELECT {c} FROM {t} GROUP BY {c} ORDER BY COUNT(*) DESC LIMIT 1"
        yield f"SELECT COUNT(*) FROM {t} WHERE {c} = '{word}'"
        yield f"SELECT id FROM {t} WHERE {c} <> '{word}'"
        yield f"SELECT id FROM {t} WHERE {c} LIKE '%a%'"
        yield f"SELECT id FROM {t} WHERE {c} IS NOT NULL"
        yield f"SELECT id, {c} FROM {t} ORDER BY {c}"
    yield f"SELECT COUNT(*) FROM {t}"
    yield f"SELECT id FROM {t}"
    for c in texts:
        for n in numbers:
            low, high = sorted(rng.sample(NUMBERS, 2))
            yield f"SELECT {c} FROM {t} WHERE {n} > {low}"
            yield f"SELECT {c} FROM {t} WHERE {n} >= {low}"
            yield f"SELECT {c} FROM {t} WHERE {n} BETWEEN {low} AND {high}"
            yield f"SELECT {c} FROM {t} WHERE NOT ({n} < {low} OR {n} > {high})"
            yield f"SELECT COUNT(*) FROM {t} WHERE {n} > {low}"
            yield f"SELECT {c}, {n} FROM {t}"
            yield f"SELECT {c}, SUM({n}) FROM {t} GROUP BY {c}"
            yield f"SELECT {c}, AVG({n}) FROM {t} GROUP BY {c}"
            yield f"SELECT {c}, MAX({n}) FROM {t} GROUP BY {c}"
            yield f"SELECT {c} FROM {t} GROUP BY {c} HAVING AVG({n}) > {low}"
            yield f"SELECT {c} FROM {t} ORDER BY {n} DESC LIMIT 1"
            yield f"SELECT {c} FROM {t} WHERE {n} = (SELECT MAX({n}) FROM {t})"
            yield f"SELECT {c} FROM {t} WHERE {n} > (SELECT AVG({n}) FROM {t})"
            yield f"SELECT {c} FROM {t} ORDER BY {n}"
            yield f"SELECT {c} FROM {t} ORDER BY {n}, id"
            yield f"SELECT {c} FROM {t} WHERE {n} < {low} UNION SELECT {c} FROM {t} WHERE {n} > {high}"
            yield f"SELECT {c} FROM {t} WHERE {n} < {low} UNION ALL SELECT {c} FROM {t} WHERE {n} > {high}"
            yield f"SELECT {c} FROM {t} WHERE {n} < {low} OR {n} > {high}"
            yield f"SELECT {c} FROM {t} WHERE {n} > {low} INTERSECT SELECT {c} FROM {t} WHERE {n} < {high}"
            yield f"SELECT {c} FROM {t} EXCEPT SELECT {c} FROM {t} WHERE {n} > {low}"
    for n in numbers:
        yield f"SELECT MAX({n}), MIN({n}) FROM {t}"
        yield f"SELECT SUM({n}) FROM {t}"
        yield f"SELECT AVG({n}) FROM {t}"
        yield f"SELECT COUNT({n}) FROM {t}"


def on_two_tables(
    a: str, key: Column, tables: Tables, rows: dict[str, list[list[object]]], rng: random.Random
) -> Iterator[str]:
    b, k = key.target, key.name
    c, d = (next(column.name for column in tables[name] if not column.is_number) for name in (a, b))
    numbers = [column.name for column in tables[a] if column.is_number and not column.target]
    n, value, word = numbers[0], rng.choice(NUMBERS), rng.choice(rows[b])[1]
    join = f"{a} AS x JOIN {b} AS y ON x.{k} = y.id"
    left = f"{b} AS y LEFT JOIN {a} AS x ON x.{k} = y.id"
    yield f"SELECT x.{c}, y.{d} FROM {join}"
    yield f"SELECT y.{d} FROM {join}"
    yield f"SELECT DISTINCT y.{d} FROM {join}"
    yield f"SELECT {d} FROM {b} WHERE id IN (SELECT {k} FROM {a})"
    yield f"SELECT y.{d} FROM {b} AS y WHERE EXISTS (SELECT 1 FROM {a} AS x WHERE x.{k} = y.id)"
    yield f"SELECT {d} FROM {b} WHERE id NOT IN (SELECT {k} FROM {a} WHERE {k} IS NOT NULL)"
    yield f"SELECT y.{d} FROM {left} WHERE x.id IS NULL"
    yield f"SELECT y.{d} FROM {left}"
    yield f"SELECT y.{d}, COUNT(*) FROM {join} GROUP BY y.id, y.{d}"
    yield f"SELECT y.{d}, COUNT(x.id) FROM {left} GROUP BY y.id, y.{d}"
    yield f"SELECT y.{d}, COUNT(*) FROM {join} GROUP BY y.{d}"
    yield f"SELECT y.{d}, AVG(x.{n}) FROM {join} GROUP BY y.id, y.{d}"
    yield f"SELECT y.{d}, SUM(x.{n}) FROM {join} GROUP BY y.id, y.{d}"
    yield f"SELECT y.{d} FROM {join} GROUP BY y.id, y.{d} HAVING COUNT(*) >= 2"
    yield f"SELECT y.{d} FROM {join} GROUP BY y.id, y.{d} ORDER BY COUNT(*) DESC LIMIT 1"
    yield f"SELECT y.{d} FROM {join} WHERE x.{n} > {value}"
    yield f"SELECT {d} FROM {b} WHERE id IN (SELECT {k} FROM {a} WHERE {n} > {value})"
    yield f"SELECT x.{c} FROM {join} WHERE y.{d} = '{word}'"
    yield f"SELECT {c} FROM {a} WHERE {k} IN (SELECT id FROM {b} WHERE {d} = '{word}')"
    yield f"SELECT {c} FROM {a} WHERE {k} IS NOT NULL"
    yield f"SELECT x.{c} FROM {join}"
    yield f"SELECT COUNT(*) FROM {join}"
    yield f"SELECT COUNT(DISTINCT {k}) FROM {a}"
    yield f"SELECT COUNT({k}) FROM {a}"
    yield f"SELECT x.{c} FROM {join} ORDER BY x.{n} DESC, x.id"


def connect(tables: Tables, rows: dict[str, list[list[object]]]) -> sqlite3.Connection:
    """Return a database whose rows are stored in the order given, not in the order of their keys."""
    db = sqlite3.connect(":memory:")
    db.executescript(script(tables).replace("INTEGER PRIMARY KEY", "INT PRIMARY KEY"))
    for name, contents in rows.items():
        db.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(contents[0]))})", contents)
    return db


def agree(reference: str, answer: str, db: sqlite3.Connection) -> bool:
    """Return True if two queries return the same on a database, or if ties make several results right."""
    body, _, terms = reference.partition(" ORDER BY ")
    terms, limit, _ = terms.partition(" LIMIT ")
    if limit:
        best = db.execute(
            re.sub(
                r"^SELECT .*? FROM",
                f"SELECT {terms.removesuffix(' DESC')} FROM",
                f"{body} ORDER BY {terms} LIMIT 2",
            )
        )
        if len(keys := best.fetchall()) == 2 and keys[0] == keys[1]:
            return True
    expected, found = (db.execute(query).fetchall() for query in (reference, answer))
    if limit or not terms or Counter(expected) != Counter(found):
        return Counter(expected) == Counter(found)
    ranked = db.execute(body.replace(" FROM", f", DENSE_RANK() OVER (ORDER BY {terms}) FROM", 1)).fetchall()
    start = 0
    for rank in sorted({row[-1] for row in ranked}):
        tied = Counter(row[:-1] for row in ranked if row[-1] == rank)
        if Counter(found[start : start + tied.total()]) != tied:
            return False
        start += tied.total()
    return True


def counterexample(reference: str, answer: str, tables: Tables, rng: random.Random, count: int) -> bool:
    """Return True if two queries differ on one of some random databases."""
    for _ in range(count):
        with closing(connect(tables, random_rows(tables, rng))) as db:
            if not agree(reference, answer, db):
                return True
    return False


def make_pairs(
    count: int, seed: int
) -> Iterator[tuple[int, str, list[str], Tables, dict[str, list[list[object]]]]]:
    """Yield references, each with the answers to try, their tables and the given rows; `count` answers in all."""
    rng = random.Random(seed)
    references = -(-count // (_ANSWERS * len(SCHEMAS)))
    for number, text in enumerate(SCHEMAS):
        tables = parse(text)
        rows = given_rows(tables, rng)
        known = queries(tables, rows, rng)
        for reference in rng.sample(known, min(references, len(known))):
            rng.shuffle(known)
            others = sorted(
                (query for query in known if query != reference), key=lambda q: _width(q) != _width(reference)
            )
            yield number, reference, others[: min(count, _ANSWERS)], tables, rows
            count -= min(count, _ANSWERS)


def _width(query: str) -> int:
    return query.partition(" FROM")[0].count(",")


@dataclass(frozen=True)
class Trial:
    """An answer that was tried on a reference."""

    reference: str
    answer: str
    is_accepted: bool
    differs: bool
    """True if some random database tells the two apart."""
    reason: str
    """The rule by which they are equivalent; empty if none applies."""

    @property
    def problem(self) -> str:
        """A wrong verdict in words; empty if the verdict is right."""
        if self.is_accepted and self.differs:
            return "accepted, but not equivalent"
        return "refused, but equivalent" if not self.is_accepted and self.reason and not self.differs else ""


def try_answers(verifier: SQL, count: int, seed: int, databases: int) -> Iterator[Trial]:
    """Try `count` answers on references, and each reference on itself."""
    for number, reference, answers, tables, rows in make_pairs(count, seed):
        prompt = Prompt(
            f"{number}", "t", reference={"schema": script(tables), "rows": rows, "query": reference}
        )
        rng = random.Random(f"{seed} {reference}")
        for answer in (reference, *answers):
            passed = verifier.check(prompt, Completion("p", 0, answer)).status is Status.PASS
            differs = is_told_apart(reference, answer, tables, rng, databases)
            yield Trial(reference, answer, passed, differs, rule(reference, answer, tables))


def is_told_apart(reference: str, answer: str, tables: Tables, rng: random.Random, databases: int) -> bool:
    """Return True if two queries differ on a random database."""
    for _ in range(databases):
        with closing(connect(tables, random_rows(tables, rng))) as db:
            if not agree(reference, answer, db):
                return True
    return False


_RULES = (
    (
        "BETWEEN",
        r"(.*) WHERE NOT \((\w+) < (\d+) OR \2 > (\d+)\)",
        r"\1 WHERE \2 BETWEEN \3 AND \4",
    ),
    (
        "no row satisfies both conditions",
        r"(SELECT \w+ FROM \w+ WHERE) (\w+ < \d+) UNION ALL \1 (\w+ > \d+)",
        r"\1 \2 OR \3",
    ),
    (
        "EXISTS is IN",
        r"SELECT y\.(\w+) FROM (\w+) AS y WHERE EXISTS \(SELECT 1 FROM (\w+) AS x WHERE x\.(\w+) = y\.id\)",
        r"SELECT \1 FROM \2 WHERE id IN (SELECT \4 FROM \3)",
    ),
    (
        "a left join without a match is NOT IN",
        r"SELECT y\.(\w+) FROM (\w+) AS y LEFT JOIN (\w+) AS x ON x\.(\w+) = y\.id WHERE x\.id IS NULL",
        r"SELECT \1 FROM \2 WHERE id NOT IN (SELECT \4 FROM \3 WHERE \4 IS NOT NULL)",
    ),
    (
        "a foreign key matches one row at most",
        r"SELECT x\.(\w+) FROM (\w+) AS x JOIN (\w+) AS y ON x\.(\w+) = y\.id WHERE y\.(\w+ = '\w+')",
        r"SELECT \1 FROM \2 WHERE \4 IN (SELECT id FROM \3 WHERE \5)",
    ),
    (
        "a foreign key that is not NULL matches one row",
        r"SELECT x\.(\w+) FROM (\w+) AS x JOIN \w+ AS y ON x\.(\w+) = y\.id",
        r"SELECT \1 FROM \2 WHERE \3 IS NOT NULL",
    ),
    (
        "a foreign key that is not NULL matches one row",
        r"SELECT COUNT\(\*\) FROM (\w+) AS x JOIN \w+ AS y ON x\.(\w+) = y\.id",
        r"SELECT COUNT(\2) FROM \1",
    ),
)
"""Rules of equivalence: a name, a pattern of queries, and the equivalent query."""


def rule(reference: str, answer: str, tables: Tables) -> str:
    """Return the rules by which two queries are equivalent; empty if they do not prove it."""
    names: list[str] = []
    one, two = (_canonical(query, tables, names) for query in (reference, answer))
    body, _, terms = two.partition(" ORDER BY ")
    if one != two and terms and "LIMIT" not in two:
        names.append("the answer also orders rows, or tied rows")
        two = one if one in (body, f"{body} ORDER BY {terms.removesuffix(', id')}") else two
    return " and ".join(dict.fromkeys(names or ["the same query"])) if one == two else ""


def _canonical(query: str, tables: Tables, names: list[str]) -> str:
    """Return the query that all equivalent ones have in common; append the names of the rules used."""
    body, order, terms = query.partition(" ORDER BY ")
    for name, pattern, replacement in _RULES:
        if re.fullmatch(pattern, body):
            body = re.sub(pattern, replacement, body)
            terms = re.sub(r"\bx\.", "", terms)
            names.append(name)
    for table, columns in tables.items():
        for name in (column.name for column in columns if column.required):
            plain = body.removesuffix(f"FROM {table} WHERE {name} IS NOT NULL")
            full = f"{plain}FROM {table}" if plain != body else body
            full = f"SELECT COUNT(*) FROM {table}" if full == f"SELECT COUNT({name}) FROM {table}" else full
            if full != body:
                names.append("the column holds no NULL")
                body = full
    return body + order + terms


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=2000, help="answers to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dialect", choices=["sqlite", "duckdb", "postgresql"], default="sqlite")
    parser.add_argument("--url", default="", help="PostgreSQL server")
    parser.add_argument(
        "--databases", type=int, default=400, help="random databases for each accepted answer"
    )
    arguments = parser.parse_args()
    verifier = SQL(dialect=arguments.dialect, url=arguments.url)
    trials = list(try_answers(verifier, arguments.answers, arguments.seed, arguments.databases))
    others = [trial for trial in trials if trial.reference != trial.answer]
    for trial in sorted(others, key=lambda trial: trial.reason):
        if trial.is_accepted or trial.problem:
            print(
                trial.problem or trial.reason or "equal on all random databases",
                trial.reference,
                trial.answer,
                sep="\n    ",
            )
    problems = Counter(trial.problem for trial in trials if trial.problem)
    print(f"{len(others)} answers tried, {sum(trial.is_accepted for trial in others)} accepted")
    if problems:
        sys.exit("; ".join(f"{count} {problem}" for problem, count in problems.items()))


if __name__ == "__main__":
    main()
