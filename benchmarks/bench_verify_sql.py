"""How many queries the `sql` verifier judges a second, and that its text extractor takes any text.

    python benchmarks/bench_verify_sql.py              SQLite, beside the same work done naively
    python benchmarks/bench_verify_sql.py --dialect duckdb
    python benchmarks/bench_verify_sql.py --fuzz 100000

Each judgement is one query on three databases of a few rows: the given one and two copies. Naive is sqlite3 in
this process, without limits or sandbox: execute, fetch, compare as multisets; `kept` on connections that stay
open, `fresh` on databases built for each judgement. The three take turns in one run. A judgement's CPU time is
that of this process and of all below it, the sandbox included. Goal for SQLite: 3,000 a second and core.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing

import psutil

from halo_core.types import Completion, Prompt, Status
from halo_verifier_sql import SQL
from halo_verifier_sql.extract import extract
from halo_verifier_sql.prepare import Task

SCHEMA = "CREATE TABLE staff (id INTEGER PRIMARY KEY, name TEXT, team TEXT, salary INTEGER)"
ROWS = [[n, f"n{n}", ("ops", "law", "sales")[n % 3], 40 + 7 * n % 50] for n in range(1, 11)]
QUERY = "SELECT team, COUNT(*) FROM staff WHERE salary > 60 GROUP BY team"
ANSWERS = (
    "SELECT team, COUNT(id) FROM staff WHERE salary > {} GROUP BY team",
    "SELECT team, SUM(salary > {}) FROM staff GROUP BY team HAVING SUM(salary > {}) > 0",
    "SELECT s.team, COUNT(*) AS n FROM staff AS s WHERE NOT s.salary <= {} GROUP BY s.team ORDER BY n",
)


def answers(count: int, seed: int) -> list[str]:
    """Return queries that are all different; about one in eight is right."""
    rng = random.Random(seed)
    made = (rng.choice(ANSWERS).replace("{}", str(rng.choice([60, *range(50, 70, 3)]))) for _ in range(count))
    return [f"{query} -- {seed}.{number}" for number, query in enumerate(made)]


def connect(rows: list[list[object]]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute(SCHEMA)
    db.executemany("INSERT INTO staff VALUES (?, ?, ?, ?)", rows)
    return db


def tree_cpu() -> float:
    """Return the CPU seconds of this process and of all that live below it."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def naively(rows: list[list[list[object]]]) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Return two ways of judging a query in this process: on connections that are kept, on fresh databases."""
    kept = [connect(each) for each in rows]
    gold = [Counter(db.execute(QUERY).fetchall()) for db in kept]

    def on_kept(sql: str) -> bool:
        return all(Counter(db.execute(sql).fetchall()) == want for db, want in zip(kept, gold, strict=True))

    def on_fresh(sql: str) -> bool:
        right = True
        for each, want in zip(rows, gold, strict=True):
            with closing(connect(each)) as db:
                right = Counter(db.execute(sql).fetchall()) == want and right
        return right

    return on_kept, on_fresh


def bench(dialect: str, url: str, rounds: int, count: int) -> None:
    verifier = SQL(dialect=dialect, url=url, copies=2)
    prompt = Prompt("p", "t", reference={"schema": SCHEMA, "rows": {"staff": ROWS}, "query": QUERY})
    begun = time.perf_counter()
    task: Task = verifier._task(prompt)
    print(f"prepared in {time.perf_counter() - begun:.2f} s, of which most is starting what stays")
    contents = verifier._engine().contents(task.key, task.databases)
    on_kept, on_fresh = naively([each["staff"][1] for each in contents])
    ways: dict[str, Callable[[str], bool]] = {
        "halo": lambda sql: verifier.check(prompt, Completion("p", 0, sql)).status is Status.PASS,
    }
    if dialect == "sqlite":
        ways |= {"naive, kept": on_kept, "naive, fresh": on_fresh}
    wall, cpu, right = Counter[str](), Counter[str](), Counter[str]()
    for number in range(rounds + 1):  # the first warms up
        texts = answers(count, number)
        for name, judge in ways.items():
            cpu_before, begun = tree_cpu(), time.perf_counter()
            passed = sum(map(judge, texts))
            if number:
                wall[name] += time.perf_counter() - begun
                cpu[name] += tree_cpu() - cpu_before
                right[name] += passed
    print(f"{'':14}{'/s by CPU time':>16}{'/s by wall time':>17}{'us CPU':>9}{'right':>8}")
    for name in ways:
        total = rounds * count
        print(
            f"{name:14}{total / cpu[name]:16,.0f}{total / wall[name]:17,.0f}"
            f"{1e6 * cpu[name] / total:9.0f}{right[name]:8}"
        )
    for name in list(ways)[1:]:
        print(f"halo takes {cpu['halo'] / cpu[name]:.1f} times the CPU time of {name}")
    if len({right[name] for name in ways}) > 1:
        raise SystemExit("the three do not agree")


BITS = (
    *("SELECT ", "select a from t", "WITH x AS (", "VALUES (1)", "```", "```sql\n", "~~~", "`", "\n", "\n\n"),
    *(";", "; ", "--", "/*", "*/", "'", '"', "(", ")", " FROM t", "DROP TABLE t", "Answer: ", "a", " ", "\t"),
    *("\0", "\ud800", "é", "0", "\r", "\u2028", "EXPLAIN ", "DELETE FROM t", "with ", "AS", "{", "\\"),
    *("SELECT 1;\n" * 20, "(" * 50),
)


def fuzz(count: int) -> None:
    """Put random texts through the extractor; report the slowest."""
    rng = random.Random(0)
    found, slowest = 0, 0.0
    for _ in range(count):
        text = "".join(rng.choice(BITS) for _ in range(rng.choice([3, 10, 40, 200])))
        begun = time.process_time()
        query = extract(text)
        slowest = max(slowest, time.process_time() - begun)
        found += query is not None
        assert query is None or query in text
    print(f"{count} texts, {found} with a query, none raised; the slowest took {1e3 * slowest:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dialect", choices=["sqlite", "duckdb", "postgresql"], default="sqlite")
    parser.add_argument("--url", default="", help="PostgreSQL server")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--count", type=int, default=2000, help="queries a round")
    parser.add_argument("--fuzz", type=int, default=0, help="instead: texts to put through the extractor")
    arguments = parser.parse_args()
    if arguments.fuzz:
        fuzz(arguments.fuzz)
    else:
        bench(arguments.dialect, arguments.url, arguments.rounds, arguments.count)


if __name__ == "__main__":
    main()
