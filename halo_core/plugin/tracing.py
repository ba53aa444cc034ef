"""Tracing of hook calls: which plugin gave which answer, and wrappers that do not yield exactly once."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Generator
from typing import Any

from halo_core.errors import PluginError

_ONCE = "a wrapper has exactly one yield, which gives the answer"


class Trail(threading.local):
    """The answers to the current hook call of this thread, innermost first."""

    def __init__(self) -> None:
        self.answers: list[tuple[str, Any]] = []
        """Plugin and answer."""

    def start(self) -> None:
        """Forget the answers of the call before."""
        self.answers = []

    def authors(self, is_flawed: Callable[[Any], object]) -> list[str]:
        """Return the plugin that first gave an answer with a flaw; outermost first, all that returned this same object.

        Which of several plugins changed an object in place cannot be told apart.
        """
        flawed = next((answer for _, answer in self.answers if is_flawed(answer)), None)
        return [plugin for plugin, answer in reversed(self.answers) if answer is flawed]


def traced(function: Callable[..., Any], plugin: str, trail: Trail) -> Callable[..., Any]:
    """Return an implementation that records its answer."""

    @functools.wraps(function)
    def call(*arguments: object) -> Any:
        answer = function(*arguments)
        if answer is not None:
            trail.answers.append((plugin, answer))
        return answer

    return call


def traced_wrapper(
    function: Callable[..., Any], plugin: str, trail: Trail, describe: Callable[[], str]
) -> Callable[..., Any]:
    """Return a wrapper that records its answer; it raises a `PluginError` unless `function` yields exactly once."""

    @functools.wraps(function)
    def call(*arguments: object) -> Generator[None, Any, Any]:
        steps = function(*arguments)
        try:
            next(steps)
        except StopIteration:
            raise PluginError(f"{describe()} ended before its yield", hint=_ONCE) from None
        try:
            try:
                answer = yield
            except BaseException as error:
                steps.throw(error)
            else:
                steps.send(answer)
        except StopIteration as done:
            trail.answers.append((plugin, done.value))
            return done.value
        steps.close()
        raise PluginError(f"{describe()} yielded twice", hint=_ONCE)

    return call
