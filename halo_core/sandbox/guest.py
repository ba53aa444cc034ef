"""The sample's half of a call by value: runs in the confined process, holds the sample's code and no answers.

Over one socket come the source, then one tuple of arguments at a time, and back goes one reply to each. The
sample shares this process and may forge replies; that gains it nothing that returning them would not.
"""

from __future__ import annotations

import gc
import os
import struct
import sys

from halo_core.sandbox import values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

PRELOADED = (
    "bisect collections contextlib copy dataclasses datetime decimal enum fractions functools heapq itertools "
    "math operator random re statistics string typing"
).split()
"""Modules that samples import often: loaded once, by the worker."""

_CHANNEL = 3
_LENGTH = struct.Struct("<I")
_MESSAGE = 200


def preload() -> None:
    """Import what most samples will ask for, before there are any."""
    for name in PRELOADED:
        __import__(name)


def main(argv: list[str]) -> None:
    """Serve calls to one function until the other side hangs up. `argv` holds further import paths."""
    take_channel()
    sys.path += argv
    gc.enable()
    source, name = receive()
    function = _answer(lambda: _load(source, name))
    while (arguments := receive()) is not None:
        _answer(lambda: function(*arguments), reply_value=True)


def take_channel() -> None:
    """Move the socket that came as stdin out of the way of whatever reads or prints."""
    os.dup2(0, _CHANNEL)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _load(source: str, name: str) -> Callable[..., object]:
    module = type(sys)("solution")
    sys.modules["solution"] = module
    exec(compile(source, "<solution>", "exec"), module.__dict__)
    found: Callable[..., object] = getattr(module, name)
    return found


def _answer(work: Callable[[], Any], reply_value: bool = False) -> Any:
    """Do `work`, and send what it returned or the name of what it raised."""
    result = None
    try:
        result = work()
        body = values.encode((None, result if reply_value else None))
    except BaseException as error:
        body = values.encode((type(error).__name__, describe(error)))
    send(body)
    return result


def describe(error: BaseException) -> str:
    """Return the beginning of an exception's text, whatever its `__str__` does."""
    try:
        return str(error)[:_MESSAGE]
    except BaseException:
        return ""


def send(body: bytes) -> None:
    """Send one message."""
    data = _LENGTH.pack(len(body)) + body
    while data:
        data = data[os.write(_CHANNEL, data) :]


def receive() -> Any:
    """Return the next message, or None when the other side has hung up."""
    head = _exactly(_LENGTH.size)
    return values.decode(_exactly(_LENGTH.unpack(head)[0])) if head else None


def _exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_CHANNEL, size - len(data))
        if not more:
            return b""
        data += more
    return data
