"""Queries on databases, for verifier `sql`."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

from halo_core.data.recipes.reading import Row, identity, text_of
from halo_core.errors import DataError

_ROWS = 200
"""Rows of a table that are taken: the verifier makes further databases from them."""


def spider(row: Row, place: str, databases: str) -> dict[str, Any]:
    """Spider: `question`, `query`, `db_id`; the database is `DATABASES/DB_ID/DB_ID.sqlite`."""
    return _task(row, place, databases, text_of(row, place, "query"))


def bird(row: Row, place: str, databases: str) -> dict[str, Any]:
    """BIRD: `question`, `evidence`, `SQL`, `db_id`; the database is `DATABASES/DB_ID/DB_ID.sqlite`."""
    return _task(row, place, databases, text_of(row, place, "SQL", "query"))


def _task(row: Row, place: str, databases: str, query: str) -> dict[str, Any]:
    schema, tables = _database(databases, text_of(row, place, "db_id"), place)
    question = text_of(row, place, "question").strip()
    if isinstance(evidence := row.get("evidence"), str) and evidence.strip():
        question += f"\n{evidence.strip()}"
    prompt = f"{schema}\n\n{question}\nAnswer with one SQL query."
    reference = {
        "schema": schema,
        "rows": {name: list(map(list, rows)) for name, rows in tables},
        "query": query,
    }
    return {"prompt": prompt, "reference": reference, **identity(row, "question_id")}


def _database(databases: str, name: str, place: str) -> tuple[str, tuple[tuple[str, tuple[Any, ...]], ...]]:
    """Return the schema of a database as SQL, and the first rows of its tables."""
    if not databases:
        raise DataError(
            f"{place}: the recipe needs databases", hint="name their directory: --set data.databases=DIR"
        )
    file = Path(databases).expanduser() / name / f"{name}.sqlite"
    if not file.is_file():
        raise DataError(f"{place}: there is no database {file}", hint="check data.databases")
    try:
        return _read(str(file))
    except sqlite3.Error as error:
        raise DataError(f"{file}: {error}") from error


@lru_cache(maxsize=256)
def _read(file: str) -> tuple[str, tuple[tuple[str, tuple[Any, ...]], ...]]:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
        database.text_factory = lambda content: content.decode(errors="replace")
        found = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
        ).fetchall()
        tables = []
        for name, _ in found:
            quoted = '"' + name.replace('"', '""') + '"'
            rows = database.execute(f"SELECT * FROM {quoted} LIMIT {_ROWS}").fetchall()
            tables.append((name, tuple(tuple(map(_plain, row)) for row in rows)))
        return "\n".join(f"{sql.strip()};" for _, sql in found), tuple(tables)


def _plain(value: Any) -> Any:
    return {"blob": value.hex()} if isinstance(value, bytes) else value
