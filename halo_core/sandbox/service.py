"""Trusted code kept warm in confined processes, for data that a model wrote.

Parsing and evaluating what a model wrote can take for ever, eat all memory or hit a bug in a C library, even
if nothing in it is ever executed. So it happens behind the same walls as samples do, in processes that have
their modules loaded and can be killed at any moment.

    _judge = sandbox.Service("my_verifier.judge:judge", limits=sandbox.Limits(cpu_seconds=1.0))
    reply = _judge.call(answer, reference)

A call costs a tenth of a millisecond: the processes stay, and each thread that calls has one to itself. A process
that waits for a call is ended when a thread would otherwise have to wait for it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import cast

from halo_core import sandbox
from halo_core.sandbox import values, workspace
from halo_core.sandbox.calls import GONE, Channel, Tampering
from halo_core.sandbox.client import Sandbox
from halo_core.sandbox.serving import DIED, ask
from halo_core.sandbox.types import LimitName, Limits, Tier
from halo_core.sandbox.workspace import guest_request

__all__ = ["Reply", "Service", "ask"]

_FOREVER = 1e6
"""CPU and wall seconds that a process which serves many calls may have in all."""
_CALLS = 10_000
"""Calls after which a process is replaced, for what its libraries may have cached."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How one call went."""

    value: object
    """What the function returned; None when it did not return."""
    error: str | None
    """Name of the exception that the function raised; `ProcessDied` when its process ended for no reason
    that is a limit; `Tampering` when what came out of it was no reply, or a question that `answer` was not
    given for."""
    message: str
    """The beginning of the exception's text, or how the process ended."""
    limit: LimitName | None
    """Which limit ended the call."""
    inconclusive: bool
    """The wall clock ran out while the machine was busy, even when tried again alone."""
    cpu_seconds: float
    wall_seconds: float
    tier: Tier

    @property
    def ok(self) -> bool:
        """Whether the function returned."""
        return self.error is None and self.limit is None and not self.inconclusive


class Service:
    """A function of an installed package, called in confined processes that have it loaded.

    `target` is `package.module:function`; it and the modules in `preload` are imported once, outside the
    walls, before there is any untrusted data. Inside, only the standard library and installed packages can be
    read, so what they import late must lie there or be preloaded. The function may neither write, nor start
    a process or a thread, nor reach the network; it may call `service.ask`.

    `limits` hold for each call, but `memory_bytes` for the whole process. With `fresh` each call has a
    process of its own, forked from one that has everything loaded: for code whose callers must not meet.
    Nothing starts before the first call. Safe to use from many threads.
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
        """Call the function with `arguments`; `answer` is asked what the function asks.

        Arguments, answers and what is returned are plain data, by exact type. Raises `NotPlainError` when an
        argument or an answer is not, and `SandboxError` when the process cannot be started or the function
        cannot be imported. Whatever the function does is in the `Reply`.
        """
        request = values.encode(arguments)
        box = sandbox.get()
        reply = self._once(box, box._turn.shared(), request, answer)
        if reply.inconclusive:
            reply = self._once(box, box._turn.alone(), request, answer)
        return reply

    def close(self) -> None:
        """End the processes that wait for calls. The next call starts new ones."""
        box = sandbox.running()
        if box is not None:
            box._sessions.drop(self)

    def _once(
        self,
        box: Sandbox,
        turn: AbstractContextManager[None],
        request: bytes,
        answer: Callable[[object], object] | None,
    ) -> Reply:
        process = cast("_Process | None", box._sessions.reuse(self)) or _Process(self, box)
        try:
            with turn:
                reply = process.converse(request, answer)
        except BaseException:
            process.kill()
            raise
        if process.usable and not box._sessions.keep(self, process):
            process.kill()
        return reply


class _Process:
    """One confined process and our way to it."""

    def __init__(self, service: Service, box: Sandbox) -> None:
        self.usable = True
        self._fresh = service.fresh
        self._calls = 0
        self._limits = service.limits
        self._channel: Channel | None = None
        self._tier = box.tier
        path = [entry for entry in sys.path if entry]
        trade = {"target": service.target, "preload": service.preload, "path": path}
        kind = " ".join((service.target, *service.preload))
        self._readable = [entry for entry in path if entry.endswith(("site-packages", "dist-packages"))]
        self._open = ExitStack()
        self._space = self._open.enter_context(box._lend(kind, trade))
        self.holder = self._space._holder

    def _started(self) -> Channel:
        """Return the way to the process. It starts with its first call, whose turn has come by then."""
        if self._channel is None:
            limits, argv = self._limits, []
            if not self._fresh:
                argv = [str(limits.cpu_seconds)]
                limits = replace(limits, cpu_seconds=_FOREVER, wall_seconds=_FOREVER)
            request = guest_request("serving", limits, argv=argv, readable=self._readable)
            self._channel = self._space._start(request, limits.stdout_bytes)
        return self._channel

    def converse(self, request: bytes, answer: Callable[[object], object] | None) -> Reply:
        """Return how one call went. Afterwards the process may no longer be `usable`."""
        channel = self._started()
        self._calls += 1
        begun = time.monotonic()
        try:
            channel.allow(self._limits.wall + (workspace.GRACE if self._fresh else 0.0))
            reply = channel.ask(request)
            while answer and isinstance(reply, tuple) and len(reply) == 2 and reply[0] == "ask":
                reply = channel.ask(values.encode((answer(reply[1]),)))
        except Tampering:
            reply = None
        except TimeoutError:  # it waits for nothing but the CPU
            self.kill()
            wall = time.monotonic() - begun
            return Reply(None, None, "ran out of wall time", "wall", True, 0.0, wall, self._tier)
        match reply:
            case ("done", value, None | str() as error, str(message), float(cpu)):
                limit: LimitName | None = "memory" if error == "MemoryError" else None
                wall = time.monotonic() - begun
                said = Reply(value, error, message, limit, False, cpu, wall, self._tier)
            case _:
                error = DIED if reply is GONE else "Tampering"
                said = Reply(None, error, "", None, False, 0.0, time.monotonic() - begun, self._tier)
        if self._fresh or said.limit or said.error in (DIED, "Tampering") or self._calls == _CALLS:
            return self._conclude(channel, said)
        return said

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.usable = False
        if self._channel is not None:
            self._channel.close()
        self._open.close()

    def _conclude(self, channel: Channel, said: Reply) -> Reply:
        """Let the process end, and add to what it said last what its end tells."""
        self.usable = False
        channel.close()
        try:
            grace = workspace.GRACE if self._fresh else 0.0
            outcome = self._space._outcome(said.message, self._limits.wall + grace)
        except workspace.StuckError:
            if self._fresh:
                raise
            return said  # it spoke and does not end, and has no limit of its own that would make it
        finally:
            self._open.close()
        if self._fresh:
            said = replace(said, cpu_seconds=outcome.cpu_seconds)
        if said.error != DIED:
            return said
        limit = "cpu" if outcome.signal == signal.SIGPROF else outcome.limit
        cause = f"signal {outcome.signal}" if outcome.signal else f"exit code {outcome.exit_code}"
        error = None if limit or outcome.inconclusive else DIED
        message = f"ran into the {limit} limit" if limit else f"the process ended by {cause}"
        return replace(
            said,
            error=error,
            message=message,
            limit=limit,
            inconclusive=outcome.inconclusive,
            cpu_seconds=outcome.cpu_seconds if self._fresh else 0.0,
        )
