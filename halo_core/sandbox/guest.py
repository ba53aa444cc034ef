"""The sample's half of a call by value: runs in the confined process, holds the sample's code and no answers.

One socket carries the source, then one tuple of arguments at a time, and one reply to each message. The sample shares
this process and may forge replies; a forged reply can contain nothing that the sample could not have returned.
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
"""Modules that samples import often; the worker loads them once."""

_CHANNEL = 3
_LENGTH = struct.Struct("<I")
_MAX_MESSAGE = 200


def preload(source: str) -> None:
    """Import the modules that most samples use, and execute a trusted `source`, before any sample arrives."""
    for name in PRELOADED:
        __import__(name)
    if source:
        _execute(source)
        gc.collect()
        gc.freeze()


def main(argv: list[str]) -> None:
    """Serve calls to one function until the other side hangs up. `argv` holds further import paths."""
    move_channel()
    sys.path += argv
    gc.enable()
    source, name = receive()
    function = _reply(lambda: _load(source, name))
    while (arguments := receive()) is not None:
        _reply(lambda: function(*arguments), with_value=True)


def move_channel() -> None:
    """Move the socket from stdin to another descriptor, so that code that reads or prints does not touch it."""
    os.dup2(0, _CHANNEL)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)


def _load(source: str, name: str) -> Callable[..., object]:
    """Return a function of `source`; of the trusted source, which has been executed, if it is empty."""
    if source:
        _execute(source)
    found: Callable[..., object] = getattr(sys.modules["solution"], name)
    return found


def _execute(source: str) -> None:
    module = type(sys)("solution")
    sys.modules["solution"] = module
    exec(compile(source, "<solution>", "exec"), module.__dict__)


def _reply(work: Callable[[], Any], with_value: bool = False) -> Any:
    """Call `work` and send its result, or the name of the exception that it raised."""
    result = None
    try:
        result = work()
        body = values.encode((None, result if with_value else None))
    except BaseException as error:
        body = values.encode((type(error).__name__, describe(error)))
    send(body)
    return result


def describe(error: BaseException) -> str:
    """Return the beginning of an exception's text, or "" if its `__str__` fails."""
    try:
        return str(error)[:_MAX_MESSAGE]
    except BaseException:
        return ""


def send(body: bytes) -> None:
    """Send one message."""
    data = _LENGTH.pack(len(body)) + body
    while data:
        data = data[os.write(_CHANNEL, data) :]


def receive() -> Any:
    """Return the next message, or None when the other side has hung up."""
    head = _receive_exactly(_LENGTH.size)
    return values.decode(_receive_exactly(_LENGTH.unpack(head)[0])) if head else None


def _receive_exactly(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_CHANNEL, size - len(data))
        if not more:
            return b""
        data += more
    return data
