"""The trainer's half of a call by value."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass

from halo_core.sandbox import values
from halo_core.sandbox.types import Outcome

_LENGTH = struct.Struct("<I")
_INSTANT = 1e-6
"""The shortest wait, in seconds; 0 would be none."""
GONE = object()
"""Stands for the reply of a process that ended before it gave one."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one call gave."""

    value: object
    """Plain data (see `values`), equal to nothing but what it is. None when the call failed."""
    error: str | None
    """Name of the exception that the call raised, `NotPlainError` if what it returned is not plain data."""
    message: str
    """The beginning of the exception's text. The sample chose it: for people, never to judge by."""


@dataclass(frozen=True, slots=True)
class Calls:
    """What a series of calls gave. A call without an answer is one that the process did not survive."""

    loaded: Answer | None
    """Whether the source could be executed and holds the function; None if it did not get that far."""
    answers: tuple[Answer, ...]
    """In the order of the calls; shorter when the process ended before the last."""
    tampered: bool
    """The process spoke out of turn or gibberish. Nothing it said is to be believed; `answers` is empty."""
    outcome: Outcome
    """How the process ended."""


class Tampering(Exception):
    """The sample's process broke the protocol."""


class Channel:
    """Our end of the socket to a confined process. Whatever comes out of it is untrusted.

    The process speaks when it is asked and then once, by the framing of `values` behind a length; anything
    else raises `Tampering`.
    """

    def __init__(self, sock: socket.socket, max_bytes: int) -> None:
        self._sock = sock
        self._max_bytes = max_bytes
        self._left: float | None = None
        self._early = select.poll()  # as against select(2), whatever the number of the descriptor
        self._early.register(sock, select.POLLIN)

    def allow(self, seconds: float | None) -> None:
        """Let the replies from now on take so long in all; after that `ask` raises `TimeoutError`."""
        self._left = seconds

    def ask(self, request: bytes) -> object:
        """Return the reply to `request`, or `GONE` when the process is."""
        begun = time.monotonic()
        try:
            if self._early.poll(0) and self._sock.recv(1, socket.MSG_PEEK):
                raise Tampering
            self._wait_until(begun)
            self._sock.sendall(_LENGTH.pack(len(request)) + request)
            head = self._exactly(_LENGTH.size, begun)
            size = _LENGTH.unpack(head)[0] if head else 0
            if size > self._max_bytes:
                raise Tampering
            body = self._exactly(size, begun)
        except ConnectionError:
            return GONE
        finally:
            if self._left is not None:
                self._left -= time.monotonic() - begun
        try:
            return values.decode(body) if body else GONE
        except values.NotPlainError:
            raise Tampering from None

    def hang_up(self) -> None:
        """End the conversation; the other side must have nothing to add."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            if self._sock.recv(1):
                raise Tampering
        except (ConnectionError, TimeoutError):
            return

    def close(self) -> None:
        """Close our end, whatever the other side does."""
        self._sock.close()

    def _wait_until(self, begun: float) -> None:
        if self._left is not None:
            self._sock.settimeout(max(_INSTANT, begun + self._left - time.monotonic()))

    def _exactly(self, size: int, begun: float) -> bytes:
        data = b""
        while len(data) < size:
            self._wait_until(begun)
            more = self._sock.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data


class Function:
    """A function of a sample, in a process of its own, to be called by value. See `Sandbox.function`."""

    loaded: Answer | None = None
    """Whether the source could be executed and holds the function; None if it did not get that far."""
    tampered = False
    """The process spoke out of turn or gibberish. Nothing it said is to be believed."""
    outcome: Outcome
    """How the process ended; there once the `with` block has."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def __call__(self, *arguments: object) -> Answer | None:
        """Return what the function gives for `arguments`; None when its process is gone.

        Raises `NotPlainError` when an argument is not plain data.
        """
        request = values.encode(arguments)
        if self.loaded is None or self.loaded.error is not None:
            return None
        return self._ask(request)

    def _load(self, source: str, function: str) -> None:
        self.loaded = self._ask(values.encode((source, function)))

    def _ask(self, request: bytes) -> Answer | None:
        if self.tampered:
            return None
        try:
            return answer(self._channel.ask(request))
        except Tampering:
            self.tampered = True
            return None
        except TimeoutError:  # how it ended, or that it did not, its worker has to say
            return None

    def _hang_up(self) -> None:
        try:
            if not self.tampered:
                self._channel.hang_up()
        except Tampering:
            self.tampered = True
        finally:
            self._channel.close()


def answer(reply: object) -> Answer | None:
    """Read a sample's reply; raise `Tampering` unless it is one."""
    if reply is GONE:
        return None
    match reply:
        case (None, payload):
            return Answer(payload, None, "")
        case (str(error), str(message)):
            return Answer(None, error, message)
    raise Tampering
