"""Engines that run as a library in a sandboxed process: SQLite and DuckDB."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from halo_core import sandbox
from halo_core.errors import VerifierError
from halo_core.sandbox.service import Reply, Service
from halo_verifier_sql.engines import LOADING_FACTOR, Batch, Engine
from halo_verifier_sql.worker import Caps, Contents, Description

_REPLY_BYTES = 256 << 20


class EmbeddedEngine(Engine):
    """An engine behind a sandboxed service. `target` is the service's function, `package.module:function`."""

    def __init__(self, target: str, version: str, cpu_seconds: float, memory_bytes: int) -> None:
        self._version = version
        limits = sandbox.Limits(cpu_seconds=cpu_seconds, memory_bytes=memory_bytes, stdout_bytes=_REPLY_BYTES)
        self._service = Service(target, limits=limits)
        loading_limits = sandbox.Limits(
            cpu_seconds=LOADING_FACTOR * cpu_seconds, memory_bytes=memory_bytes, stdout_bytes=_REPLY_BYTES
        )
        self._loader = Service(target, limits=loading_limits)

    def run(
        self, key: str, databases: Sequence[Description], queries: Sequence[str], caps: Caps, *, loading: bool
    ) -> Batch:
        """Run queries; see `Engine.run`."""
        service = self._loader if loading else self._service
        reply = service.call(
            key, list(queries), (caps.steps, caps.rows, caps.bytes), answer=lambda _: list(databases)
        )
        if reply.error and loading:
            raise VerifierError(reply.message or reply.error)
        outcomes: Any = reply.value if reply.ok else ()
        return Batch(
            outcomes,
            limit=reply.limit or "",
            died=f"{reply.error}: {reply.message}" if reply.error else "",
            inconclusive=reply.inconclusive,
            cpu_seconds=reply.cpu_seconds,
            wall_seconds=reply.wall_seconds,
            tier=reply.tier,
        )

    def contents(self, key: str, databases: Sequence[Description]) -> list[Contents]:
        """Return the databases' contents; see `Engine.contents`."""
        reply: Reply = self._loader.call(key, None, (), answer=lambda _: list(databases))
        if not reply.ok:
            raise VerifierError(reply.message or reply.error or f"exceeded the {reply.limit} limit")
        contents: Any = reply.value
        return list(contents)

    def version(self) -> str:
        """Return the library's version."""
        return self._version
