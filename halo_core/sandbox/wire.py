"""Messages between the trainer's side and the supervisor's: a length, a marshalled dict, then blobs.

Both ends are halo's code. Data written by a sample is never parsed here; it travels as `bytes`. File descriptors are
sent along with the length.
"""

from __future__ import annotations

import array
import marshal
import socket
import struct

_LENGTH = struct.Struct("<I")
_MAX_FDS = 4

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    Message = dict[str, Any]


def send(
    sock: socket.socket,
    message: Message,
    fds: Sequence[int] = (),
    blobs: Sequence[bytes | bytearray] = (),
) -> None:
    """Send `message` with duplicates of `fds`, then `blobs`, which are sent without copying them."""
    body = marshal.dumps((message, [len(blob) for blob in blobs]))
    head = _LENGTH.pack(len(body))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    sent = sock.sendmsg([head, body], rights)
    sock.sendall((head + body)[sent:])
    for blob in blobs:
        sock.sendall(blob)


def receive(sock: socket.socket) -> tuple[Message, list[int]] | None:
    """Return the next message and its descriptors, or None if the peer has closed the connection.

    The blobs are in the message, under the key `blobs`.
    """
    try:
        head, fds = _receive_head(sock)
        body = _receive_exactly(sock, _LENGTH.unpack(head)[0]) if head else None
        if body is None:
            return None
        message, sizes = marshal.loads(body)
        message["blobs"] = blobs = [_receive_exactly(sock, size) for size in sizes]
    except ConnectionError:
        return None
    return None if None in blobs else (message, fds)


def _receive_head(sock: socket.socket) -> tuple[bytes | None, list[int]]:
    head, fds, _, _ = socket.recv_fds(sock, _LENGTH.size, _MAX_FDS, socket.MSG_CMSG_CLOEXEC)
    if len(head) < _LENGTH.size:
        rest = _receive_exactly(sock, _LENGTH.size - len(head)) if head else None
        return (None if rest is None else head + rest), fds
    return head, fds


def _receive_exactly(sock: socket.socket, size: int) -> bytes | None:
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = sock.recv_into(view)
        if not got:
            return None
        view = view[got:]
    return bytes(data)
