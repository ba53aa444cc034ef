"""A short run of `benchmarks/mutate_sql.py`, whose full run tries 2,400 answers."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from halo_verifier_sql import SQL

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "mutate_sql.py"


@pytest.fixture(scope="module")
def rewritten() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mutate_sql", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_rewritten_references_are_judged_by_their_meaning(rewritten: ModuleType) -> None:
    trials = list(rewritten.try_answers(SQL(), 240, seed=0, databases=60, references=1))
    accepted = [trial for trial in trials if trial.is_accepted]
    assert len(trials) == 240
    assert 60 < len(accepted) < 200
    assert sum(trial.differs for trial in accepted) <= 2


def test_random_databases_tell_a_reference_from_its_negation(rewritten: ModuleType) -> None:
    tables = rewritten.cross_sql.parse(rewritten.cross_sql.SCHEMAS[1])
    query = "SELECT id FROM pet WHERE NOT (weight > 15 AND kind = 'jade')"
    known = rewritten.Databases(tables, query, random.Random(0), 40)
    assert not known.tell_apart("SELECT id FROM pet WHERE NOT (weight > 15) OR NOT (kind = 'jade')")
    assert known.tell_apart("SELECT id FROM pet WHERE weight <= 15 OR weight IS NULL OR kind <> 'jade'")
    assert known.tell_apart("SELECT id FROM pet WHERE no_such_column = 1")
    known.close()
