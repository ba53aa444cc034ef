"""Several requests at once, their answers in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as StillWaiting
from typing import TypeVar

T = TypeVar("T")

_POLL = 0.1
"""Seconds between two looks at whether the user asked to stop."""


def in_order(
    submit: Callable[[T], Future[dict[str, object]]],
    jobs: Iterable[T],
    *,
    ahead: int,
    interrupt: Callable[[], None],
) -> Iterator[tuple[T, dict[str, object]]]:
    """Yield each job with its answer, in the order of `jobs`; up to `ahead` jobs are submitted before their turn.

    So the server stays busy while a batch is verified, and the order of the answers does not depend on the server.
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
            yield job, _result(future, interrupt)
            waiting.popleft()
    finally:
        for _, future in waiting:
            future.cancel()


def _result(future: Future[dict[str, object]], interrupt: Callable[[], None]) -> dict[str, object]:
    while True:
        interrupt()
        try:
            return future.result(timeout=_POLL)
        except CancelledError:
            raise
        except StillWaiting:
            if future.done():
                return future.result()
