"""The trainer's half of a call by value."""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from halo_core.sandbox import values
from halo_core.sandbox.types import Outcome

_LENGTH = struct.Struct("<I")


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
    """Our end of the socket to the sample's process. Whatever comes out of it is untrusted."""

    def __init__(self, sock: socket.socket, max_bytes: int) -> None:
        self._sock = sock
        self._max_bytes = max_bytes

    def converse(self, opening: bytes, requests: Iterable[bytes]) -> tuple[Answer | None, tuple[Answer, ...]]:
        """Ask everything in turn, and see that nothing is said unasked."""
        loaded = self._ask(opening)
        answers: list[Answer] = []
        if loaded is not None and loaded.error is None:
            for request in requests:
                answer = self._ask(request)
                if answer is None:
                    break
                answers.append(answer)
        self._hang_up()
        return loaded, tuple(answers)

    def _ask(self, request: bytes) -> Answer | None:
        """Return the reply to `request`, or None when the process is gone."""
        if select.select([self._sock], [], [], 0)[0] and self._sock.recv(1, socket.MSG_PEEK):
            raise Tampering
        try:
            self._sock.sendall(_LENGTH.pack(len(request)) + request)
            head = self._exactly(_LENGTH.size)
            size = _LENGTH.unpack(head)[0] if head else 0
            if size > self._max_bytes:
                raise Tampering
            body = self._exactly(size)
        except ConnectionError:
            return None
        return _answer(body) if body else None

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._sock.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data

    def _hang_up(self) -> None:
        """End the conversation; the other side must have nothing to add."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            if self._sock.recv(1):
                raise Tampering
        except ConnectionError:
            return


def _answer(body: bytes) -> Answer:
    try:
        reply = values.decode(body)
    except values.NotPlainError:
        raise Tampering from None
    if not (isinstance(reply, tuple) and len(reply) == 2):
        raise Tampering
    error, payload = reply
    if error is None:
        return Answer(payload, None, "")
    if not (isinstance(error, str) and isinstance(payload, str)):
        raise Tampering
    return Answer(None, error, payload)
