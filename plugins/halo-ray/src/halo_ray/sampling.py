"""Sampling: workers with a model each, and the pool that gives them the numbers of batches.

A batch depends on the request and on its number alone, so it does not matter which worker samples it, when, or how
often.
"""

from __future__ import annotations

import heapq
import shutil
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import ray

from halo_core import (
    Actor,
    Completion,
    Generator,
    ModelError,
    Sample,
    SamplingContext,
    SamplingRequest,
    Stage,
    Status,
    Verdict,
    Weights,
)
from halo_core.run.sampler_check import check_sampler
from halo_ray.crew import LOST, Crew, Member, cause_of
from halo_ray.parts import Files, Hello, Notes, Parts, Warned, hello, read_files, write_files

_AHEAD = 2
"""Batches that a worker is asked for at once: the next one is there when it finishes one."""
_DEPTH = 4
"""Batches that a worker knows of, if it begins them before it is asked for them: its engine stays busy."""
_WINDOW = 4
"""For each worker, batches that may be sampled before the earliest one is finished."""
_CHECKED = 4
"""Completions of a worker's first batch with new weights that are compared with the actor."""
Batch = Sequence[Completion]


@dataclass(frozen=True)
class Sampled:
    """The answer of a worker."""

    batch: Batch | None
    """None: the request has fewer batches."""
    seconds: float
    """How long it took."""
    ahead: bool = False
    """True if the worker begins batches before it is asked for them."""
    notes: Sequence[str] = ()
    """Lines of the generator for the user, which the run stores as those of a generator in its own process."""
    warnings: Sequence[str] = ()
    """Further lines for the user."""


class SamplerWorker:
    """Samples batches with a model of its own."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._weights = Weights()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._opened: dict[str, tuple[Generator, SamplingContext, Weights | None]] = {}
        """Each generator in use with its context, and the weights that it was told of last."""
        self._request: SamplingRequest | None = None
        self._turns = _Turns()
        self._batches: Iterator[Batch] | None = None
        self._notes, self._warned = Notes(), Warned()
        self._failed = False

    @cached_property
    def _actor(self) -> Actor:
        return self._parts.actor()

    @cached_property
    def _logs(self) -> Path:
        """A directory for logs and sockets. It remains if the worker does not end in order."""
        return Path(tempfile.mkdtemp(prefix="halo-sampler-"))

    def hello(self) -> Hello:
        """Build the drivers and return the node, the process and the versions."""
        _ = self._actor
        return hello(ray.util.get_node_ip_address(), notes=self._warned.take())

    def load(self, files: Files | None, weights_hash: str) -> str:
        """Load the weights that the run's actor has saved; None: those before training.

        Return the hash of the trainable weights as they are in memory now.
        """
        self._stop()
        folder, self._folder = self._folder, None
        if files is None:
            self._actor.reset()
            self._weights = Weights()
        else:
            self._folder = tempfile.TemporaryDirectory(prefix="halo-ray-")
            directory = Path(self._folder.name)
            write_files(files, directory)
            self._actor.load(directory)
            self._weights = Weights(directory=directory, hash=weights_hash)
        if folder:
            folder.cleanup()
        return self._actor.weights_hash()

    def begin(self, request: SamplingRequest) -> None:
        """Prepare to sample batches of `request`."""
        self._stop()
        self._request = replace(request, adapter=self._weights.directory)

    def sample(self, number: int, following: Sequence[int] = ()) -> Sampled:
        """Sample a batch of the request. `following` are the numbers of the next calls, as far as they are known."""
        start = time.monotonic()
        try:
            batch = self._next(number, following)
        except BaseException:
            self._failed = True
            raise
        seconds, ahead = time.monotonic() - start, self._turns.ahead
        return Sampled(batch, seconds, ahead, self._notes.take(), self._warned.take())

    def _next(self, number: int, following: Sequence[int]) -> Batch | None:
        if self._batches is None or not self._turns.asked:
            self._start(number)
        if number >= self._turns.end:
            return None
        self._turns.expect(number, following)
        assert self._batches is not None
        batch = next(self._batches, None)
        self._turns.open.discard(number)
        if batch is None or not self._turns.asked:
            self._stop()
        return batch

    def close(self) -> None:
        """Close the generators."""
        self._stop()
        for generator, context, _ in self._opened.values():
            generator.close(context)
        self._opened.clear()
        if not self._failed:  # the error names the log of a server
            shutil.rmtree(self._logs)

    def _start(self, number: int) -> None:
        """Ask the generator for the request, from its batch `number` on."""
        request, drivers = self._request, self._parts.plan.drivers
        assert request is not None
        cycle = request.cycle if request.split == "train" else None
        generator, options, _ = drivers.generator(request.split, cycle)
        key = repr(generator)
        if key not in self._opened:
            context = SamplingContext(actor=self._actor, directory=self._logs, note=self._notes)
            self._opened[key] = generator, replace(context, session=generator.open(context)), None
        _, context, weights = self._opened[key]
        if weights != self._weights:
            self._opened[key] = generator, context, None
            generator.weights_changed(self._weights, context)
            self._opened[key] = generator, context, self._weights
        turns = self._turns = _Turns()
        context = replace(context, numbers=turns.numbers, numbers_ahead=turns.numbers_ahead)
        self._batches = iter(options.generate(replace(request, done=number), context))

    def _stop(self) -> None:
        close = getattr(self._batches, "close", None)
        self._batches = None
        if close:
            close()


class _Turns:
    """The numbers of the batches that a worker samples, in the order in which it is asked for them."""

    def __init__(self) -> None:
        self.asked = False
        """True if the generator takes numbers."""
        self.ahead = False
        """True if it starts several batches at once."""
        self.end = sys.maxsize
        """The number of batches, once the generator has told it."""
        self.open: set[int] = set()
        """Numbers that the generator has taken and whose batches it has not yielded."""
        self._known: deque[int] = deque()

    def expect(self, number: int, following: Sequence[int]) -> None:
        """Add the number that is asked for now, and those that will be asked for next."""
        self._known.extend(
            each for each in (number, *following) if each not in self._known and each not in self.open
        )

    def numbers(self, first: int, end: int) -> Iterator[int]:
        """Yield one number for each call of the worker; see `SamplingContext.numbers`."""
        self.asked, self.end = True, end
        return iter(self._take, None)

    def numbers_ahead(self, first: int, end: int) -> Iterator[int | None]:
        """Yield all numbers that are known; see `SamplingContext.numbers_ahead`."""
        self.asked, self.ahead, self.end = True, True, end
        return self._taken()

    def _taken(self) -> Iterator[int | None]:
        while (number := self._take()) is not None or self.open:
            yield number

    def _take(self) -> int | None:
        while self._known:
            number = self._known.popleft()
            if number < self.end:
                self.open.add(number)
                return number
        return None


@dataclass
class _Progress:
    """The batches of a request."""

    first: int
    """The next batch to yield."""
    next: int
    """The next batch that nobody was asked for."""
    end: float = float("inf")
    """The number of batches, once it is known."""
    again: list[int] = field(default_factory=list)
    """Batches to ask for again, a heap."""
    done: dict[int, Batch] = field(default_factory=dict)
    """Batches that wait for earlier ones."""

    def take(self, window: int) -> int | None:
        """Return the number of a batch to sample; None if there is none now."""
        if self.again:
            return heapq.heappop(self.again)
        if self.next < min(self.end, self.first + window):
            self.next += 1
            return self.next - 1
        return None


class Samplers:
    """The samplers of a run."""

    def __init__(
        self, crew: Crew, precisions: Mapping[str, str], *, tolerance: float | None, follows: bool
    ) -> None:
        self._crew, self._precisions, self._tolerance = crew, precisions, tolerance
        self._follows = follows
        self._loaded: Weights | None = None
        self._files: ray.ObjectRef | None = None
        self._unchecked: set[Member] = set()
        """Workers whose first batch with the present weights has not been compared with the actor."""
        self._given: dict[Member, int] = {}
        """The number of batches that each worker has been asked for."""
        self._depth = _AHEAD
        """Batches that each worker knows of."""
        self._work: dict[int, tuple[int, float]] = {}
        """Tokens that each worker has sampled, and the seconds that it took, by its number."""
        self.busy = 0.0
        """Seconds that workers were busy, added up."""

    @property
    def size(self) -> int:
        """The number of samplers."""
        return len(self._crew.members)

    @property
    def working(self) -> int:
        """The number of samplers that have something to do."""
        return sum(load > 0 for load in self._given.values())

    def rates(self) -> list[float]:
        """Return the tokens per second of each worker while it samples, those that have sampled something."""
        return [tokens / max(seconds, 1e-3) for _, (tokens, seconds) in sorted(self._work.items())]

    def generate(self, request: SamplingRequest, context: SamplingContext) -> Iterator[Batch]:
        """Yield the batches of `request` in order; see `Workers.generate`."""
        self._load(request, context)
        shared = ray.put(request)
        for member in self._crew.members:
            member.actor.begin.remote(shared)
        members = self._crew.members
        state = _Progress(request.done, request.done)
        asked: dict[ray.ObjectRef, tuple[int, Member]] = {}
        load = self._given = dict.fromkeys(members, 0)
        planned: dict[Member, deque[int]] = {member: deque() for member in members}
        while state.first < state.end:
            context.actor.interrupt()
            self._plan(planned, state)
            for member, numbers in planned.items():
                while numbers and load[member] < _AHEAD:
                    number = numbers.popleft()
                    asked[member.actor.sample.remote(number, tuple(numbers))] = number, member
                    load[member] += 1
            ready, _ = ray.wait(list(asked), num_returns=1, timeout=0.1)
            for ref in ready:
                number, member = asked.pop(ref)
                load[member] -= 1
                self._receive(ref, number, member, state, (request, context, shared))
            while state.first in state.done:
                batch = state.done.pop(state.first)
                state.first += 1
                context.progress(len(batch), sum(each.written for each in batch))
                yield batch

    def _plan(self, planned: Mapping[Member, deque[int]], state: _Progress) -> None:
        """Give the numbers that nobody was asked for to the workers that have the fewest."""

        def known(member: Member) -> int:
            return self._given[member] + len(planned[member])

        while known(member := min(planned, key=known)) < self._depth:
            number = state.take(_WINDOW * len(planned))
            if number is None:
                return
            planned[member].append(number)

    def _receive(
        self,
        ref: ray.ObjectRef,
        number: int,
        member: Member,
        state: _Progress,
        asked: tuple[SamplingRequest, SamplingContext, ray.ObjectRef],
    ) -> None:
        """Take the answer of a worker; if it has ended, start it again and let the batch be sampled again."""
        request, context, shared = asked
        try:
            done: Sampled = ray.get(ref)
        except LOST as error:
            heapq.heappush(state.again, number)
            if self._crew.replace(member, error):
                self._prove(member, member.actor.load.remote(self._files, request.weights_hash), context)
                member.actor.begin.remote(shared)
            return
        except ray.exceptions.RayTaskError as error:
            raise cause_of(error) from None
        self._crew.succeeded(member)
        self.busy += done.seconds
        self._depth = _DEPTH if done.ahead else _AHEAD
        self._crew.tell(done.warnings)
        for note in done.notes:
            context.note(note)
        if done.batch is None:
            state.end = min(state.end, number)
            return
        tokens, seconds = self._work.get(member.number, (0, 0.0))
        written = sum(each.written for each in done.batch)
        self._work[member.number] = tokens + written, seconds + done.seconds
        if member in self._unchecked:
            self._check(member, done.batch, request, context)
        state.done[number] = done.batch

    def _load(self, request: SamplingRequest, context: SamplingContext) -> None:
        """Let all workers load the weights of `request`, unless they have them."""
        weights = Weights(directory=request.adapter, hash=request.weights_hash)
        if weights == self._loaded:
            return
        self._loaded = None
        self._files = ray.put(read_files(request.adapter) if request.adapter else None)
        members = self._crew.members
        refs = [each.actor.load.remote(self._files, request.weights_hash) for each in members]
        for member, ref in zip(members, refs, strict=True):
            self._prove(member, ref, context)
        self._loaded = weights

    def _prove(self, member: Member, ref: ray.ObjectRef, context: SamplingContext) -> None:
        """Wait until `member` has loaded the weights, and check that they are those of the run's actor."""
        self._unchecked.add(member)
        while True:
            try:
                found = ray.get(ref)
                break
            except LOST as error:
                self._crew.replace(member, error)
                ref = member.actor.load.remote(self._files, "")
            except ray.exceptions.RayTaskError as error:
                raise cause_of(error) from None
        if found != context.actor.weights_hash():
            raise ModelError(
                f"{_name(member)} has other weights in memory than the run",
                hint="are the model's files the same on every node?",
            )

    def _check(
        self, member: Member, batch: Batch, request: SamplingRequest, context: SamplingContext
    ) -> None:
        """Compare the log-probabilities of some completions of a worker's first batch with those of the actor."""
        self._unchecked.discard(member)
        if not self._follows and request.split == "train":
            return
        verdict = Verdict(Status.ERROR, Stage.INVALID)
        prompts = {prompt.id: prompt for prompt in request.prompts}
        probes = [Sample(prompts[each.prompt_id], each, verdict) for each in batch[:_CHECKED]]
        precision = self._precisions[request.split]
        try:
            check_sampler(context.actor, probes, precision=precision, tolerance=self._tolerance)
        except ModelError as error:
            raise ModelError(f"{_name(member)}: {error}", hint=error.hint) from None

    def close(self) -> None:
        """End the workers; what their generators started ends with them."""
        refs = [member.actor.close.remote() for member in self._crew.members]
        ray.wait(refs, num_returns=len(refs), timeout=10)
        self._crew.close()


def _name(member: Member) -> str:
    return f"sampler {member.number} on {member.hello.node}"
