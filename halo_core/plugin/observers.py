"""The hooks that observe: every implementation is called, whatever the others raise.

pluggy ends a call at the first exception. `Observers` defers exceptions until all implementations have been called and
raises them inside the wrappers, so that a wrapper sees an exception as it would with pluggy alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pluggy

from halo_core.errors import first_line
from halo_core.hookspecs import hookimpl

OBSERVING = ("on_run_start", "on_cycle_end", "on_run_end")
Blame = Callable[[Exception, str, str], str]
"""Called with an error, a plugin name and a hook: blames the plugin for the error and returns its description."""


class Observers:
    """Notifies the plugins of a manager. It is itself one of the plugins, the last to be called."""

    def __init__(self, manager: pluggy.PluginManager, blame: Blame) -> None:
        self._manager = manager
        self._blame = blame
        self._deferred: list[tuple[Exception, str]] = []
        self._called: set[str] = set()

    def add(self, plugin: object, name: str) -> None:
        """Defer the exceptions of the observers of `plugin`, which is registered as `name`."""
        for caller in self._manager.get_hookcallers(plugin) or []:
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and caller.name in OBSERVING and not _wraps(impl):
                    setattr(impl, "function", self._deferring(impl.function, name, caller.name))  # noqa: B010

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call all implementations of `hook`; then raise the first exception, with the others in its notes."""
        caller = getattr(self._manager.hook, hook)
        self._deferred, self._called = [], set()
        try:
            caller(**arguments)
        except Exception as error:
            # A wrapper raised before the implementations ran, or some run after this plugin.
            for impl in reversed(caller.get_hookimpls()):
                if impl.plugin_name not in self._called and impl.plugin is not self and not _wraps(impl):
                    impl.function(*[arguments[name] for name in impl.argnames])
            self._note(error)
            raise
        self._raise_deferred()

    @hookimpl(trylast=True)
    def on_run_start(self) -> None:
        """Raise the first deferred exception."""
        self._raise_deferred()

    @hookimpl(trylast=True)
    def on_cycle_end(self) -> None:
        """Raise the first deferred exception."""
        self._raise_deferred()

    @hookimpl(trylast=True)
    def on_run_end(self) -> None:
        """Raise the first deferred exception."""
        self._raise_deferred()

    def _deferring(self, function: Callable[..., object], plugin: str, hook: str) -> Callable[..., None]:
        @functools.wraps(function)
        def call(*arguments: object) -> None:
            self._called.add(plugin)
            try:
                function(*arguments)
            except Exception as error:
                self._deferred.append((error, self._blame(error, plugin, hook)))

        return call

    def _raise_deferred(self) -> None:
        if self._deferred:
            first, _ = self._deferred.pop(0)
            self._note(first)
            raise first

    def _note(self, first: Exception) -> None:
        for error, who in self._deferred:
            first.add_note(f"{who} then raised {type(error).__name__}: {first_line(error)}")
        self._deferred.clear()


def _wraps(impl: pluggy.HookImpl) -> bool:
    return bool(impl.wrapper or impl.hookwrapper)
