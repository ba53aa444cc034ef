"""The engines that queries run on, seen from the host."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from halo_core import sandbox
from halo_core.errors import PluginError, VerifierError
from halo_core.sandbox.service import Reply, Service
from halo_verifier_sql.worker import Caps, Contents, Description, Found

_REPLY_BYTES = 256 << 20
_BUILDING = 10.0
"""How many times the CPU time of a query the building of databases may take, at loading."""


@dataclass(frozen=True, slots=True)
class Batch:
    """How some queries went on some databases."""

    found: Sequence[Sequence[Found]] = ()
    """For each query, for each database; empty when it came to no end."""
    limit: str = ""
    """What ended it from outside: cpu, memory."""
    died: str = ""
    """How the process ended that ran it, when it ended for no limit."""
    inconclusive: bool = False
    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    tier: str = "none"


class Engine(ABC):
    """Runs queries on sets of databases, which go by a key. Safe to use from many threads."""

    @abstractmethod
    def run(
        self, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps, *, loading: bool
    ) -> Batch:
        """Run each of `queries` on each of `databases`. `loading`: they are trusted, and have more time."""

    @abstractmethod
    def contents(self, key: str, databases: Sequence[Description]) -> list[Contents]:
        """Return what the databases hold. Raises `VerifierError`, with the engine's words, if they cannot be built."""

    @abstractmethod
    def version(self) -> str:
        """Return the engine's version."""


class ServiceEngine(Engine):
    """An engine that lives in the process which calls it: SQLite, DuckDB. Runs behind the sandbox's walls."""

    def __init__(self, target: str, version: str, cpu_seconds: float, memory_bytes: int) -> None:
        self._version = version
        limits = sandbox.Limits(cpu_seconds=cpu_seconds, memory_bytes=memory_bytes, stdout_bytes=_REPLY_BYTES)
        self._service = Service(target, limits=limits)
        roomy = sandbox.Limits(
            cpu_seconds=_BUILDING * cpu_seconds, memory_bytes=memory_bytes, stdout_bytes=_REPLY_BYTES
        )
        self._loader = Service(target, limits=roomy)

    def run(
        self, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps, *, loading: bool
    ) -> Batch:
        """Run queries; see `Engine.run`."""
        service = self._loader if loading else self._service
        reply = service.call(
            key, list(queries), (caps.steps, caps.rows, caps.bytes), answer=lambda _: list(databases)
        )
        if reply.error and loading:
            raise VerifierError(reply.message)
        found: Any = reply.value if reply.ok else ()
        return Batch(
            found,
            limit=reply.limit or "",
            died=f"{reply.error}: {reply.message}" if reply.error else "",
            inconclusive=reply.inconclusive,
            cpu_seconds=reply.cpu_seconds,
            wall_seconds=reply.wall_seconds,
            tier=reply.tier,
        )

    def contents(self, key: str, databases: Sequence[Description]) -> list[Contents]:
        """Return what the databases hold; see `Engine.contents`."""
        reply: Reply = self._loader.call(key, None, (), answer=lambda _: list(databases))
        if not reply.ok:
            raise VerifierError(reply.message or f"ran into the {reply.limit} limit")
        found: Any = reply.value
        return list(found)

    def version(self) -> str:
        """Return the library's version."""
        return self._version


@functools.cache
def engine(dialect: str, url: str, cpu_seconds: float, memory_bytes: int) -> Engine:
    """Return the engine for a dialect; one for equal arguments. Raises `PluginError` where it is not installed."""
    if dialect == "sqlite":
        import sqlite3

        version = f"sqlite {sqlite3.sqlite_version}"
        return ServiceEngine("halo_verifier_sql.sqlite:main", version, cpu_seconds, memory_bytes)
    if dialect == "duckdb":
        duckdb = _installed("duckdb", "duckdb")
        version = f"duckdb {duckdb.__version__}"
        return ServiceEngine("halo_verifier_sql.duck:main", version, cpu_seconds, memory_bytes)
    _installed("psycopg", "postgres")
    _installed("pglast", "postgres")
    from halo_verifier_sql.postgres import PostgresEngine

    return PostgresEngine(url, cpu_seconds, memory_bytes)


def _installed(module: str, extra: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PluginError(
            f"this dialect needs {module}: {error}", hint=f"pip install 'halo-verifier-sql[{extra}]'"
        ) from error


def description(
    schema: str, rows: Mapping[str, tuple[Sequence[str] | None, Sequence[Sequence[Any]]]], *, copy: bool
) -> Description:
    """Return a database as an engine is told of it."""
    plain = {
        table: (None if columns is None else list(columns), [list(row) for row in contents])
        for table, (columns, contents) in rows.items()
    }
    return {"schema": schema, "rows": plain, "copy": copy}
