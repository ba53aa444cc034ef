"""Deprecation: a public name that will be removed warns once, and names its replacement and the version."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar, cast

T = TypeVar("T", bound=Callable[..., Any])
_warned: set[str] = set()


def deprecated(*, use: str, until: str) -> Callable[[T], T]:
    """Mark a function, a method or a class as deprecated.

    `use` names the replacement, `until` the version in which the name will be removed. The first call in a process
    warns with a `DeprecationWarning` at the caller's line; pytest prints it.
    """

    def mark(value: T) -> T:
        name = f"{value.__module__}.{value.__qualname__}"
        message = f"{name} is deprecated and will be removed in halo-core {until}: use {use}"
        if isinstance(value, type):
            cls: Any = value
            cls.__init__ = _warning(cls.__init__, name, message)
            cls.__deprecated__ = message
            return value
        function = _warning(value, name, message)
        function.__deprecated__ = message  # type: ignore[attr-defined]
        return cast(T, function)

    return mark


def _warning(function: Callable[..., Any], name: str, message: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        if name not in _warned:
            _warned.add(name)
            warnings.warn(message, DeprecationWarning, stacklevel=2)
        return function(*arguments, **keywords)

    return call
