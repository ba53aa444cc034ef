"""Checks of a driver's class when it is loaded.

Python accepts each of the mistakes that are found here. Without the checks they would have no effect, or fail in the
middle of a run.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any, ClassVar, get_origin

from halo_core.config.options import options_of
from halo_core.errors import PluginError, first_line
from halo_core.plugin.discovery import Loaded

_NEAR = 0.8
"""Similarity from which the name of a method counts as a misspelt one."""
Flaw = tuple[str, str]
"""A mistake in words that follow the driver's name, and the remedy."""


def check_class(loaded: Loaded, base: type) -> type[Any]:
    """Return the loaded class of a driver.

    Raises a `PluginError` unless it is a complete subclass of `base`, decorated with `@driver`, whose methods can be
    called as `base` declares them.
    """
    value, source = loaded.value, loaded.source
    if not (isinstance(value, type) and issubclass(value, base)):
        raise PluginError(
            f"{source} is not a {base.__name__}: {source.target} is {value!r}",
            hint=f"its entry point must name a subclass of halo_core.drivers.{base.__name__}",
        )
    for flaw, remedy in _flaws(value, base):
        raise PluginError(f"{source} {flaw}", hint=remedy)
    return value


def flaws_of_options(cls: type, decorator: str) -> Iterator[Flaw]:
    """Yield the annotated attributes of `cls` that are not options because their class is not decorated."""
    known = getattr(cls, "__dataclass_fields__", {})
    for each in cls.__mro__:
        for name, annotation in inspect.get_annotations(each).items():
            required = is_dataclass(cls) or name in vars(each)
            if name not in known and not name.startswith("_") and required and not _is_class_var(annotation):
                yield (
                    f"declares {name!r} in {each.__name__}, which is not an option",
                    f"write {decorator} above class {each.__name__}, or annotate {name} as a ClassVar",
                )
    try:
        options_of(cls)
    except Exception as error:
        yield (
            f"has an option whose type is unknown: {first_line(error)}",
            "import the type where the class is defined, outside TYPE_CHECKING",
        )


def _flaws(cls: type, base: type) -> Iterator[Flaw]:
    if not hasattr(cls, "__is_pydantic_dataclass__"):
        yield (
            f"is not decorated: {cls.__name__} has no options",
            f"write @driver (from halo_core) above class {cls.__name__}",
        )
    methods = {
        name: value
        for each in reversed(base.__mro__[:-1])
        for name, value in vars(each).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }
    for name in sorted(getattr(cls, "__abstractmethods__", ())):
        misspelt = _nearest(name, _own_methods(cls, base))
        yield (
            f"does not implement {name!r}",
            f"did you mean {name!r} where it defines {misspelt!r}?"
            if misspelt
            else f"define {name}{inspect.signature(methods[name])}"
            if name in methods
            else f"define {name}",
        )
    yield from flaws_of_options(cls, "@driver")
    for name, declared in methods.items():
        if getattr(cls, name) is not declared:
            yield from _flaws_of_method(cls, name, declared)
    if not isinstance(getattr(cls, "valid_label", ""), str):
        yield "has a valid_label that is not a str", 'write valid_label = "compiles"'
    for name in sorted(_own_methods(cls, base) - methods.keys()):
        near = _nearest(name, methods)
        if near and getattr(cls, near) is methods[near]:
            yield (
                f"has a method {name!r}, which is never called",
                f"did you mean {near!r}? The name of a helper starts with _",
            )


def _flaws_of_method(cls: type, name: str, declared: Callable[..., Any]) -> Iterator[Flaw]:
    static, function = inspect.getattr_static(cls, name), getattr(cls, name)
    if isinstance(static, property) or not callable(function):
        yield f"has {name!r} as {_kind_of(static)}, not as a method", f"write def {name}{_shown(declared)}"
        return
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield (
            f"has an async method {name!r}",
            f"methods are called synchronously: write def {name}{_shown(declared)}",
        )
        return
    returns = str(inspect.signature(declared).return_annotation)
    if inspect.isgeneratorfunction(function) and not returns.startswith("Iterator"):
        yield f"has a method {name!r} that yields", f"return the value; {name} returns {returns}"
    signature = inspect.signature(function)
    if returns.startswith("Sequence[") and signature.return_annotation in (str, "str"):
        yield f"has a method {name!r} that returns one str", f"return a list; {name} returns {returns}"
    yield from _flaws_of_signature(name, declared, signature, bound=not inspect.isfunction(static))


def _flaws_of_signature(
    name: str, declared: Callable[..., Any], signature: inspect.Signature, *, bound: bool
) -> Iterator[Flaw]:
    """Yield why a method cannot be called as `declared`, which has a `self`; `bound`: `signature` has none."""
    _, *wanted = inspect.signature(declared).parameters.values()
    positional = [each.name for each in wanted if each.kind is each.POSITIONAL_OR_KEYWORD]
    keywords = {each.name: each.name for each in wanted if each.kind is each.KEYWORD_ONLY}
    own = list(signature.parameters)[0 if bound else 1 :]
    try:
        filled = signature.bind(*([] if bound else ["self"]), *positional, **keywords)
    except TypeError as error:
        yield (
            f"has {name}{signature}, which cannot be called: {error}",
            f"write def {name}{_shown(declared)}",
        )
        return
    if sorted(own) == sorted(positional) and own != positional:
        yield f"has the arguments of {name!r} in another order", f"write def {name}{_shown(declared)}"
    for each in signature.parameters.values():
        if each.name not in filled.arguments and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            yield (
                f"has an argument {each.name!r} of {name!r}, which is never passed",
                f"write def {name}{_shown(declared)}",
            )


def _own_methods(cls: type, base: type) -> set[str]:
    """Return the public methods that `cls` and its bases define, without those of `base`."""
    return {
        name
        for each in cls.__mro__
        if each not in base.__mro__
        for name, value in vars(each).items()
        if inspect.isfunction(value) and not name.startswith("_")
    }


def _nearest(name: str, names: Any) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(names), n=1, cutoff=_NEAR)), "")


def _shown(function: Callable[..., Any]) -> str:
    """Return the parameters of a method without their types."""
    parameters = [
        each.replace(annotation=inspect.Parameter.empty)
        for each in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(parameters))


def _kind_of(value: object) -> str:
    return "a property" if isinstance(value, property) else f"a value ({type(value).__name__})"


def _is_class_var(annotation: object) -> bool:
    text = annotation if isinstance(annotation, str) else ""
    return (
        annotation is ClassVar
        or get_origin(annotation) is ClassVar
        or text.removeprefix("typing.").startswith("ClassVar")
    )
