"""A short run of `benchmarks/cross_sql.py`, whose full run tries 2,000 answers."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from halo_verifier_sql import SQL

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "cross_sql.py"


@pytest.fixture(scope="module")
def cross() -> ModuleType:
    spec = importlib.util.spec_from_file_location("cross_sql", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_queries_for_other_questions_are_wrong_unless_they_are_equivalent(cross: ModuleType) -> None:
    trials = list(cross.try_answers(SQL(), 120, seed=5, databases=60))
    assert [trial for trial in trials if trial.problem] == []
    others = [trial for trial in trials if trial.reference != trial.answer]
    assert len(others) == 120
    assert all(trial.is_accepted for trial in trials if trial.reference == trial.answer)
    assert sum(trial.is_accepted for trial in others) < 10


def test_rules_and_random_databases_agree(cross: ModuleType) -> None:
    rng = random.Random(0)
    proved = 0
    for schema in cross.SCHEMAS[:2]:
        tables = cross.parse(schema)
        known = cross.queries(tables, cross.given_rows(tables, rng), rng)
        for query in known:
            for other in known:
                if query != other and cross.rule(query, other, tables):
                    proved += 1
                    assert not cross.is_told_apart(query, other, tables, rng, 20), (query, other)
    assert proved > 10


@pytest.mark.parametrize(
    ("reference", "answer"),
    [
        ("SELECT country FROM singer", "SELECT DISTINCT country FROM singer"),
        ("SELECT COUNT(*) FROM singer", "SELECT COUNT(country) FROM singer"),
        ("SELECT country FROM singer ORDER BY age, id", "SELECT country FROM singer ORDER BY age"),
        (
            "SELECT country FROM singer ORDER BY age DESC LIMIT 1",
            "SELECT country FROM singer ORDER BY age LIMIT 1",
        ),
    ],
)
def test_random_databases_tell_queries_apart(cross: ModuleType, reference: str, answer: str) -> None:
    tables = cross.parse(cross.SCHEMAS[0])
    assert cross.is_told_apart(reference, answer, tables, random.Random(0), 200)
    assert not cross.rule(reference, answer, tables)
