"""A crew: the workers of one role, started, watched and replaced."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, ObjectLostError, RayActorError, RayTaskError

from halo_core import HaloError, ModelError, PluginError
from halo_ray.parts import Hello, hello

LOST = (RayActorError, ObjectLostError)
"""The errors of Ray about a worker whose process, or whose machine, is gone."""
Start = Callable[[int], Any]
"""Starts the worker of a number and returns its handle."""


@dataclass(eq=False)
class Member:
    """A worker, and what takes its place after it has ended."""

    number: int
    actor: Any
    hello: Hello
    failures: int = 0
    """Number of times that it has ended since it last did something."""


class Crew:
    """The workers of one role."""

    def __init__(
        self,
        role: str,
        size: int,
        start: Start,
        *,
        seconds: float,
        restarts: int,
        note: Callable[[str], None],
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`note` gets what happens to workers, and `tell` gets the lines for the user that they send."""
        self._role, self._start = role, start
        self._seconds, self._restarts, self._note, self._tell = seconds, restarts, note, tell
        self._lock = threading.Lock()
        self.members: list[Member] = []
        actors = [start(number) for number in range(size)]
        try:
            for number, told in enumerate(self._greet(actors)):
                self.members.append(Member(number, actors[number], told))
        except BaseException:
            _end(actors)
            raise

    def replace(self, member: Member, error: Exception) -> bool:
        """Start another process for `member`, whose process has ended with `error`; return whether this call did it.

        Raises a `PluginError` if it has ended too often without having done anything.
        """
        with self._lock:
            if _is_alive(member):
                return False
            member.failures += 1
            where = f"{self._role} {member.number} on {member.hello.node}"
            if member.failures > self._restarts:
                raise PluginError(
                    f"{where} ended {member.failures} times in a row: {first_line(error)}",
                    hint="the logs of Ray name the cause, often a lack of memory: ray logs",
                )
            self._note(f"{where} ended and is started again")
            _end([member.actor])
            member.actor = self._start(member.number)
            (member.hello,) = self._greet([member.actor])
            return True

    def succeeded(self, member: Member) -> None:
        """Record that `member` has done something."""
        member.failures = 0

    def tell(self, notes: Sequence[str]) -> None:
        """Pass on lines for the user that a worker has sent."""
        for note in notes:
            self._tell(note)

    def close(self) -> None:
        """End the workers."""
        _end([member.actor for member in self.members])

    def _greet(self, actors: Sequence[Any]) -> list[Hello]:
        """Return what the workers tell once they have started, and check that they are like this process."""
        refs = [actor.hello.remote() for actor in actors]
        try:
            told: list[Hello] = ray.get(refs, timeout=self._seconds)
        except RayTaskError as error:
            raise cause_of(error) from None
        except RayActorError as error:
            raise PluginError(
                f"a {self._role} could not start: {first_line(error)}",
                hint="halo must be installed on every node of the cluster",
            ) from error
        except GetTimeoutError as error:
            raise PluginError(
                f"not all {len(actors)} {self._role}s have started within {self._seconds:g} s; the cluster has "
                f"{resources(ray.cluster_resources())}, of which {resources(ray.available_resources())} are free",
                hint="ask for fewer workers or smaller ones, or raise start_seconds: halo plugins show ray",
            ) from error
        for each in told:
            _check_versions(each)
            self.tell(each.notes)
        return told


def cause_of(error: RayTaskError) -> Exception:
    """Return the error that a worker raised."""
    cause = error.cause
    if isinstance(cause, HaloError):
        return cause
    if type(cause).__name__ == "OutOfMemoryError":
        return ModelError(
            f"a worker has no memory left on its device: {first_line(cause)}",
            hint="each sampler and, without shard, each trainer holds the whole model: name sampler_gpus: 1 and "
            "trainer_gpus: 1; full fine-tuning: shard: true splits the model over trainers, and a smaller "
            "trainer.batch_tokens needs less; else train LoRA, or set model.quantization=nf4",
        )
    found: Exception = error.as_instanceof_cause() if isinstance(cause, Exception) else error
    return found


def resources(amounts: Mapping[str, float]) -> str:
    """Return CPUs and GPUs in words."""
    return f"{amounts.get('CPU', 0):g} CPUs and {amounts.get('GPU', 0):g} GPUs"


def first_line(error: BaseException) -> str:
    """Return the last telling line of an error of Ray, whose messages contain whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:200] if lines else type(error).__name__


def _check_versions(told: Hello) -> None:
    """Raise a `PluginError` if a worker has other versions than this process: it might compute something else."""
    here = hello("").versions
    other = [
        f"{name} {told.versions[name]}, not {here[name]}"
        for name in here
        if told.versions[name] != here[name]
    ]
    if other:
        raise PluginError(
            f"{told.node} has {'; '.join(other)}",
            hint="install the same versions on every node: requirements.txt",
        )


def _is_alive(member: Member) -> bool:
    """Return whether the process of `member` answers, because another thread has started it again."""
    try:
        ray.get(member.actor.hello.remote(), timeout=10)
    except (*LOST, GetTimeoutError):
        return False
    return True


def _end(actors: Sequence[Any]) -> None:
    for actor in actors:
        with suppress(Exception):
            ray.kill(actor)
