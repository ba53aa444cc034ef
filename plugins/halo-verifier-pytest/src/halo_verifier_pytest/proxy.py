"""Proxies, in the tests' process, for the functions of a sample that runs in another process.

Tests call a proxy as they would call the sample. Arguments and results cross by value, so only plain data and
the names and messages of exceptions reach the tests' process.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from halo_core.sandbox import NotPlainError, values
from halo_core.sandbox.service import ask


class SampleError(Exception):
    """The sample raised an exception that cannot be rebuilt as one of Python's builtin exceptions."""


class SampleGoneError(BaseException):
    """The sample's process has ended. Not an `Exception`, so that tests do not handle it as one."""


class NotByValueError(BaseException):
    """A test passed an argument to the sample that cannot be sent by value."""


def make_proxy(name: str) -> Callable[..., Any]:
    """Return a function that calls the sample's function `name`."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            values.encode((args, kwargs))
        except NotPlainError as error:
            raise NotByValueError(f"argument of {name}: {error}") from None
        answer: Any = ask(("call", name, args, kwargs))
        if answer[0] == "gone":
            raise SampleGoneError
        if answer[0] == "raised":
            raise _exception_type(answer[1])(answer[2])
        return iter(answer[1]) if answer[0] == "iterator" else answer[1]

    call.__name__ = call.__qualname__ = name
    return call


def _exception_type(name: str) -> type[Exception]:
    """Return the builtin exception called `name`, or `SampleError` if there is no usable one."""
    kind = getattr(builtins, name, None)
    if not isinstance(kind, type) or not issubclass(kind, Exception):
        return SampleError
    needs_more = issubclass(kind, UnicodeError | BaseExceptionGroup)  # takes more than a message
    return SampleError if needs_more else kind
