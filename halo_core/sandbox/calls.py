"""The trainer's half of a call by value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from halo_core.sandbox import session, values
from halo_core.sandbox.channel import GONE, Channel, Tampering
from halo_core.sandbox.types import Limits, Outcome


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one call."""

    value: object
    """Plain data (see `values`), with ordinary equality. None when the call failed."""
    error: str | None
    """Name of the exception that the call raised; `NotPlainError` if the returned value is not plain data."""
    message: str
    """The beginning of the exception's text. The sample chose it: show it to people, never verify with it."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The results of a series of calls. A call without an answer is one that the process did not survive."""

    loaded: Answer | None
    """The result of executing the source and finding the function; None if the process ended before that."""
    answers: tuple[Answer, ...]
    """In the order of the calls; shorter when the process ended before the last."""
    tampered: bool
    """The process sent an unrequested or malformed message. None of its data is trusted; `answers` is empty."""
    outcome: Outcome
    """How the process ended."""


class Function:
    """A sample's function in a separate process, called by value. See `Sandbox.function`."""

    loaded: Answer | None = None
    """The result of executing the source and finding the function; None if the process ended before that."""
    tampered = False
    """The process sent an unrequested or malformed message. None of its data is trusted."""
    outcome: Outcome
    """How the process ended; set when the `with` block has ended."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __call__(self, *arguments: object) -> Answer | None:
        """Return the result of the function for `arguments`; None if its process has ended.

        Raises `NotPlainError` when an argument is not plain data.
        """
        request = values.encode(arguments)
        if self.loaded is None or self.loaded.error is not None:
            return None
        return self._ask(request)

    def _load(self, source: str, name: str) -> None:
        self.loaded = self._ask(values.encode((source, name)))

    def _ask(self, request: bytes) -> Answer | None:
        if self.tampered:
            return None
        try:
            return parse_answer(self._channel.ask(request))
        except Tampering:
            self.tampered = True
            return None
        except TimeoutError:  # the worker reports how the process ended, or that it did not
            return None

    def _hang_up(self) -> None:
        try:
            if not self.tampered:
                self._channel.hang_up()
        except Tampering:
            self.tampered = True
        finally:
            self._channel.close()


@contextmanager
def lend_function(
    worker: session.Session, source: str, name: str, limits: Limits, paths: list[str]
) -> Iterator[Function]:
    """Execute `source` in a process of `worker` and yield the function `name` in it."""
    request = session.guest_request("guest", limits, argv=paths, readable=paths)
    channel = worker.start(request, limits.stdout_bytes)
    channel.set_time_limit(limits.wall + session.GRACE)  # by then the worker has ended the process
    function = Function(channel)
    try:
        function._load(source, name)
        yield function
    finally:
        function._hang_up()
        function.outcome = worker.outcome("the function", limits.wall + session.GRACE)


def call_each(
    worker: session.Session,
    source: str,
    name: str,
    rows: Sequence[tuple[object, ...]],
    limits: Limits,
    paths: list[str],
) -> Calls:
    """Execute `source` in a process of `worker` and call the function `name` once for each of `rows`."""
    answers: list[Answer] = []
    with lend_function(worker, source, name, limits, paths) as function:
        for row in rows:
            answer = function(*row)
            if answer is None:
                break
            answers.append(answer)
    kept = () if function.tampered else tuple(answers)
    return Calls(function.loaded, kept, function.tampered, function.outcome)


def parse_answer(reply: object) -> Answer | None:
    """Return the answer in a sample's reply, None for `GONE`; raise `Tampering` if it is not an answer."""
    if reply is GONE:
        return None
    match reply:
        case (None, payload):
            return Answer(payload, None, "")
        case (str(error), str(message)):
            return Answer(None, error, message)
    raise Tampering
