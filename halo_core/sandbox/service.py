"""Trusted code in warm confined processes, for data that a model wrote.

Parsing and evaluating a model's output can run without end, exhaust memory or trigger a bug in a C library, even if
nothing in it is ever executed. It is therefore processed under the same isolation as samples, in processes that
have their modules loaded and can be killed at any moment.

    _parse = sandbox.Service("my_verifier.parsing:parse", limits=sandbox.Limits(cpu_seconds=1.0))
    reply = _parse.call(answer, reference)

A call costs a tenth of a millisecond: the processes are reused, and each calling thread has one to itself. An idle
process is ended when a thread would otherwise have to wait for a session.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import cast

from halo_core.sandbox import process_wide, session, values
from halo_core.sandbox.channel import GONE, Channel, Tampering
from halo_core.sandbox.client import Sandbox
from halo_core.sandbox.serving import DIED, ask
from halo_core.sandbox.types import LimitName, Limits, Tier

__all__ = ["Reply", "Service", "ask"]

_UNLIMITED = 1e6
"""CPU and wall seconds that a process that serves many calls may use in total."""
_MAX_CALLS = 10_000
"""Calls after which a process is replaced, to drop what its libraries have cached."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one call."""

    value: object
    """The function's return value; None when it did not return."""
    error: str | None
    """Name of the exception that the function raised; `ProcessDied` when its process ended without reaching a
    limit; `Tampering` when the process sent a malformed reply, or a question in a call without `answer`."""
    message: str
    """The beginning of the exception's text, or how the process ended."""
    limit: LimitName | None
    """The limit that ended the call."""
    inconclusive: bool
    """The wall clock ran out while the machine was busy, even when the call was repeated alone."""
    cpu_seconds: float
    wall_seconds: float
    tier: Tier

    @property
    def ok(self) -> bool:
        """True if the function returned."""
        return self.error is None and self.limit is None and not self.inconclusive


class Service:
    """A function of an installed package, called in confined processes that have it loaded.

    `target` is `package.module:function`; it and the modules in `preload` are imported once, unconfined, before
    any untrusted data arrives. Inside, only the standard library and installed packages can be read: modules
    that they import later must lie there or be preloaded. The function may neither write, nor start a process
    or a thread, nor reach the network; it may call `service.ask`.

    `limits` apply to each call, but `memory_bytes` to the whole process. With `fresh` each call has a separate
    process, forked from one that has everything loaded: for calls that must not share state. Nothing starts
    before the first call. Thread-safe.
    """

    def __init__(
        self,
        target: str,
        *,
        limits: Limits = Limits(memory_bytes=1 << 30),  # noqa: B008 - frozen
        fresh: bool = False,
        preload: Sequence[str] = (),
    ) -> None:
        self.target = target
        self.limits = limits
        self.fresh = fresh
        self.preload = tuple(preload)

    def call(self, *arguments: object, answer: Callable[[object], object] | None = None) -> Reply:
        """Call the function with `arguments`; `answer` answers the questions that the function asks.

        Arguments, answers and the returned value are plain data, by exact type. Raises `NotPlainError` when an
        argument or an answer is not, and `SandboxError` when the process cannot be started or the function
        cannot be imported. Everything that the function does is in the `Reply`.
        """
        request = values.encode(arguments)
        sandbox = process_wide.get()
        reply = self._call_once(sandbox, sandbox.run_lock.shared(), request, answer)
        if reply.inconclusive:
            reply = self._call_once(sandbox, sandbox.run_lock.exclusive(), request, answer)
        return reply

    def close(self) -> None:
        """End the idle processes. The next call starts new ones."""
        sandbox = process_wide.running()
        if sandbox is not None:
            sandbox.sessions.drop(self)

    def _call_once(
        self,
        sandbox: Sandbox,
        lock: AbstractContextManager[None],
        request: bytes,
        answer: Callable[[object], object] | None,
    ) -> Reply:
        process = cast("_Process | None", sandbox.sessions.reuse(self)) or _Process(self, sandbox)
        try:
            with lock:
                reply = process.converse(request, answer)
        except BaseException:
            process.kill()
            raise
        if process.usable and not sandbox.sessions.keep(self, process):
            process.kill()
        return reply


class _Process:
    """One confined process and the channel to it."""

    def __init__(self, service: Service, sandbox: Sandbox) -> None:
        self.usable = True
        self._fresh = service.fresh
        self._calls = 0
        self._limits = service.limits
        self._channel: Channel | None = None
        self._tier = sandbox.tier
        path = [entry for entry in sys.path if entry]
        spec = {"target": service.target, "preload": service.preload, "path": path}
        kind = " ".join((service.target, *service.preload))
        packages = [entry for entry in path if entry.endswith(("site-packages", "dist-packages"))]
        self._readable = [entry for entry in packages if os.path.isdir(entry)]
        self._open = ExitStack()
        self._session = self._open.enter_context(sandbox.session(kind, spec))
        self.owner = self._session.owner

    def _start(self) -> Channel:
        """Return the channel. The process starts in its first call, under the run lock, so that it need not wait."""
        if self._channel is None:
            limits, argv = self._limits, []
            if not self._fresh:
                argv = [str(limits.cpu_seconds)]
                limits = replace(limits, cpu_seconds=_UNLIMITED, wall_seconds=_UNLIMITED)
            request = session.guest_request("serving", limits, argv=argv, readable=self._readable)
            self._channel = self._session.start(request, limits.stdout_bytes)
        return self._channel

    def converse(self, request: bytes, answer: Callable[[object], object] | None) -> Reply:
        """Make one call. Afterwards the process may no longer be `usable`."""
        channel = self._start()
        self._calls += 1
        started = time.monotonic()
        try:
            channel.set_time_limit(self._limits.wall + (session.GRACE if self._fresh else 0.0))
            message = channel.ask(request)
            while answer and isinstance(message, tuple) and len(message) == 2 and message[0] == "ask":
                message = channel.ask(values.encode((answer(message[1]),)))
        except Tampering:
            message = None
        except TimeoutError:  # the process can wait for nothing but the CPU
            self.kill()
            wall = time.monotonic() - started
            return Reply(None, None, "ran out of wall time", "wall", True, 0.0, wall, self._tier)
        match message:
            case ("done", value, None | str() as error, str(text), float(cpu)):
                limit: LimitName | None = "memory" if error == "MemoryError" else None
                wall = time.monotonic() - started
                reply = Reply(value, error, text, limit, False, cpu, wall, self._tier)
            case _:
                error = DIED if message is GONE else "Tampering"
                reply = Reply(None, error, "", None, False, 0.0, time.monotonic() - started, self._tier)
        if self._fresh or reply.limit or reply.error in (DIED, "Tampering") or self._calls == _MAX_CALLS:
            return self._conclude(channel, reply)
        return reply

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.usable = False
        if self._channel is not None:
            self._channel.close()
        self._open.close()

    def _conclude(self, channel: Channel, reply: Reply) -> Reply:
        """Close the process, and add to its last reply how it ended."""
        self.usable = False
        channel.close()
        try:
            grace = session.GRACE if self._fresh else 0.0
            outcome = self._session.outcome(reply.message, self._limits.wall + grace)
        except session.StuckError:
            if self._fresh:
                raise
            return reply  # the process has replied but does not end, and no limit would end it
        finally:
            self._open.close()
        if self._fresh:
            reply = replace(reply, cpu_seconds=outcome.cpu_seconds)
        if reply.error != DIED:
            return reply
        limit = "cpu" if outcome.signal == signal.SIGPROF else outcome.limit
        cause = f"signal {outcome.signal}" if outcome.signal else f"exit code {outcome.exit_code}"
        error = None if limit or outcome.inconclusive else DIED
        message = f"ran into the {limit} limit" if limit else f"the process ended by {cause}"
        return replace(
            reply,
            error=error,
            message=message,
            limit=limit,
            inconclusive=outcome.inconclusive,
            cpu_seconds=outcome.cpu_seconds if self._fresh else 0.0,
        )
