"""Styles of the corpus: each `Author` writes SQL with habits drawn at random."""

from __future__ import annotations

import random
import re

from halo_verifier_sql_demo.tasks import Condition, Query

_MIRRORED = {">": "<", "<": ">", ">=": "<=", "<=": ">=", "=": "=", "<>": "<>"}
_NEGATED = {">": "<=", "<": ">=", ">=": "<", "<=": ">", "=": "<>", "<>": "="}
_KEYWORD = re.compile(r"'[^']*'|[A-Z]+")


class Author:
    """An author with habits. The same seed gives the same author, who writes the same query."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.lower_case = rng.random() < 0.3
        self.terminator = rng.choice(["", "", ";"])
        self.not_equal = rng.choice(["<>", "<>", "!="])
        self.row_count = rng.choice(["COUNT(*)", "COUNT(*)", "COUNT(*)", "COUNT(1)", "SUM(1)"])

    def write(self, task: Query) -> str:
        """Return a correct query in this author's style."""
        text = self._text(task) + self.terminator
        if self.lower_case:
            text = _KEYWORD.sub(lambda word: word[0] if word[0].startswith("'") else word[0].lower(), text)
        return text

    def _text(self, task: Query) -> str:
        table, kind = task.domain.table, task.domain.kind
        where = self._where(task)
        if task.more_than:
            return f"SELECT {kind} FROM {table} GROUP BY {kind} HAVING COUNT(*) {self._more_than(task.more_than)}"
        if task.function:
            return self._function(task, where)
        if task.family == "distinct" and self.rng.random() < 0.3:
            return f"SELECT {kind} FROM {table}{where} GROUP BY {kind}"
        if task.limit == 1 and self.rng.random() < 0.3:
            best = "MAX" if task.descending else "MIN"
            picked = f"(SELECT {best}({task.order}) FROM {table})"
            return f"SELECT {task.columns[0]} FROM {table} WHERE {task.order} = {picked}"
        distinct = "DISTINCT " if task.family == "distinct" else ""
        return f"SELECT {distinct}{', '.join(task.columns)} FROM {table}{where}{self._order(task)}"

    def _function(self, task: Query, where: str) -> str:
        table, kind = task.domain.table, task.domain.kind
        value = self.row_count if task.function == "count" else f"{task.function.upper()}({task.columns[0]})"
        if task.function == "count" and value == "SUM(1)" and not task.each:
            value = "COUNT(*)"  # without rows, SUM(1) is NULL instead of 0
        if task.each:
            return f"SELECT {kind}, {value} FROM {table}{where} GROUP BY {self.rng.choice([kind, kind, '1'])}"
        if task.function in ("max", "min") and not where and self.rng.random() < 0.2:
            direction = " DESC" if task.function == "max" else ""
            return f"SELECT {task.columns[0]} FROM {table} ORDER BY {task.columns[0]}{direction} LIMIT 1"
        return f"SELECT {value} FROM {table}{where}"

    def _where(self, task: Query) -> str:
        conditions = [self._condition(condition) for condition in task.conditions]
        self.rng.shuffle(conditions)
        return " WHERE " + (" OR " if task.either else " AND ").join(conditions) if conditions else ""

    def _condition(self, condition: Condition) -> str:
        column, op, literal = condition
        form = self.rng.random()
        if form < 0.08:
            return f"{literal} {_MIRRORED[op].replace('<>', self.not_equal)} {column}"
        if form < 0.16:
            return f"NOT {column} {_NEGATED[op].replace('<>', self.not_equal)} {literal}"
        if form < 0.24 and op in (">", "<"):
            return f"{column} {op}= {int(literal) + (1 if op == '>' else -1)}"
        return f"{column} {op.replace('<>', self.not_equal)} {literal}"

    def _order(self, task: Query) -> str:
        if not task.order:
            return ""
        by = task.order
        if by in task.columns and self.rng.random() < 0.3:
            by = str(task.columns.index(by) + 1)
        direction = " DESC" if task.descending else self.rng.choice(["", "", "", " ASC"])
        return f" ORDER BY {by}{direction}" + (f" LIMIT {task.limit}" if task.limit else "")

    def _more_than(self, count: int) -> str:
        return self.rng.choice([f"> {count}", f"> {count}", f">= {count + 1}"])


class ReferenceAuthor(Author):
    """The author of the reference queries, who always writes the plain form."""

    def __init__(self) -> None:
        super().__init__(random.Random(0))
        self.lower_case, self.terminator, self.not_equal, self.row_count = False, "", "<>", "COUNT(*)"

    def _condition(self, condition: Condition) -> str:
        return " ".join(condition)

    def _order(self, task: Query) -> str:
        if not task.order:
            return ""
        direction = " DESC" if task.descending else ""
        return f" ORDER BY {task.order}{direction}" + (f" LIMIT {task.limit}" if task.limit else "")
