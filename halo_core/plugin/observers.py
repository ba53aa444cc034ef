"""The hooks that observe: every implementation is called, whatever the others raise.

pluggy ends a call with the first exception. Here what an implementation raises is kept, until all have been
called, and then raised within whatever wraps them, so that a wrapper meets it as it would without this.
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
"""Notes on an error that it is of a plugin, by name, in a hook; returns who that is."""


class Observers:
    """Tells the plugins of a manager what happens. Itself one of them, the last to be called."""

    def __init__(self, manager: pluggy.PluginManager, blame: Blame) -> None:
        self._manager = manager
        self._blame = blame
        self._raised: list[tuple[Exception, str]] = []
        self._called: set[str] = set()

    def add(self, plugin: object, name: str) -> None:
        """Have what the observers of `plugin`, which is registered as `name`, raise wait for the others."""
        for caller in self._manager.get_hookcallers(plugin) or []:
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and caller.name in OBSERVING and not _wraps(impl):
                    setattr(impl, "function", self._patient(impl.function, name, caller.name))  # noqa: B010

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call all implementations of `hook`; then raise what the first of them raised, the others in its notes."""
        caller = getattr(self._manager.hook, hook)
        self._raised, self._called = [], set()
        try:
            caller(**arguments)
        except Exception as error:
            # A wrapper failed first, or some are called after this one.
            for impl in reversed(caller.get_hookimpls()):
                if impl.plugin_name not in self._called and impl.plugin is not self and not _wraps(impl):
                    impl.function(*[arguments[name] for name in impl.argnames])
            self._note(error)
            raise
        self._conclude()

    @hookimpl(trylast=True)
    def on_run_start(self) -> None:
        """Raise what the others raised."""
        self._conclude()

    @hookimpl(trylast=True)
    def on_cycle_end(self) -> None:
        """Raise what the others raised."""
        self._conclude()

    @hookimpl(trylast=True)
    def on_run_end(self) -> None:
        """Raise what the others raised."""
        self._conclude()

    def _patient(self, function: Callable[..., object], plugin: str, hook: str) -> Callable[..., None]:
        @functools.wraps(function)
        def called(*arguments: object) -> None:
            self._called.add(plugin)
            try:
                function(*arguments)
            except Exception as error:
                self._raised.append((error, self._blame(error, plugin, hook)))

        return called

    def _conclude(self) -> None:
        if self._raised:
            first, _ = self._raised.pop(0)
            self._note(first)
            raise first

    def _note(self, first: Exception) -> None:
        for error, who in self._raised:
            first.add_note(f"{who} then raised {type(error).__name__}: {first_line(error)}")
        self._raised.clear()


def _wraps(impl: pluggy.HookImpl) -> bool:
    return bool(impl.wrapper or impl.hookwrapper)
