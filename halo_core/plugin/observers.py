"""The hooks that observe: every implementation is called, whatever the others raise.

pluggy ends a call at the first exception. `Observers` defers exceptions until all implementations have been called and
raises them inside the wrappers, so that a wrapper sees an exception as it would with pluggy alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pluggy

from halo_core.errors import HaloError, first_line
from halo_core.hookspecs import hookimpl
from halo_core.plugin.blame import exited

OBSERVING = ("on_run_start", "on_cycle_end", "on_run_end")
Blame = Callable[[BaseException, str, str], str]
"""Called with an error, a plugin name and a hook: blames the plugin for the error and returns its description."""


def watches_only(plugin: object) -> bool:
    """Return whether a plugin declares `watches_only = True`: that the run does not depend on it.

    An exception of its `on_cycle_end` or `on_run_end`, such as a network error, is then a warning. A `HaloError` still
    ends the run, and so does any exception of `on_run_start`, when nothing is lost.
    """
    return getattr(plugin, "watches_only", False) is True


class Observers:
    """Notifies the plugins of a manager. It is itself one of the plugins, the last to be called."""

    def __init__(self, manager: pluggy.PluginManager, blame: Blame) -> None:
        self._manager = manager
        self._blame = blame
        self._deferred: list[tuple[Exception, str]] = []
        self._called: set[str] = set()
        self._run: Any = None

    def add(self, plugin: object, name: str) -> None:
        """Defer the exceptions of the observers of `plugin`, which is registered as `name`."""
        for caller in self._manager.get_hookcallers(plugin) or []:
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and caller.name in OBSERVING and not _wraps(impl):
                    function = self._deferring(
                        impl.function, name, caller.name, is_excused=watches_only(plugin)
                    )
                    setattr(impl, "function", function)  # noqa: B010

    def notify(self, hook: str, **arguments: Any) -> None:
        """Call all implementations of `hook`; then raise the first exception, with the others in its notes."""
        caller = getattr(self._manager.hook, hook)
        self._deferred, self._called, self._run = [], set(), arguments["run"]
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

    def _deferring(
        self, function: Callable[..., object], plugin: str, hook: str, *, is_excused: bool
    ) -> Callable[..., None]:
        @functools.wraps(function)
        def call(*arguments: object) -> None:
            self._called.add(plugin)
            try:
                function(*arguments)
            except (Exception, SystemExit) as raised:
                who = self._blame(raised, plugin, hook)
                error = (
                    exited(f"hook {hook!r} of {who}", raised) if isinstance(raised, SystemExit) else raised
                )
                if is_excused and hook != "on_run_start" and not isinstance(error, HaloError):
                    self._warn(f"{who} raised {type(error).__name__} in {hook}: {first_line(error)}")
                else:
                    self._deferred.append((error, who))

        return call

    def _warn(self, text: str) -> None:
        self._run.log("warning", f"{text}; the run continues")

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
