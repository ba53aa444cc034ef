"""Several requests at once, their answers in order, and completions in batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as StillWaiting
from typing import TypeVar

from halo_core import Completion

T = TypeVar("T")
A = TypeVar("A")

_POLL = 0.1
"""Seconds between two looks at whether the user asked to stop."""


def in_order(
    submit: Callable[[T], Future[dict[str, object]]],
    jobs: Iterable[T | None],
    *,
    ahead: int,
    interrupt: Callable[[], None],
) -> Iterator[tuple[T, dict[str, object]]]:
    """Yield each job with its answer, in the order of `jobs`; up to `ahead` jobs are submitted before their turn.

    So the server stays busy while a batch is verified, and the order of the answers does not depend on the server. A
    job of None: there is no further one before the next answer has been yielded.
    `interrupt` is called ten times a second while an answer is awaited. If it or a job raises, or the iterator is
    closed, the other jobs are cancelled.
    """
    source = iter(jobs)
    waiting: deque[tuple[T, Future[dict[str, object]]]] = deque()
    try:
        while True:
            while len(waiting) < ahead and (job := next(source, None)) is not None:
                waiting.append((job, submit(job)))
            if not waiting:
                return
            job, future = waiting[0]
            yield job, result(future, interrupt)
            waiting.popleft()
    finally:
        for _, future in waiting:
            future.cancel()


def jobs_of(numbers: Iterable[int | None], batch: Callable[[int], Iterable[T]]) -> Iterator[T | None]:
    """Yield the jobs of each batch of `numbers`, and None for None; see `SamplingContext.numbers_ahead`."""
    for number in numbers:
        yield from (None,) if number is None else batch(number)


def result(future: Future[A], interrupt: Callable[[], None]) -> A:
    """Wait for `future` and return its result; cancel it if `interrupt`, called ten times a second, raises."""
    while True:
        try:
            interrupt()
        except BaseException:
            future.cancel()
            raise
        try:
            return future.result(timeout=_POLL)
        except CancelledError:
            raise
        except StillWaiting:
            if future.done():
                return future.result()


def in_batches(
    parts: Iterable[tuple[bool, Iterable[Completion]]], progress: Callable[[float, int], None]
) -> Iterator[list[Completion]]:
    """Yield the completions of `parts` in batches; each part tells whether it is the last one of its batch.

    `progress` gets the number of completions, and of their tokens, of an incomplete batch.
    """
    batch: list[Completion] = []
    for is_last, completions in parts:
        batch += completions
        if is_last:
            yield batch
            batch = []
        else:
            progress(float(len(batch)), sum(len(each.token_ids) for each in batch))
