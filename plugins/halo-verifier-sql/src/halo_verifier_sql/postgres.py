"""PostgreSQL: an engine that runs queries on a server.

A query is vetted in the sandbox first: the functions that it may call and the tables that it may read are checked
in its syntax tree.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from halo_core import sandbox
from halo_core.errors import PluginError, VerifierError
from halo_core.sandbox.service import Service
from halo_verifier_sql.engines import LOADING_FACTOR, Batch, Engine
from halo_verifier_sql.postgres_database import JsonLoader, PostgresDatabase
from halo_verifier_sql.worker import Caps, Contents, Description, Outcome, first_line

_STABLE = frozenset(
    """
    age array_to_json array_to_string concat concat_ws date_part date_trunc extract format json_agg jsonb_agg
    json_build_array json_build_object jsonb_build_array jsonb_build_object json_object_agg jsonb_object_agg
    quote_literal quote_nullable row_to_json timezone to_char to_date to_json to_jsonb to_number to_timestamp
    generate_series
    """.split()  # noqa: SIM905 - more readable than a list
)
"""Allowed functions that depend on settings, which are fixed, but not on the time."""
_FORBIDDEN_PREFIXES = ("pg_", "lo_", "has_", "inet_", "tx", "current_", "set_")
_IMMUTABLE = """
    SELECT proname FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
    GROUP BY proname HAVING bool_and(provolatile = 'i')
"""


class PostgresEngine(Engine):
    """An engine on a PostgreSQL server. Each call has exclusive use of a connection."""

    def __init__(self, url: str, seconds: float, memory_bytes: int) -> None:
        self._url = url
        self._seconds = seconds
        self._vetting = Service(
            "halo_verifier_sql.vet:vet", limits=sandbox.Limits(cpu_seconds=seconds, memory_bytes=memory_bytes)
        )
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection[Any]] = []
        self._functions: frozenset[str] = frozenset()
        self._version = ""

    def run(
        self, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps, *, loading: bool
    ) -> Batch:
        """Run queries; see `Engine.run`."""
        start = time.monotonic()
        vetted = [self._vetting.call(query) for query in queries]
        for reply in vetted:
            if not reply.ok:
                died = f"{reply.error}: {reply.message}" if reply.error else ""
                return Batch((), reply.limit or "", died, reply.inconclusive, tier=reply.tier)
        seconds = self._seconds * (LOADING_FACTOR if loading else 1)
        outcomes: list[list[Outcome]] = [[] for _ in queries]
        with self._connection() as connection:
            for description in databases:
                if all(_is_settled(reply.value, outcomes[index]) for index, reply in enumerate(vetted)):
                    break
                with PostgresDatabase(connection, description, seconds) as database:
                    for index, reply in enumerate(vetted):
                        outcomes[index].append(database.run(reply.value, caps, self._functions))
        padded = [row + row[-1:] * (len(databases) - len(row)) for row in outcomes]
        cpu = sum(reply.cpu_seconds for reply in vetted)
        return Batch(padded, cpu_seconds=cpu, wall_seconds=time.monotonic() - start, tier="server")

    def contents(self, key: str, databases: Sequence[Description]) -> list[Contents]:
        """Return the databases' contents; see `Engine.contents`."""
        contents = []
        with self._connection() as connection:
            for description in databases:
                with PostgresDatabase(connection, description, LOADING_FACTOR * self._seconds) as database:
                    contents.append(database.contents())
        return contents

    def version(self) -> str:
        """Return the server's version."""
        if not self._version:
            with self._connection():
                pass
        return self._version

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        connection = self._take()
        try:
            yield connection
        except psycopg.Error as error:
            connection.close()
            raise VerifierError(f"PostgreSQL: {first_line(error)}") from error
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)

    def _take(self) -> psycopg.Connection[Any]:
        """Return a working connection; idle ones may be dead because the server was restarted."""
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            with suppress(psycopg.Error):
                connection.execute("SELECT 1")
                return connection
            connection.close()
        return self._connect()

    def _connect(self) -> psycopg.Connection[Any]:
        try:
            connection = psycopg.connect(
                self._url, autocommit=True, connect_timeout=10, prepare_threshold=None
            )
        except psycopg.Error as error:
            hint = "set the server: --verifier-opt url=postgresql://user@host/database"
            raise PluginError(f"no PostgreSQL server: {first_line(error)}", hint=hint) from error
        for name in ("json", "jsonb"):
            connection.adapters.register_loader(name, JsonLoader)
        names = connection.execute(_IMMUTABLE).fetchall()
        immutable = frozenset(name for (name,) in names if not name.startswith(_FORBIDDEN_PREFIXES))
        self._functions = immutable | _STABLE
        self._version = f"postgresql {connection.info.server_version}"
        return connection


def _is_settled(vetted: Any, outcomes: list[Outcome]) -> bool:
    """Return True if the outcome would be the same on any other database."""
    return bool(outcomes) and (bool(vetted[0]) or outcomes[-1][0] in ("invalid", "forbidden", "limit"))
