"""Verification: workers with a sandbox each, and the pool that gives them pieces of a batch."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import ray

from halo_core import Completion, Prompt, SandboxError, Stage, Status, Verdict, sandbox
from halo_core.sandbox import Tier
from halo_ray.crew import LOST, Crew, Member, cause_of
from halo_ray.parts import Hello, Parts, Warned, hello

Task = tuple[Prompt, Completion]
_AHEAD = 2
"""Pieces that a worker may have at once: the next one is there when it finishes one."""
_PIECES = 4
"""Pieces for each worker that the batches are split into at least, so that the load is even."""
_LARGEST = 16
_CALL_SECONDS = 0.5e-3
"""Seconds of halo's own process for a call of a verifier."""
_PIECE_SECONDS = 0.02
"""Duration of a piece from which the cost of a call does not matter."""
_LONG_SECONDS = 0.5
"""Longest duration of a piece: at the end of a request, others wait for it."""
_TRIES = 5
"""A completion during which the verifiers end this often gets a verdict of error."""
_TIERS: tuple[Tier, ...] = ("none", "weak", "standard", "strong")


@dataclass(frozen=True)
class Verified:
    """The answer of a worker."""

    verdicts: Sequence[Verdict]
    seconds: float
    """How long it took."""
    notes: Sequence[str]
    """Lines for the user."""


class VerifierWorker:
    """Verifies completions in a sandbox of its own, one at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._warned = Warned()

    @cached_property
    def _verifiers(self) -> Any:
        found = self._parts.plan.drivers.verifiers
        found.preflight(self._parts.plan.config.sandbox)
        return found

    def hello(self) -> Hello:
        """Start the sandbox; return the node, the process, the versions and the tier."""
        _ = self._verifiers
        running = sandbox.running()
        tier = running.tier if running else None
        return hello(ray.util.get_node_ip_address(), tier, self._warned.take())

    def check(self, tasks: Sequence[Task]) -> Verified:
        """Verify completions."""
        start = time.monotonic()
        verdicts = [self._verifiers.check(*task) for task in tasks]
        return Verified(verdicts, time.monotonic() - start, self._warned.take())


@dataclass(eq=False)
class _Piece:
    numbers: Sequence[int]
    """Places in the batch."""
    tasks: Sequence[Task]
    tries: int = 0
    """Number of workers that ended while they verified it."""


@dataclass
class _Asked:
    piece: _Piece
    member: Member
    line: list[_Piece]
    """Pieces that the worker's process was given and has not finished, in order; it works on the first."""


class Verifiers:
    """The verifiers of a run. Thread-safe: several batches may be verified at once."""

    def __init__(self, crew: Crew, batches: int) -> None:
        self._crew, self._batches = crew, batches
        self._free = threading.Condition()
        self._load = dict.fromkeys(crew.members, 0)
        self._lines: dict[Member, tuple[Any, list[_Piece]]] = {}
        """The process of each worker with its line; see `_Asked`."""
        self.busy = 0.0
        """Seconds that workers were busy, added up."""
        self._verified = 0
        self.tier = self._weakest()

    @property
    def size(self) -> int:
        """The number of verifiers."""
        return len(self._load)

    @property
    def working(self) -> int:
        """The number of verifiers that have something to do."""
        return sum(load > 0 for load in self._load.values())

    def check(
        self, prompts: Sequence[Prompt], completions: Sequence[Completion], interrupt: Callable[[], None]
    ) -> list[Verdict]:
        """Return the verdict on each completion; see `Workers.verify`."""
        verdicts: list[Verdict | None] = [None] * len(prompts)
        todo = deque(self._pieces(prompts, completions))
        asked: dict[ray.ObjectRef, _Asked] = {}
        try:
            while todo or asked:
                interrupt()
                while todo and (member := self._acquire(wait=not asked)):
                    ref, given = self._ask(member, todo.popleft())
                    asked[ref] = given
                for ref in _ready(list(asked)):
                    todo.extendleft(self._finish(ref, asked.pop(ref), verdicts))
        finally:
            for waiting in asked.values():
                waiting.line.remove(waiting.piece)  # else none behind it would ever count as tried
                self._release(waiting.member)
        return [verdict for verdict in verdicts if verdict is not None]

    def _ask(self, member: Member, piece: _Piece) -> tuple[ray.ObjectRef, _Asked]:
        """Give a piece to a worker."""
        with self._free:  # so that the line has the order in which the worker gets its pieces
            process, line = self._lines.get(member, (None, []))
            if process is not member.actor:
                process, line = self._lines[member] = member.actor, []
            line.append(piece)
            return process.check.remote(piece.tasks), _Asked(piece, member, line)

    def _finish(self, ref: ray.ObjectRef, asked: _Asked, verdicts: list[Verdict | None]) -> list[_Piece]:
        """Store the verdicts of a piece; return what must be verified again, one by one."""
        piece, member = asked.piece, asked.member
        found: Sequence[Verdict]
        try:
            done: Verified = ray.get(ref)
        except LOST as error:
            self._release(member)
            if self._crew.replace(member, error):
                self._check_tier()
            if asked.line[0] is not piece:
                return [piece]  # it waited for another one, which may have ended the worker
            tries = piece.tries + 1
            if tries < _TRIES:
                return [
                    _Piece([number], [task], tries)
                    for number, task in zip(piece.numbers, piece.tasks, strict=True)
                ]
            found = [_lost(error)] * len(piece.tasks)
        except ray.exceptions.RayTaskError as error:
            asked.line.remove(piece)
            self._release(member)
            raise cause_of(error) from None
        else:
            found = done.verdicts
            asked.line.remove(piece)
            self._release(member)
            self._crew.succeeded(member)
            self._crew.tell(done.notes)
            with self._free:
                self.busy += done.seconds
                self._verified += len(found)
        for number, verdict in zip(piece.numbers, found, strict=True):
            verdicts[number] = verdict
        return []

    def _pieces(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[_Piece]:
        """Split a batch. Workers get the texts alone: a verdict must not depend on anything else."""
        tasks = [
            (prompt, Completion(each.prompt_id, each.index, each.text, finish_reason=each.finish_reason))
            for prompt, each in zip(prompts, completions, strict=True)
        ]
        size = piece_size(len(tasks), self._batches, self.size, self.busy / max(self._verified, 1))
        numbers = range(len(tasks))
        return [
            _Piece(numbers[first : first + size], tasks[first : first + size])
            for first in range(0, len(tasks), size)
        ]

    def _acquire(self, *, wait: bool) -> Member | None:
        """Return the worker with the fewest pieces; None if all have enough, after a moment if `wait`."""
        with self._free:
            member = min(self._load, key=self._load.__getitem__)
            if self._load[member] >= _AHEAD and wait:
                self._free.wait(0.1)
                member = min(self._load, key=self._load.__getitem__)
            if self._load[member] >= _AHEAD:
                return None
            self._load[member] += 1
            return member

    def _release(self, member: Member) -> None:
        with self._free:
            self._load[member] -= 1
            self._free.notify()

    def _weakest(self) -> Tier | None:
        tiers = [member.hello.tier for member in self._crew.members if member.hello.tier is not None]
        return min(tiers, key=_TIERS.index, default=None)

    def _check_tier(self) -> None:
        """Raise a `SandboxError` if a worker that was started again has a weaker sandbox than the run."""
        now = self._weakest()
        if self.tier and now and _TIERS.index(now) < _TIERS.index(self.tier):
            node = next(each.hello.node for each in self._crew.members if each.hello.tier == now)
            raise SandboxError(
                f"a verifier was started again on {node}, where only sandbox tier {now!r} holds; the run has "
                f"{self.tier!r}",
                hint="halo doctor on that node shows what prevents it; then resume the run",
            )


def piece_size(completions: int, batches: int, verifiers: int, seconds: float) -> int:
    """Return the completions of a piece, if `batches` batches of `completions` are verified at once.

    Each verifier gets several pieces, so that the load is even; but of many verifiers, halo's own process can keep only
    some busy with single completions. A verdict takes `seconds` on average; 0: unknown.
    """
    fed = min(verifiers, max(1, int(seconds / _CALL_SECONDS))) if seconds else verifiers
    even = completions * batches // (_PIECES * fed)
    cheap, long = (int(_PIECE_SECONDS / seconds), int(_LONG_SECONDS / seconds)) if seconds else (1, _LARGEST)
    return max(1, min(_LARGEST, long, max(even, cheap)))


def _ready(refs: list[ray.ObjectRef]) -> list[ray.ObjectRef]:
    """Return the answers that are there; wait for the first one, for a moment."""
    if not refs:
        return []
    ready, rest = ray.wait(refs, num_returns=1, timeout=0.1)
    if ready and rest:
        more, _ = ray.wait(rest, num_returns=len(rest), timeout=0)
        ready = [*ready, *more]
    return list(ready)


def _lost(error: Exception) -> Verdict:
    return Verdict(
        Status.ERROR, Stage.INVALID, detail=f"the verifier's process ended {_TRIES} times: {error!s:.200}"
    )
