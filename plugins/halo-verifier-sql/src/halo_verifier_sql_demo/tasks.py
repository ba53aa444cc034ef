"""The demo's tasks: questions about small databases, composed of parts.

A task is a `Query`; its English and every form of its SQL are generated from the same parts.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

Condition = tuple[str, str, str]
"""A column, a comparison operator and a literal."""


@dataclass(frozen=True)
class Domain:
    """The table of a question. Names are declared unique, and so are the values of each of the two quantities."""

    table: str
    name: str
    kind: str
    kinds: tuple[str, ...]
    first: str
    second: str
    limits: tuple[tuple[int, ...], tuple[int, ...]]
    """Numbers that conditions compare the two quantities with."""
    rows: tuple[tuple[str, str, int, int], ...]

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """Columns in the order of the table."""
        return self.name, self.kind, self.first, self.second

    @property
    def schema(self) -> str:
        """Script that creates the table."""
        name, kind, first, second = self.columns
        return (
            f"CREATE TABLE {self.table} ({name} TEXT NOT NULL UNIQUE, {kind} TEXT NOT NULL, "
            f"{first} INTEGER NOT NULL UNIQUE, {second} INTEGER NOT NULL UNIQUE)"
        )


@dataclass(frozen=True)
class Query:
    """The parts of a query."""

    family: str
    domain: Domain
    columns: tuple[str, ...]
    """Columns of the result, or the one that `function` is applied to; empty for "count"."""
    function: str = ""
    """Aggregate function in lower case; "count" counts rows."""
    conditions: tuple[Condition, ...] = ()
    either: bool = False
    """One of the conditions suffices (OR)."""
    each: bool = False
    """One result row for each kind."""
    more_than: int = 0
    """Restrict the result to kinds with more rows than this; 0 means no restriction."""
    order: str = ""
    descending: bool = False
    limit: int = 0

    @property
    def key(self) -> str:
        """Name that is unique among all tasks and stable across runs."""
        return f"{self.family}: {english(self, random.Random(0))}"


DOMAINS = (
    Domain("pets", "name", "kind", ("dog", "cat", "fish"), "age", "weight", ((3, 5, 8), (10, 20, 30)),
           (("rex", "dog", 4, 31), ("tom", "cat", 9, 5), ("bo", "dog", 2, 12), ("kit", "cat", 5, 4),
            ("nemo", "fish", 1, 2), ("ace", "dog", 11, 24), ("max", "dog", 7, 35), ("sia", "cat", 3, 6),
            ("dory", "fish", 6, 10))),
    Domain("books", "title", "genre", ("novel", "poetry", "history"), "pages", "price", ((150, 200, 300), (9, 12, 20)),
           (("ash", "novel", 320, 12), ("bay", "poetry", 90, 9), ("cold", "novel", 210, 15),
            ("dust", "history", 450, 25), ("elm", "poetry", 120, 8), ("fire", "history", 300, 20),
            ("gold", "novel", 180, 7), ("hill", "novel", 260, 11))),
    Domain("cars", "model", "brand", ("audi", "ford", "fiat"), "year", "price", ((2005, 2010, 2015), (6, 10, 15)),
           (("a1", "audi", 2012, 14), ("a4", "audi", 2018, 30), ("ka", "ford", 2009, 4), ("kuga", "ford", 2016, 19),
            ("uno", "fiat", 1998, 2), ("tipo", "fiat", 2017, 13), ("focus", "ford", 2011, 7),
            ("panda", "fiat", 2014, 6))),
    Domain("films", "title", "genre", ("drama", "comedy", "crime"), "year", "score", ((1980, 1990, 2000), (60, 75, 85)),
           (("arc", "drama", 1975, 81), ("bet", "crime", 1992, 77), ("cut", "comedy", 2003, 58),
            ("dig", "drama", 1988, 90), ("ego", "comedy", 1999, 69), ("fog", "crime", 2010, 75),
            ("gap", "drama", 2015, 63), ("hut", "comedy", 1981, 86))),
    Domain("players", "name", "team", ("red", "blue", "green"), "goals", "games", ((4, 8, 12), (15, 20, 30)),
           (("ann", "red", 12, 30), ("ben", "blue", 3, 18), ("cleo", "red", 7, 25), ("dan", "green", 15, 33),
            ("eli", "blue", 9, 20), ("fred", "green", 0, 14), ("gus", "blue", 5, 28), ("hal", "red", 1, 9))),
    Domain("staff", "name", "team", ("sales", "law", "tech"), "salary", "age", ((50, 60, 80), (30, 40, 50)),
           (("amy", "sales", 45, 29), ("bob", "law", 90, 52), ("cid", "tech", 70, 34), ("deb", "tech", 85, 41),
            ("eva", "sales", 60, 38), ("flo", "law", 75, 47), ("gil", "tech", 55, 26), ("hue", "sales", 50, 60))),
)  # fmt: skip

_COMPARISON_WORDS = {">": "over", "<": "under", ">=": "at least", "<=": "at most", "=": "", "<>": "not"}
_FUNCTIONS = {"max": "highest", "min": "lowest", "avg": "average", "sum": "total"}


def all_tasks() -> list[Query]:
    """Return every task."""
    return [task for domain in DOMAINS for task in _of_domain(domain)]


def _of_domain(domain: Domain) -> Iterator[Query]:
    name, kind, *numbers = domain.columns
    compared = _conditions(domain)
    kinds = [condition for condition in compared if condition[0] == kind]
    sizes = [condition for condition in compared if condition[0] != kind]
    pairs = [(a, b) for a, b in itertools.product(sizes, kinds) if a[1] in "<>"]
    shown = [(name,), (name, numbers[0]), (name, numbers[1]), (name, kind)]
    list_query = Query("list", domain, (name,))
    for condition, columns in itertools.product(compared, shown):
        yield replace(list_query, columns=columns, conditions=(condition,))
    for (a, b), either in itertools.product(pairs, (False, True)):
        yield replace(list_query, family="both", conditions=(a, b), either=either)
    count_query = Query("count", domain, (), "count")
    for condition in compared:
        yield replace(count_query, conditions=(condition,))
    for pair in pairs:
        yield replace(count_query, conditions=pair)
    for function, column in itertools.product(_FUNCTIONS, numbers):
        function_query = Query("function", domain, (column,), function)
        yield function_query
        for condition in kinds:
            yield replace(function_query, conditions=(condition,))
        yield replace(function_query, family="each", each=True)
    yield replace(count_query, family="each", each=True)
    for condition in sizes:
        yield replace(count_query, family="each", each=True, conditions=(condition,))
    for least in (1, 2):
        yield Query("each", domain, (kind,), each=True, more_than=least)
    for column, descending in itertools.product(numbers, (False, True)):
        ordered = Query("order", domain, (name,), order=column, descending=descending)
        yield ordered
        yield replace(ordered, columns=(name, column))
        for condition in kinds:
            yield replace(ordered, conditions=(condition,))
        for limit in (1, 2, 3):
            yield replace(ordered, family="top", limit=limit)
    for condition in sizes:
        yield Query("distinct", domain, (kind,), conditions=(condition,))


def _conditions(domain: Domain) -> list[Condition]:
    found = [(domain.kind, op, f"'{kind}'") for kind in domain.kinds for op in ("=", "<>")]
    for column, limits in zip((domain.first, domain.second), domain.limits, strict=True):
        found += [(column, op, str(limit)) for limit in limits for op in (">", "<", ">=", "<=")]
    return found


def phrase(task: Query, rng: random.Random) -> str:
    """Return the prompt: the table and the question in one of several wordings."""
    return f"{task.domain.table}({', '.join(task.domain.columns)})\n{english(task, rng)}"


def english(task: Query, rng: random.Random) -> str:
    """Return the question in one of several wordings, drawn from `rng`."""
    things, kind = task.domain.table, task.domain.kind
    joined = (" or " if task.either else " and ").join(map(_condition_text, task.conditions))
    where = rng.choice([" with ", " with ", " having "]) + joined if joined else ""
    lead = rng.choice(["", "", "Show ", "Find "])
    columns = " and ".join(task.columns)
    if task.more_than:
        return f"{lead}each {kind} with more than {task.more_than} {things}"
    if task.function == "count":
        return f"{lead}the number of {things}{where}" + (f" for each {kind}" if task.each else "")
    if task.function:
        return f"{lead}the {_FUNCTIONS[task.function]} {columns} of {things}{where}" + (
            f" for each {kind}" if task.each else ""
        )
    if task.family == "distinct":
        return f"{lead}each different {kind} of {things}{where}"
    if task.limit:
        which = "highest" if task.descending else "lowest"
        return f"{lead}{columns} of the {task.limit} {things} with the {which} {task.order}"
    direction = rng.choice([", highest first", " from high to low"]) if task.descending else ""
    order = rng.choice([" ordered by ", " sorted by "]) + task.order + direction if task.order else ""
    return f"{lead}{columns} of {things}{where}{order}"


def _condition_text(condition: Condition) -> str:
    column, op, literal = condition
    return " ".join([column, *filter(None, [_COMPARISON_WORDS[op]]), literal.strip("'")])
