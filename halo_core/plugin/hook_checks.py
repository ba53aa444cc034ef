"""Checks of a hook plugin when it is registered: every hook that it seems to implement must be one that is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType
from typing import Any

from halo_core import hookspecs
from halo_core.errors import PluginError, did_you_mean
from halo_core.plugin.discovery import Source
from halo_core.plugin.driver_checks import Flaw, flaws_of_options
from halo_core.plugin.observers import OBSERVING, watches_only

HOOKS: Mapping[str, inspect.Signature] = {
    name: inspect.signature(value) for name, value in vars(hookspecs).items() if hasattr(value, "halo_spec")
}
"""The hooks by name, in the order in which a cycle calls them."""


def check_plugin(plugin: object, source: Source) -> None:
    """Raise a `PluginError` if `plugin` has no hook, or has one that would not be called or would fail.

    `plugin` is a module, an object or, if it cannot be constructed yet, its class.
    """
    for flaw, remedy in _flaws(plugin, source):
        raise PluginError(f"{source} {flaw}", hint=remedy)


def implementations(plugin: object) -> dict[str, Callable[..., Any]]:
    """Return the functions of `plugin` that are marked with `@hookimpl`, by attribute."""
    found: dict[str, Callable[..., Any]] = {}
    for name in dir(plugin):
        value = getattr(plugin, name, None)
        if inspect.isroutine(value) and isinstance(getattr(value, "halo_impl", None), dict):
            found[name] = value
    return found


def _flaws(plugin: object, source: Source) -> Iterator[Flaw]:
    if inspect.isroutine(plugin):
        yield "is a function, not a plugin", "name the module or the class that contains it"
        return
    own = implementations(plugin)
    if isinstance(plugin, ModuleType):
        for name in _classes_with_hooks(plugin):
            target = f"{source.target}:{name}"
            yield f"has hooks in its class {name}, which was not named", f"name the class: {target}"
    for name in _unmarked(plugin):
        yield f"defines {name!r} without @hookimpl", f"write @hookimpl above {name}, or rename it"
    if not own:
        yield "implements no hook", f"mark its functions with @hookimpl; the hooks are {', '.join(HOOKS)}"
    for name, function in own.items():
        yield from _flaws_of_hook(name, function, is_bound=not isinstance(plugin, type))
    acting = [name for name in own if name not in OBSERVING or own[name].halo_impl["wrapper"]]  # type: ignore[attr-defined]
    if watches_only(plugin) and acting:
        yield f"has watches_only = True, but {acting[0]!r} acts on the run", "remove watches_only"
    if not isinstance(plugin, ModuleType):
        yield from flaws_of_options(plugin if isinstance(plugin, type) else type(plugin), "@hook_plugin")


def _classes_with_hooks(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and value.__module__ == module.__name__ and implementations(value)
    ]


def _unmarked(plugin: object) -> Iterator[str]:
    """Yield the functions of `plugin` that have the name of a hook and no mark; not those that a module imports."""
    for name in HOOKS:
        value = getattr(plugin, name, None)
        if not inspect.isroutine(value) or hasattr(value, "halo_impl"):
            continue
        if not isinstance(plugin, ModuleType) or value.__module__ == plugin.__name__:
            yield name


def _flaws_of_hook(attribute: str, function: Callable[..., Any], *, is_bound: bool) -> Iterator[Flaw]:
    marks = function.halo_impl  # type: ignore[attr-defined]
    name = marks.get("specname") or attribute
    if name not in HOOKS:
        yield f"implements {name!r}, which is not a hook", did_you_mean(name, HOOKS)
        return
    if marks["hookwrapper"]:
        yield f"has an old wrapper of {name!r}", "write @hookimpl(wrapper=True): yield gives the answer"
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield (
            f"implements {name!r} as a coroutine function",
            "hooks are called synchronously: use def, not async def",
        )
    generator = inspect.isgeneratorfunction(function)
    if generator and not marks["wrapper"] and name != "generate":
        yield f"implements {name!r} with a yield, but not as a wrapper", "write @hookimpl(wrapper=True)"
    if marks["wrapper"] and not generator:
        yield f"has a wrapper of {name!r} without a yield", "write answer = yield once, then return an answer"
    yield from _flaws_of_arguments(name, function, is_bound=is_bound)


def _flaws_of_arguments(name: str, function: Callable[..., Any], *, is_bound: bool) -> Iterator[Flaw]:
    known = HOOKS[name].parameters
    if inspect.ismethod(function):
        first = next(iter(inspect.signature(function.__func__).parameters), "")
        if first in known:
            yield f"has a method {name!r} without self", f"write def {name}(self, {first}, ...)"
    for each in list(inspect.signature(function).parameters.values())[0 if is_bound else 1 :]:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.KEYWORD_ONLY):
            kind = "keyword-only argument" if each.kind is each.KEYWORD_ONLY else "argument"
            yield (
                f"has the {kind} {str(each.replace(annotation=each.empty))!r} of {name!r}, which is never passed",
                f"name the arguments that it needs, without a star: {', '.join(known)}",
            )
        elif each.name not in known:
            yield (
                f"has an argument {each.name!r} of {name!r}, which does not exist",
                did_you_mean(each.name, known),
            )
        elif each.default is not each.empty:
            yield (
                f"has a default for the argument {each.name!r} of {name!r}",
                "remove the default: halo passes every argument that a hook names",
            )
