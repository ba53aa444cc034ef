"""Mutation test of the `sql` verifier: references rewritten at random, rightly and wrongly, tried as answers.

    python benchmarks/mutate_sql.py
    python benchmarks/mutate_sql.py --answers 5000 --seed 7 --dialect duckdb

References are questions about the databases of `cross_sql.py`, with conditions composed of comparisons, IN, BETWEEN,
LIKE, NULL tests, AND, OR and NOT, in filters, CASE, aggregates, groups, joins and nested queries. An answer is a
reference with one to three changes, of which some keep its meaning (De Morgan, BETWEEN as two comparisons) and others
only look as if they did (a NULL that counts as false, a boundary that moves, an inner join for a left one).

Whether an answer is equivalent is decided without the verifier: both queries run on many random databases that
satisfy the declared constraints and contain the constants of the reference, their neighbours and NULLs. An answer that
is refused but differs on none of them is tried on many more, which contain its own constants too. The command fails if
an accepted answer differs on one of the databases, or if an answer is refused that differs on none.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import cross_sql  # type: ignore[import-not-found]
from cross_sql import NUMBERS, WORDS, Column, Tables
from random_databases import Databases

from halo_core.types import Completion, Prompt, Status
from halo_verifier_sql import SQL

_REFERENCES = 5
"""References for each database."""

Condition = tuple[Any, ...]
"""A condition: its kind, then its parts. Atoms: `cmp` column operator value, `in` column values, `between` column low
high, `like` column pattern, `null` column; others: `not` x, `and` x y, `or` x y, and `raw`, a text."""


@dataclass(frozen=True)
class Query:
    """A query that can be changed part by part."""

    columns: tuple[str, ...]
    source: str
    condition: Condition | None = None
    rest: str = ""
    distinct: bool = False
    case: Condition | None = None
    """The condition of a CASE that is one more column."""

    def sql(self) -> str:
        """Return its text."""
        columns = list(self.columns)
        if self.case:
            columns.append(f"CASE WHEN {render(self.case)} THEN 'yes' ELSE 'no' END")
        where = f" WHERE {render(self.condition)}" if self.condition else ""
        return (
            f"SELECT {'DISTINCT ' * self.distinct}{', '.join(columns)} FROM {self.source}{where}{self.rest}"
        )


def render(c: Condition) -> str:
    """Return the text of a condition."""
    kind, *parts = c
    if kind == "cmp":
        return f"{parts[0]} {parts[1]} {literal(parts[2])}"
    if kind == "in":
        return f"{parts[0]} IN ({', '.join(map(literal, parts[1]))})"
    if kind == "between":
        return f"{parts[0]} BETWEEN {parts[1]} AND {parts[2]}"
    if kind == "like":
        return f"{parts[0]} LIKE '{parts[1]}'"
    if kind == "null":
        return f"{parts[0]} IS NULL"
    if kind == "not":
        return f"NOT ({render(parts[0])})"
    if kind == "raw":
        return str(parts[0])
    return f"({render(parts[0])} {kind.upper()} {render(parts[1])})"


def literal(value: object) -> str:
    return str(value) if isinstance(value, int) else f"'{value}'"


def column_of(atom: Condition) -> str:
    return str(atom[1])


# References


def atom(columns: dict[str, Column], rng: random.Random) -> Condition:
    """Return a random comparison of one of `columns`, by the name under which the query knows each."""
    name = rng.choice(list(columns))
    kind = rng.random()
    if kind < 0.1:
        return ("null", name)
    if columns[name].is_number:
        low, high = sorted(rng.sample(NUMBERS, 2))
        if kind < 0.3:
            return ("between", name, low, high)
        if kind < 0.4:
            return ("in", name, (low, high))
        return ("cmp", name, rng.choice(("<", "<=", ">", ">=", "=", "<>")), low)
    if kind < 0.3:
        return ("like", name, rng.choice(("%a%", "a%", "%e", "%r_", "_e%")))
    if kind < 0.5:
        return ("in", name, tuple(rng.sample(WORDS, 2)))
    return ("cmp", name, rng.choice(("=", "<>", "=")), rng.choice(WORDS))


def condition(columns: dict[str, Column], rng: random.Random, depth: int) -> Condition:
    """Return a random condition with at most 2 ** depth comparisons."""
    kind = rng.random()
    if depth == 0 or kind < 0.15:
        return atom(columns, rng)
    if kind < 0.45:
        return ("not", condition(columns, rng, depth - 1))
    return (
        rng.choice(("and", "or")),
        condition(columns, rng, depth - 1),
        condition(columns, rng, depth - 1),
    )


def reference(tables: Tables, rng: random.Random) -> Query:
    """Return a random question about a database."""
    child = rng.choice([name for name, columns in tables.items() if any(c.target for c in columns)])
    key = rng.choice([c for c in tables[child] if c.target])
    form = rng.randrange(10)
    table = rng.choice(list(tables)) if form < 6 else child
    plain = {c.name: c for c in tables[table] if not c.target}
    texts = [c.name for c in plain.values() if not c.is_number]
    numbers = [c.name for c in plain.values() if c.is_number] or ["id"]
    where = condition(plain, rng, 2)
    text, number = rng.choice(texts), rng.choice(numbers)
    if form == 0:
        return Query(("id",), table, where)
    if form == 1:
        return Query((text,), table, where, distinct=rng.random() < 0.5)
    if form == 2:
        return Query(("id", f"COALESCE({text}, 'none')"), table, case=where)
    if form == 3:
        return Query(
            (rng.choice(("COUNT(*)", f"COUNT({text})", f"SUM({number})", f"MAX({number})")),), table, where
        )
    if form == 4:
        return Query((text, "COUNT(*)"), table, where, f" GROUP BY {text}")
    if form == 5:
        having = rng.choice((f"COUNT({number}) > 1", f"MAX({number}) >= {rng.choice(NUMBERS)}"))
        return Query((text,), table, where, f" GROUP BY {text} HAVING {having}")
    parent = {f"y.{c.name}": c for c in tables[key.target] if not c.target}
    both = {**{f"x.{name}": c for name, c in plain.items()}, **parent}
    word = next(name for name, c in parent.items() if not c.is_number)
    where = condition(both, rng, 2)
    if form == 6:
        return Query(("x.id", word), f"{child} AS x JOIN {key.target} AS y ON x.{key.name} = y.id", where)
    if form == 7:
        return Query(
            ("x.id", word), f"{child} AS x LEFT JOIN {key.target} AS y ON x.{key.name} = y.id", where
        )
    if form == 8:
        source = f"{key.target} AS y LEFT JOIN {child} AS x ON x.{key.name} = y.id"
        return Query((word, "COUNT(x.id)"), source, condition(parent, rng, 2), f" GROUP BY y.id, {word}")
    inner = render(condition({f"x.{name}": c for name, c in plain.items()}, rng, 1))
    test = ("raw", f"y.id IN (SELECT x.{key.name} FROM {child} AS x WHERE {inner})")
    return Query(
        ("y.id", word), f"{key.target} AS y", (rng.choice(("and", "or")), test, condition(parent, rng, 1))
    )


# Changes of conditions


def places(c: Condition) -> list[tuple[int, ...]]:
    """Return the paths to a condition and all conditions within it."""
    found: list[tuple[int, ...]] = [()]
    if c[0] in ("not", "and", "or"):
        for number, part in enumerate(c[1:], 1):
            found += [(number, *path) for path in places(part)]
    return found


def changed_at(c: Condition, path: tuple[int, ...], change: Callable[[Condition], Condition]) -> Condition:
    if not path:
        return change(c)
    parts = list(c)
    parts[path[0]] = changed_at(c[path[0]], path[1:], change)
    return tuple(parts)


_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "=": "<>", "<>": "="}
_NEIGHBOUR = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "=": ">=", "<>": "<"}
_INTEGERS = {"<": ("<=", -1), "<=": ("<", 1), ">": (">=", 1), ">=": (">", -1)}


def rewrites(c: Condition, rng: random.Random) -> list[Condition]:
    """Return conditions that a model might write for `c`."""
    text = render(c)
    found: list[Condition] = [
        ("raw", f"({text}) IS TRUE"),
        ("raw", f"({text}) IS NOT FALSE"),
        ("raw", f"CASE WHEN {text} THEN 1 ELSE 0 END = 1"),
        ("raw", f"CASE WHEN {text} THEN 0 ELSE 1 END = 0"),
        ("raw", f"COALESCE({text}, {rng.choice(('TRUE', 'FALSE'))})"),
        ("not", ("raw", f"CASE WHEN {text} THEN 0 ELSE 1 END = 1")),
    ]
    if rewrite := _REWRITES.get(c[0]):
        found += rewrite(c, rng)
    if c[0] in ("cmp", "in", "between", "like"):
        name = column_of(c)
        found += [("or", c, ("null", name)), ("and", c, ("not", ("null", name)))]
    return found


def _rewrite_not(c: Condition, rng: random.Random) -> list[Condition]:
    inner = c[1]
    found: list[Condition] = [
        inner,
        ("raw", f"({render(inner)}) IS NOT TRUE"),
        ("raw", f"({render(inner)}) IS FALSE"),
        ("raw", f"CASE WHEN {render(inner)} THEN 0 ELSE 1 END = 1"),
    ]
    if inner[0] in ("and", "or"):
        denied = (("not", inner[1]), ("not", inner[2]))
        found += [("or" if inner[0] == "and" else "and", *denied), (inner[0], *denied)]
    if inner[0] == "cmp":
        opposite = ("cmp", inner[1], _OPPOSITE[inner[2]], inner[3])
        found += [opposite] * 3 + [("or", opposite, ("null", inner[1]))]
    if inner[0] == "not":
        found.append(inner[1])
    if inner[0] == "in" and len(inner[2]) == 2:
        low, high = (("cmp", inner[1], "<>", value) for value in inner[2])
        found += [("and", low, high), ("or", low, high), ("or", ("and", low, high), ("null", inner[1]))]
    if inner[0] == "between":
        found.append(("or", ("cmp", inner[1], "<", inner[2]), ("cmp", inner[1], ">", inner[3])))
    return found


def _rewrite_connective(c: Condition, rng: random.Random) -> list[Condition]:
    kind, one, two = c
    other = "or" if kind == "and" else "and"
    return [(kind, two, one), one, two, (other, one, two), ("not", (other, ("not", one), ("not", two)))]


def _rewrite_cmp(c: Condition, rng: random.Random) -> list[Condition]:
    _, name, operator, value = c
    found: list[Condition] = [
        ("cmp", name, _NEIGHBOUR[operator], value),
        ("cmp", name, _OPPOSITE[operator], value),
        *[("not", ("cmp", name, _OPPOSITE[operator], value))] * 2,
    ]
    if not isinstance(value, int):
        found += [("like", name, value), ("like", name, f"{value[:3]}%"), ("in", name, (value, "none"))]
        return [*found, ("raw", f"COALESCE({name}, '') {operator} '{value}'")]
    instead = rng.choice((0, value, value + 1, 99))
    found.append(("cmp", name, operator, value + rng.choice((-1, 1, 5))))
    found.append(("raw", f"COALESCE({name}, {instead}) {operator} {value}"))
    if operator in _INTEGERS:
        other, step = _INTEGERS[operator]
        found.append(("cmp", name, other, value + step))
    return [*found, ("and", c, ("cmp", name, "<>", value + rng.choice((2, 7, 20))))]


def _rewrite_between(c: Condition, rng: random.Random) -> list[Condition]:
    _, name, low, high = c
    return [
        *[("and", ("cmp", name, ">=", low), ("cmp", name, "<=", high))] * 2,
        ("and", ("cmp", name, ">", low), ("cmp", name, "<=", high)),
        ("between", name, high, low),
        ("not", ("or", ("cmp", name, "<", low), ("cmp", name, ">", high))),
        ("cmp", name, ">=", low),
    ]


def _rewrite_in(c: Condition, rng: random.Random) -> list[Condition]:
    _, name, values = c
    found: list[Condition] = [("in", name, values[:1])]
    if len(values) == 2:
        found += [("or", *(("cmp", name, "=", value) for value in values))] * 2
    return [*found, ("raw", f"{name} IN ({', '.join(map(literal, values))}, NULL)")]


def _rewrite_like(c: Condition, rng: random.Random) -> list[Condition]:
    _, name, pattern = c
    return [
        ("like", name, pattern.strip("%")),
        ("like", name, f"%{pattern}%"),
        ("raw", f"LOWER({name}) LIKE '{pattern}'"),
    ]


def _rewrite_null(c: Condition, rng: random.Random) -> list[Condition]:
    name = c[1]
    return [("not", c), ("raw", f"{name} = NULL"), ("raw", f"COALESCE({name}, 'none') = 'none'")]


_REWRITES: dict[str, Callable[[Condition, random.Random], list[Condition]]] = {
    "not": _rewrite_not,
    "and": _rewrite_connective,
    "or": _rewrite_connective,
    "cmp": _rewrite_cmp,
    "between": _rewrite_between,
    "in": _rewrite_in,
    "like": _rewrite_like,
    "null": _rewrite_null,
}
"""Rewritings of a condition by its kind."""


# Changes of queries

_TEXT_CHANGES = (
    (r"^COUNT\(\*\)$", "COUNT(id)"),
    (r"^COUNT\((\w+)\)$", r"COUNT(DISTINCT \1)"),
    (r"^COUNT\((\w+)\)$", "COUNT(*)"),
    (r"^COUNT\(x\.id\)$", "COUNT(*)"),
    (r"^COUNT\(x\.id\)$", "COUNT(y.id)"),
    (r"^SUM\((\w+)\)$", r"SUM(DISTINCT \1)"),
    (r"^SUM\((\w+)\)$", r"TOTAL(\1)"),
    (r"^SUM\((\w+)\)$", r"COALESCE(SUM(\1), 0)"),
    (r"^MAX\((\w+)\)$", r"MIN(\1)"),
    (r"^COALESCE\((\w+), 'none'\)$", r"\1"),
    (r"^COALESCE\((\w+), 'none'\)$", r"CASE WHEN \1 IS NULL THEN 'none' ELSE \1 END"),
    (r"^COALESCE\((\w+), 'none'\)$", r"IFNULL(\1, 'none')"),
)


def change(query: Query, tables: Tables, rng: random.Random) -> Query:
    """Return the query with one change."""
    if rng.random() < 0.75 and (query.condition or query.case):
        given = query.case or query.condition
        assert given is not None
        new = changed_at(given, rng.choice(places(given)), lambda c: rng.choice(rewrites(c, rng)))
        return replace(query, case=new) if query.case else replace(query, condition=new)
    options: list[Query] = [replace(query, distinct=not query.distinct)]
    for number, column in enumerate(query.columns):
        for pattern, replacement in _TEXT_CHANGES:
            if re.search(pattern, column):
                columns = list(query.columns)
                columns[number] = re.sub(pattern, replacement, column)
                options += [replace(query, columns=tuple(columns))] * 2
    if " LEFT JOIN " in query.source:
        options += [replace(query, source=query.source.replace(" LEFT JOIN ", " JOIN "))] * 2
    elif " JOIN " in query.source:
        options += [replace(query, source=query.source.replace(" JOIN ", " LEFT JOIN "))] * 2
    if " JOIN " in query.source and query.condition:
        on = f"{query.source} AND {render(query.condition)}"
        options += [replace(query, source=on, condition=None)] * 2
    if query.rest:
        options += [replace(query, rest=query.rest.replace("y.id, ", "")), replace(query, rest="")]
        if ">" in query.rest:
            options.append(
                replace(
                    query,
                    rest=query.rest.replace(">=", ">")
                    if ">=" in query.rest
                    else query.rest.replace(">", ">="),
                )
            )
            options.append(replace(query, rest=query.rest.partition(" HAVING")[0]))
    if query.condition:
        options.append(replace(query, condition=None))
    return rng.choice(options)


# The trials


@dataclass(frozen=True)
class Trial:
    """An answer that was tried on a reference."""

    reference: str
    answer: str
    is_accepted: bool
    differs: bool
    detail: str

    @property
    def problem(self) -> str:
        """A wrong verdict in words; empty if the verdict is right."""
        if self.is_accepted == self.differs:
            return "accepted, but not equivalent" if self.differs else "refused, but equivalent"
        return ""


def try_answers(
    verifier: SQL, count: int, seed: int, databases: int, references: int = _REFERENCES
) -> Iterator[Trial]:
    """Try `count` answers on `references` references for each database. References that are refused are left out."""
    rng = random.Random(f"answers {seed}")
    each = -(-count // (references * len(cross_sql.SCHEMAS)))
    for text in cross_sql.SCHEMAS:
        tables = cross_sql.parse(text)
        rows = cross_sql.given_rows(tables, rng)
        found = 0
        while found < references:
            query = reference(tables, rng)
            data = {"schema": cross_sql.script(tables), "rows": rows, "query": query.sql()}
            prompt = Prompt(text, "t", reference=data)
            if verifier.check(prompt, Completion(text, 0, query.sql())).status is not Status.PASS:
                continue
            found += 1
            tried = {query.sql()}
            known = Databases(tables, query.sql(), rng, databases)
            for _ in range(20 * each):
                answer = query
                for _ in range(rng.choice((1, 1, 2, 3))):
                    answer = change(answer, tables, rng)
                if answer.sql() in tried:
                    continue
                tried.add(answer.sql())
                verdict = verifier.check(prompt, Completion(text, 0, answer.sql()))
                is_accepted = verdict.status is Status.PASS
                differs = known.tell_apart(answer.sql()) or (
                    not is_accepted and known.search(answer.sql(), tables)
                )
                yield Trial(query.sql(), answer.sql(), is_accepted, differs, verdict.detail)
                if len(tried) > each:
                    break
            known.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=int, default=2400, help="answers to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dialect", choices=["sqlite", "duckdb", "postgresql"], default="sqlite")
    parser.add_argument("--url", default="", help="PostgreSQL server")
    parser.add_argument(
        "--copies", type=int, default=3, help="copies of each database that the verifier makes"
    )
    parser.add_argument("--databases", type=int, default=150, help="random databases for each reference")
    arguments = parser.parse_args()
    verifier = SQL(dialect=arguments.dialect, url=arguments.url, copies=arguments.copies)
    trials = []
    for trial in try_answers(verifier, arguments.answers, arguments.seed, arguments.databases):
        trials.append(trial)
        if trial.problem:
            print(
                trial.problem,
                trial.reference,
                trial.answer,
                *trial.detail.splitlines(),
                sep="\n    ",
                flush=True,
            )
    references = len({trial.reference for trial in trials})
    accepted = sum(trial.is_accepted for trial in trials)
    equivalent = sum(not trial.differs for trial in trials)
    print(f"{len(trials)} answers to {references} references: {equivalent} equivalent, {accepted} accepted")
    if problems := Counter(trial.problem for trial in trials if trial.problem):
        sys.exit("; ".join(f"{count} {problem}" for problem, count in problems.items()))


if __name__ == "__main__":
    main()
