"""The cache of database sets in a sandboxed process."""

import sqlite3
from typing import Any

import duckdb
import pytest

from halo_verifier_sql import worker
from halo_verifier_sql.duck import DuckDatabase
from halo_verifier_sql.sqlite import SQLiteDatabase


class Fake:
    def __init__(self, size: int) -> None:
        self.size = size
        self.closed = False

    def close(self) -> None:
        self.closed = True

    def contents(self) -> Any:
        return {}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the list of keys that the worker asks the host for; a cache holds 170 bytes."""
    asked: list[str] = []

    def ask(key: str) -> list[str]:
        asked.append(key)
        return ["one", "two"]

    monkeypatch.setattr(worker, "ask", ask)
    monkeypatch.setattr(worker, "_sets", worker.new_cache(170))
    return asked


def serve(key: str, size: int = 40) -> None:
    worker.serve(lambda _: Fake(size), key, None, ())  # type: ignore[arg-type, return-value]


def test_least_recently_used_sets_are_dropped(asked: list[str]) -> None:
    for key in ("a", "b", "a", "c", "a", "b", "c"):
        serve(key)
    assert asked == ["a", "b", "c", "b", "c"]


def test_a_set_larger_than_the_cache_is_kept_alone(asked: list[str]) -> None:
    for key, size in (("a", 40), ("b", 40), ("large", 400), ("large", 400)):
        serve(key, size)
    assert asked == ["a", "b", "large"]
    assert list(worker._sets) == ["large"]
    serve("a")
    assert list(worker._sets) == ["a"]


def test_dropped_databases_are_closed(asked: list[str]) -> None:
    built: list[Fake] = []

    def build(_: Any) -> Fake:
        built.append(Fake(40))
        return built[-1]

    for key in ("a", "b", "c"):
        worker.serve(build, key, None, ())  # type: ignore[arg-type]
    assert [fake.closed for fake in built] == [True, True, False, False, False, False]


def test_a_set_that_cannot_be_built_is_closed(asked: list[str]) -> None:
    built: list[Fake] = []

    def build(_: Any) -> Fake:
        if built:
            raise MemoryError
        built.append(Fake(40))
        return built[-1]

    with pytest.raises(MemoryError):
        worker.serve(build, "a", None, ())  # type: ignore[arg-type]
    assert built[0].closed
    assert not worker._sets


@pytest.mark.parametrize("build", [SQLiteDatabase, DuckDatabase])
def test_a_closed_database_has_freed_its_memory(build: Any) -> None:
    database = build({"schema": "CREATE TABLE t (a INTEGER)", "rows": {}, "copy": False})
    assert database.run("SELECT a FROM t", worker.Caps(1000, 10, 1000))[0] == "rows"
    database.close()
    with pytest.raises((sqlite3.ProgrammingError, duckdb.ConnectionException)):
        database.contents()


def test_many_databases_fit_into_the_heap_of_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    database = {"schema": "CREATE TABLE t (a)", "rows": {}, "copy": False}
    monkeypatch.setattr(worker, "ask", lambda _: [database] * 100)
    monkeypatch.setattr(worker, "_sets", worker.new_cache(worker._CACHE_BYTES))
    for number in range(30):
        worker.serve(SQLiteDatabase, f"{number}", None, ())
    assert 10 < len(worker._sets) < 30
