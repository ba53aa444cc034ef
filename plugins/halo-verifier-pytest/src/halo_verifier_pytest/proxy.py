"""In the tests' own process: functions that stand for those of a sample, which runs somewhere else.

Tests call them as they would call the sample. Arguments and results cross by value, so nothing that the sample
is or does comes here but plain data and the names of exceptions.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from halo_core.sandbox import NotPlainError, values
from halo_core.sandbox.service import ask


class SampleError(Exception):
    """The sample raised something that is not one of Python's own exceptions."""


class SampleGoneError(BaseException):
    """The sample's process is gone. Not an `Exception`: no test is to get over it."""


class NotByValueError(BaseException):
    """A test gave the sample what cannot be sent by value."""


def stand_in(name: str) -> Callable[..., Any]:
    """Return a function that calls the sample's function `name`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            values.encode((args, kwargs))
        except NotPlainError as error:
            raise NotByValueError(f"{name} is given {error}") from None
        answer: Any = ask(("call", name, args, kwargs))
        if answer[0] == "gone":
            raise SampleGoneError
        if answer[0] == "raised":
            raise _error(answer[1])(answer[2])
        return iter(answer[1]) if answer[0] == "iterator" else answer[1]

    call.__name__ = call.__qualname__ = name
    return call


def _error(name: str) -> type[Exception]:
    """Return the exception that a name stands for, among Python's own."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return SampleError
    unfit = issubclass(kind, UnicodeError | BaseExceptionGroup)  # need more than a message
    return SampleError if unfit else kind
