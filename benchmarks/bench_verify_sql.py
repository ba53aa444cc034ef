"""Benchmark of the `sql` verifier in queries per second, and a fuzz test of its query extraction.

    python benchmarks/bench_verify_sql.py              SQLite, compared with a naive implementation
    python benchmarks/bench_verify_sql.py --dialect duckdb
    python benchmarks/bench_verify_sql.py --fuzz 100000

Each check runs one query on three databases of a few rows: the given one and two copies. The naive implementation
uses sqlite3 in this process, without limits or sandbox: execute, fetch, compare as multisets; `kept` on open
connections, `fresh` on databases built for each check. The three take turns in one run. CPU time includes this
process and all its descendants, and so the sandbox. Goal for SQLite: 3,000 checks per second and core.
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
    """Return distinct queries; about one in eight is correct."""
    rng = random.Random(seed)
    queries = (
        rng.choice(ANSWERS).replace("{}", str(rng.choice([60, *range(50, 70, 3)]))) for _ in range(count)
    )
    return [f"{query} -- {seed}.{number}" for number, query in enumerate(queries)]


def connect(rows: list[list[object]]) -> sqlite3.Connection:
    db = sqlite3.connect(":memory:")
    db.execute(SCHEMA)
    db.executemany("INSERT INTO staff VALUES (?, ?, ?, ?)", rows)
    return db


def tree_cpu() -> float:
    """Return the CPU seconds of this process and its living descendants."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(each.user + each.system for each in times)


def naive_checks(rows: list[list[list[object]]]) -> tuple[Callable[[str], bool], Callable[[str], bool]]:
    """Return two checks of a query in this process: on open connections and on fresh databases."""
    kept = [connect(each) for each in rows]
    gold = [Counter(db.execute(QUERY).fetchall()) for db in kept]

    def on_kept(sql: str) -> bool:
        return all(Counter(db.execute(sql).fetchall()) == want for db, want in zip(kept, gold, strict=True))

    def on_fresh(sql: str) -> bool:
        correct = True
        for each, want in zip(rows, gold, strict=True):
            with closing(connect(each)) as db:
                correct = Counter(db.execute(sql).fetchall()) == want and correct
        return correct

    return on_kept, on_fresh


def bench(dialect: str, url: str, rounds: int, count: int) -> None:
    verifier = SQL(dialect=dialect, url=url, copies=2)
    prompt = Prompt("p", "t", reference={"schema": SCHEMA, "rows": {"staff": ROWS}, "query": QUERY})
    start = time.perf_counter()
    task: Task = verifier._task(prompt)
    print(f"prepared in {time.perf_counter() - start:.2f} s, mostly the start of reusable processes")
    contents = verifier._engine().contents(task.key, task.databases)
    on_kept, on_fresh = naive_checks([each["staff"][1] for each in contents])
    checks: dict[str, Callable[[str], bool]] = {
        "halo": lambda sql: verifier.check(prompt, Completion("p", 0, sql)).status is Status.PASS,
    }
    if dialect == "sqlite":
        checks |= {"naive, kept": on_kept, "naive, fresh": on_fresh}
    wall, cpu, passed = Counter[str](), Counter[str](), Counter[str]()
    for number in range(rounds + 1):  # round 0 is a warm-up
        texts = answers(count, number)
        for name, check in checks.items():
            cpu_before, start = tree_cpu(), time.perf_counter()
            correct = sum(map(check, texts))
            if number:
                wall[name] += time.perf_counter() - start
                cpu[name] += tree_cpu() - cpu_before
                passed[name] += correct
    print(f"{'':14}{'/s by CPU time':>16}{'/s by wall time':>17}{'us CPU':>9}{'passed':>8}")
    for name in checks:
        total = rounds * count
        print(
            f"{name:14}{total / cpu[name]:16,.0f}{total / wall[name]:17,.0f}"
            f"{1e6 * cpu[name] / total:9.0f}{passed[name]:8}"
        )
    for name in list(checks)[1:]:
        print(f"halo takes {cpu['halo'] / cpu[name]:.1f} times the CPU time of {name}")
    if len({passed[name] for name in checks}) > 1:
        raise SystemExit("the implementations disagree")


FRAGMENTS = (
    *("SELECT ", "select a from t", "WITH x AS (", "VALUES (1)", "```", "```sql\n", "~~~", "`", "\n", "\n\n"),
    *(";", "; ", "--", "/*", "*/", "'", '"', "(", ")", " FROM t", "DROP TABLE t", "Answer: ", "a", " ", "\t"),
    *("\0", "\ud800", "é", "0", "\r", "\u2028", "EXPLAIN ", "DELETE FROM t", "with ", "AS", "{", "\\"),
    *("SELECT 1;\n" * 20, "(" * 50),
)


def fuzz(count: int) -> None:
    """Extract queries from random texts and report the slowest extraction."""
    rng = random.Random(0)
    found, slowest = 0, 0.0
    for _ in range(count):
        text = "".join(rng.choice(FRAGMENTS) for _ in range(rng.choice([3, 10, 40, 200])))
        start = time.process_time()
        query = extract(text)
        slowest = max(slowest, time.process_time() - start)
        found += query is not None
        assert query is None or query in text
    print(f"{count} texts, {found} with a query, no exception; the slowest took {1e3 * slowest:.1f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dialect", choices=["sqlite", "duckdb", "postgresql"], default="sqlite")
    parser.add_argument("--url", default="", help="PostgreSQL server")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--count", type=int, default=2000, help="queries per round")
    parser.add_argument(
        "--fuzz", type=int, default=0, help="fuzz the extraction with this many texts instead"
    )
    arguments = parser.parse_args()
    if arguments.fuzz:
        fuzz(arguments.fuzz)
    else:
        bench(arguments.dialect, arguments.url, arguments.rounds, arguments.count)


if __name__ == "__main__":
    main()
