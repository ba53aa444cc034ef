"""Training: workers with a model each that compute the batches of every optimizer step together.

Every trainer runs the configured trainer driver on the same samples from the same weights; `halo_core.training.fit`
lets each compute a part of every step. Trainer 0 tells the driver of its progress, which stores its checkpoints.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

import ray

from halo_core import Actor, HaloError, Sample, TrainingContext, TrainingError, TrainStats
from halo_ray.crew import LOST, Crew, cause_of
from halo_ray.parts import Files, Hello, Parts, Warned, hello, read_files, write_files

if TYPE_CHECKING:
    from halo_ray.peers import Group

_SHARE = 20
"""Writing checkpoints takes at most 1 / `_SHARE` of the training's time."""


@dataclass(frozen=True)
class Task:
    """One cycle's training."""

    cycle: int
    samples: Sequence[Sample]
    lr: float
    seed: int
    weights: Files | None
    """The files that the run's actor has saved; None: the model before any training."""


@dataclass(frozen=True)
class Stepped:
    """A finished optimizer step."""

    done: int
    total: int
    loss: float


@dataclass(frozen=True)
class Asked:
    """Trainer 0 wants the checkpoint of these inputs, and waits for the answer."""

    inputs_hash: str


@dataclass(frozen=True)
class Wanted:
    """Trainer 0 wants the weights of a cycle, for a reference model, and waits for the answer."""

    cycle: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint."""

    inputs_hash: str
    files: Files


@dataclass(frozen=True)
class Trained:
    """The end of the training of one trainer."""

    weights_hash: str
    waited: float
    stats: TrainStats | None = None
    files: Files | None = None
    """The trained weights; from trainer 0."""
    notes: Sequence[str] = ()
    """Lines for the user."""


Event = Stepped | Asked | Wanted | Saved | Trained


class TrainerWorker:
    """One of the trainers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._node = ray.util.get_node_ip_address()
        self._warned = Warned()
        self._group: Group | None = None
        self._events: SimpleQueue[Event | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[Files | None] = SimpleQueue()

    @cached_property
    def _actor(self) -> Actor:
        return self._parts.actor()

    def hello(self) -> Hello:
        """Build the drivers and return the node, the process and the versions."""
        _ = self._actor
        return hello(self._node, notes=self._warned.take())

    def address(self) -> str:
        """Return an address for the group, if this is trainer 0."""
        from halo_ray.peers import free_address

        return free_address(self._node)

    def join(self, rank: int, size: int, address: str, nccl: bool, shard: bool = False) -> None:
        """Become trainer `rank` of the group at `address`. `shard`: split the model over the trainers."""
        import torch

        from halo_core.model.actor import concrete
        from halo_ray.peers import Group

        self._group = Group(rank, size, address, node=self._node, nccl=nccl)
        if shard:
            actor = concrete(self._actor)
            self._group.split(actor.device.type)
            # the device has no room for the whole model, and the precision is that of the device
            vars(actor).update(dtype=actor.dtype, device=torch.device("cpu"))

    def lead(self, task: Task) -> Iterator[Event]:
        """Train as trainer 0; yield what the driver must know, `Trained` at last."""

        def train() -> None:
            try:
                self._events.put(self._train(task))
            except BaseException as error:
                self._events.put(error)

        threading.Thread(target=train, daemon=True).start()
        while True:
            event = self._events.get()
            if isinstance(event, BaseException):
                raise event
            yield event
            if isinstance(event, Trained):
                return

    def follow(self, task: Task) -> Trained:
        """Train as any other trainer."""
        return self._train(task)

    def answer(self, files: Files | None) -> None:
        """Give trainer 0 the files that it asked for; None: there are none."""
        self._answers.put(files)

    def _train(self, task: Task) -> Trained:
        group, actor = self._group, self._actor
        assert group is not None
        group.waited = 0.0
        with tempfile.TemporaryDirectory(prefix="halo-ray-") as folder:
            if task.weights is None:
                actor.reset()
            else:
                write_files(task.weights, Path(folder) / "start")
                actor.load(Path(folder) / "start")
            actor.directory_of = partial(self._weights_of, group, Path(folder))
            context = TrainingContext(
                actor=actor,
                lr=task.lr,
                seed=task.seed,
                cycle=task.cycle,
                progress=self._show if group.rank == 0 else _ignore,
                checkpoint=_Checkpoint(
                    group, self._parts.plan.config.checkpoint_seconds, self._ask, self._tell
                ),
                peers=group,
            )
            stats = self._parts.plan.drivers.get("trainer", task.cycle).train(task.samples, context)
        trained = Trained(actor.weights_hash(), group.waited, notes=self._warned.take())
        if group.rank:
            return trained
        with tempfile.TemporaryDirectory(prefix="halo-ray-") as folder:
            actor.save(Path(folder))
            return replace(trained, stats=stats, files=read_files(Path(folder)))

    def _weights_of(self, group: Group, folder: Path, cycle: int) -> Path:
        """Return the directory of the weights of a cycle; all trainers ask for it at the same time."""
        directory = folder / str(cycle)
        if not directory.is_dir():
            files = group.announce(self._ask(Wanted(cycle)) if group.rank == 0 else None)
            write_files(files or {}, directory)
        return directory

    def _show(self, done: int, total: int, loss: float) -> None:
        self._tell(Stepped(done, total, loss))

    def _tell(self, event: Event) -> None:
        self._events.put(event)

    def _ask(self, question: Asked | Wanted) -> Files | None:
        self._tell(question)
        return self._answers.get()


class _Checkpoint:
    """A `Checkpoint` whose files the driver stores."""

    def __init__(
        self,
        group: Group,
        every: float | None,
        ask: Callable[[Asked], Files | None],
        tell: Callable[[Event], None],
    ) -> None:
        self._group, self._every, self._ask, self._tell = group, every, ask, tell
        self._saved, self._cost = time.monotonic(), 0.0
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def load(self, inputs_hash: str) -> Path | None:
        """Return the stored checkpoint. All trainers ask for the same one, or they would not train the same."""
        hashes = self._group.gather(inputs_hash)
        if len(set(hashes)) > 1:
            raise TrainingError(
                "the trainers do not start from the same weights",
                hint="are the model's files the same on every node?",
            )
        files = self._group.announce(self._ask(Asked(inputs_hash)) if self._group.rank == 0 else None)
        if files is None:
            return None
        self._folder = tempfile.TemporaryDirectory(prefix="halo-ray-")
        write_files(files, Path(self._folder.name))
        return Path(self._folder.name)

    @property
    def due(self) -> bool:
        """True for trainer 0 when `checkpoint_seconds` have passed; with split weights, for all of them."""
        if self._every is None:
            return False
        own = time.monotonic() - self._saved >= max(self._every, _SHARE * self._cost)
        if self._group.mesh is None:
            return own and self._group.rank == 0
        return self._group.announce(own)

    def save(self, inputs_hash: str, write: Callable[[Path], None]) -> None:
        """Send the files that `write` writes to the driver."""
        start = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="halo-ray-") as folder:
            write(Path(folder))
            if self._group.rank == 0:
                self._tell(Saved(inputs_hash, read_files(Path(folder))))
        self._saved = time.monotonic()
        self._cost = self._saved - start


def _ignore(done: int, total: int, loss: float) -> None:
    return None


class Trainers:
    """The trainers of a run."""

    def __init__(
        self,
        start: Callable[[], Crew],
        *,
        nccl: bool,
        restarts: int,
        note: Callable[[str], None],
        shard: bool = False,
    ) -> None:
        self._start, self._nccl, self._restarts, self._note = start, nccl, restarts, note
        self._shard = shard
        self._crew: Crew | None = None
        self.waited = 0.0
        """Seconds that a trainer waited for others, on average."""

    def train(self, samples: Sequence[Sample], context: TrainingContext) -> TrainStats:
        """Train `context.actor`; see `Workers.train`. Trainers that end cost what follows the last checkpoint."""
        task = _task(samples, context)
        failures, steps = 0, -1
        while True:
            seen = _Seen()
            try:
                return self._attempt(task, context, seen)
            except (*LOST, ConnectionError) as error:
                self.close()
                failures = 0 if seen.steps > steps else failures + 1
                steps = max(steps, seen.steps)
                if failures > self._restarts:
                    raise
                self._note(f"a trainer ended, and the trainers are started again: {type(error).__name__}")
            except BaseException:
                self.close()  # one may have stopped in the middle of a step, and the others wait for it
                raise

    def _attempt(self, task: Task, context: TrainingContext, seen: _Seen) -> TrainStats:
        if self._crew is None:
            self._crew = self._assemble()
        first, *others = [member.actor for member in self._crew.members]
        shared = ray.put(task)
        events = first.lead.options(num_returns="streaming").remote(shared)
        waiting: list[Any] = [other.follow.remote(shared) for other in others]
        ends: list[Trained] = []
        led = False
        while waiting or not led:
            context.interrupt()
            ready, _ = ray.wait([*([] if led else [events]), *waiting], num_returns=1, timeout=0.1)
            for ref in ready:
                try:
                    event = ray.get(next(ref) if ref is events else ref)
                except ray.exceptions.RayTaskError as error:
                    raise self._telling(cause_of(error), waiting) from None
                if isinstance(event, Trained):
                    ends.append(event)
                    led = led or ref is events
                if ref is not events:
                    waiting.remove(ref)
                else:
                    _react(event, first, context, seen)
        return self._finish(ends, context)

    def _assemble(self) -> Crew:
        """Start the trainers and let them form a group."""
        crew = self._start()
        actors = [member.actor for member in crew.members]
        address = ray.get(actors[0].address.remote())
        size = len(actors)
        common = size, address, self._nccl, self._shard
        ray.get([actor.join.remote(rank, *common) for rank, actor in enumerate(actors)])
        return crew

    def _finish(self, ends: Sequence[Trained], context: TrainingContext) -> TrainStats:
        """Load the trained weights into the run's actor."""
        if len({end.weights_hash for end in ends}) > 1:
            raise TrainingError(
                "the trainers have computed different weights",
                hint="use the same kind of device for all of them",
            )
        (trained,) = (end for end in ends if end.files is not None)
        assert trained.files is not None
        assert trained.stats is not None
        self.waited += sum(end.waited for end in ends) / len(ends)
        if self._crew:
            self._crew.tell([note for end in ends for note in end.notes])
        with tempfile.TemporaryDirectory(prefix="halo-ray-") as folder:
            write_files(trained.files, Path(folder))
            context.actor.load(Path(folder))
        if context.actor.weights_hash() != trained.weights_hash:
            raise TrainingError("the run's actor has other weights than its trainers")
        return trained.stats

    @staticmethod
    def _telling(error: Exception, others: Sequence[ray.ObjectRef]) -> Exception:
        """Return the error of the trainer that failed first, if `error` is only about the lost connection to it."""
        if isinstance(error, HaloError):
            return error
        ready, _ = ray.wait(list(others), num_returns=len(others), timeout=1.0) if others else ([], [])
        for ref in ready:
            try:
                ray.get(ref)
            except ray.exceptions.RayTaskError as other:
                if not isinstance(cause_of(other), ConnectionError):
                    return cause_of(other)
            except LOST as other:
                found: Exception = other
                return found
        return error

    def close(self) -> None:
        """End the trainers."""
        if self._crew:
            self._crew.close()
        self._crew = None


@dataclass
class _Seen:
    """The messages of the trainers so far."""

    steps: int = 0


def _task(samples: Sequence[Sample], context: TrainingContext) -> Task:
    files = None
    if context.actor.trainable():
        with tempfile.TemporaryDirectory(prefix="halo-ray-") as folder:
            context.actor.save(Path(folder))
            files = read_files(Path(folder))
    return Task(context.cycle, tuple(samples), context.lr, context.seed, files)


def _react(event: Event, first: Any, context: TrainingContext, seen: _Seen) -> None:
    checkpoint = context.checkpoint
    if isinstance(event, Stepped):
        seen.steps = event.done
        context.progress(event.done, event.total, event.loss)
    elif isinstance(event, Asked):
        directory = checkpoint.load(event.inputs_hash) if checkpoint else None
        first.answer.remote(None if directory is None else read_files(directory))
    elif isinstance(event, Wanted):
        assert context.actor.directory_of is not None
        first.answer.remote(read_files(context.actor.directory_of(event.cycle)))
    elif isinstance(event, Saved) and checkpoint:
        files = event.files
        checkpoint.save(event.inputs_hash, lambda directory: write_files(files, directory))
