"""The trainer's end of the socket to a confined process."""

from __future__ import annotations

import select
import socket
import struct
import time

from halo_core.sandbox import values

_LENGTH = struct.Struct("<I")
_SHORTEST_WAIT = 1e-6
"""The shortest timeout, in seconds; 0 would make the socket non-blocking."""
GONE = object()
"""Stands for the reply of a process that ended before it sent one."""


class Tampering(Exception):
    """The confined process broke the protocol."""


class Channel:
    """The trainer's end of the socket to a confined process. Everything received from it is untrusted.

    The process sends exactly one message per request: a length, then a value in the encoding of `values`.
    Anything else raises `Tampering`.
    """

    def __init__(self, sock: socket.socket, max_bytes: int) -> None:
        self._sock = sock
        self._max_bytes = max_bytes
        self._seconds_left: float | None = None
        self._unasked = select.poll()  # unlike select(2), poll(2) takes descriptors above 1023
        self._unasked.register(sock, select.POLLIN)

    def set_time_limit(self, seconds: float | None) -> None:
        """Limit the total time of all replies from now on; past it `ask` raises `TimeoutError`."""
        self._seconds_left = seconds

    def ask(self, request: bytes) -> object:
        """Return the reply to `request`, or `GONE` if the process has ended."""
        started = time.monotonic()
        try:
            if self._unasked.poll(0) and self._sock.recv(1, socket.MSG_PEEK):
                raise Tampering
            self._set_timeout(started)
            self._sock.sendall(_LENGTH.pack(len(request)) + request)
            head = self._receive_exactly(_LENGTH.size, started)
            size = _LENGTH.unpack(head)[0] if head else 0
            if size > self._max_bytes:
                raise Tampering
            body = self._receive_exactly(size, started)
        except ConnectionError:
            return GONE
        finally:
            if self._seconds_left is not None:
                self._seconds_left -= time.monotonic() - started
        try:
            return values.decode(body) if body else GONE
        except values.NotPlainError:
            raise Tampering from None

    def hang_up(self) -> None:
        """End the conversation; raise `Tampering` if the process sends anything more."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
            if self._sock.recv(1):
                raise Tampering
        except (ConnectionError, TimeoutError):
            return

    def close(self) -> None:
        """Close this end, whatever the process does."""
        self._sock.close()

    def _set_timeout(self, started: float) -> None:
        if self._seconds_left is not None:
            self._sock.settimeout(max(_SHORTEST_WAIT, started + self._seconds_left - time.monotonic()))

    def _receive_exactly(self, size: int, started: float) -> bytes:
        data = b""
        while len(data) < size:
            self._set_timeout(started)
            more = self._sock.recv(size - len(data))
            if not more:
                return b""
            data += more
        return data
