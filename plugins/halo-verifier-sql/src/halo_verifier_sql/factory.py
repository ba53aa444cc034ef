"""The choice of an engine by its dialect. Engines know nothing of this module, so imports form no cycle."""

from __future__ import annotations

import functools
import importlib
import sqlite3
from typing import Any

from halo_core.errors import PluginError
from halo_verifier_sql.embedded import EmbeddedEngine
from halo_verifier_sql.engines import Engine


@functools.cache
def get_engine(dialect: str, url: str, cpu_seconds: float, memory_bytes: int) -> Engine:
    """Return the engine for a dialect; equal arguments share one. Raises `PluginError` if it is not installed."""
    if dialect == "sqlite":
        version = f"sqlite {sqlite3.sqlite_version}"
        return EmbeddedEngine("halo_verifier_sql.sqlite:main", version, cpu_seconds, memory_bytes)
    if dialect == "duckdb":
        duckdb = _import_extra("duckdb", "duckdb")
        version = f"duckdb {duckdb.__version__}"
        return EmbeddedEngine("halo_verifier_sql.duck:main", version, cpu_seconds, memory_bytes)
    _import_extra("psycopg", "postgres")
    _import_extra("pglast", "postgres")
    from halo_verifier_sql.postgres import PostgresEngine

    return PostgresEngine(url, cpu_seconds, memory_bytes)


def _import_extra(module: str, extra: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PluginError(
            f"this dialect needs {module}: {error}", hint=f"pip install 'halo-verifier-sql[{extra}]'"
        ) from error
