"""Spider-like questions: for each reference, an equivalent query passes and one with another meaning fails."""
# ruff: noqa: E501 (tables with one table per line)

from pathlib import Path

import pytest

from halo_core.types import Completion, Prompt, Status
from halo_verifier_sql import SQL

LINES = Path(__file__).with_name("questions.txt").read_text(encoding="utf-8").splitlines()
QUESTIONS = [line.split(" ;; ") for line in LINES if line and not line.startswith("#")]
SCHEMA = """
CREATE TABLE stadium (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT, capacity INTEGER NOT NULL);
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT NOT NULL, country TEXT, age INTEGER);
CREATE TABLE concert (id INTEGER PRIMARY KEY, stadium_id INTEGER NOT NULL REFERENCES stadium (id), title TEXT NOT NULL,
                      day DATE NOT NULL, price INTEGER);
CREATE TABLE performs (concert_id INTEGER NOT NULL REFERENCES concert (id),
                       singer_id INTEGER NOT NULL REFERENCES singer (id), minutes INTEGER,
                       PRIMARY KEY (concert_id, singer_id));
CREATE TABLE fan (id INTEGER PRIMARY KEY, name TEXT, singer_id INTEGER REFERENCES singer (id), joined DATE);
"""
ROWS = {
    "stadium": [[1, "arena", "lyon", 400], [2, "bowl", "bern", 1200], [3, "dome", "york", 700], [4, "park", "gent", 1500]],
    "singer": [[1, "ada", "france", 25], [2, "ben", "spain", 43], [3, "cleo", "france", 52], [4, "dov", "spain", 28], [5, "eva", "italy", 36]],
    "concert": [[1, 1, "dawn", "2020-07-03", 15], [2, 2, "dusk", "2021-02-11", 35], [3, 3, "noon", "2021-08-20", 20],
                [4, 2, "rain", "2022-06-30", 50], [5, 1, "snow", "2021-12-31", 25]],
    "performs": [[1, 1, 40], [1, 2, 60], [2, 3, 55], [3, 4, 30], [4, 2, 45], [5, 5, 70], [5, 1, 20]],
    "fan": [[1, "fay", 1, "2019-03-04"], [2, "gus", 2, "2020-06-15"], [3, "hal", 1, "2021-01-09"], [4, "ivy", 3, "2020-02-29"]],
}  # fmt: skip


def test_there_are_at_least_60_questions() -> None:
    assert len(QUESTIONS) >= 60


@pytest.mark.parametrize(("query", "same", "other"), QUESTIONS)
def test_equivalent_query_passes_and_another_one_fails(query: str, same: str, other: str) -> None:
    prompt, verifier = Prompt("p", "t", reference={"schema": SCHEMA, "rows": ROWS, "query": query}), SQL()
    verdict = verifier.check(prompt, Completion("p", 0, same))
    assert verdict.status is Status.PASS, verdict.detail
    verdict = verifier.check(prompt, Completion("p", 0, other))
    assert verdict.status is Status.FAIL, verdict.detail
