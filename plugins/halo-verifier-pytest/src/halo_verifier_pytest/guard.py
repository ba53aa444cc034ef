"""Defences against a sample that shares its process with the tests.

Anything in one process can be reached in the end, and an object that lies about equality needs to reach nothing. A
verdict from such a process is therefore labelled `shared-process`. Known attacks are still blocked: the verifier's
code is checked for replacement, and neither frames nor the garbage collector lead to it.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import traceback
import types
from collections.abc import Callable, Generator, Mapping
from typing import Any

_LIBRARIES = {
    "_pytest": "fixtures main nodes outcomes python raises reports runner skipping unittest",
    "pluggy": "_callers _hooks _manager _result",
    "halo_core.sandbox": "guest serving values",
}
_REPLACEABLE = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    type,
    staticmethod,
    classmethod,
    property,
)
_FRAMES = frozenset({"tb_frame", "gi_frame", "cr_frame", "ag_frame"})
_CODE = frozenset({"__code__", "__defaults__", "__kwdefaults__"})
_REFUSED = (
    "sys._getframe",
    "sys._current_",
    "sys.settrace",
    "sys.setprofile",
    "sys.addaudithook",
    "gc.",
    "ctypes.",
    "compile",
    "marshal.loads",
    "code.__new__",
)
"""Audit events that an honest sample does not need and that expose the verifier or let code pose as a library's."""
_FROZEN = "<frozen "
_FRAME_EXPOSING = frozenset({"inspect", "logging"})
"""Libraries that return frames to any caller."""
_INTERNAL = frozenset(
    {"abc", "collections", "dataclasses", "enum", "functools", "types", "typing", "warnings"}
)
"""Libraries that look at their caller's frame on behalf of honest samples, and keep the frame to themselves."""


def watch(*modules: types.ModuleType) -> Callable[[], bool]:
    """Return a function that checks that `modules`, pytest, pluggy, the sandbox and the builtins are unmodified."""
    libraries = [f"{package}.{part}" for package, parts in _LIBRARIES.items() for part in parts.split()]
    namespaces: list[Mapping[str, Any]] = [vars(builtins)]
    for module in (*map(importlib.import_module, libraries), *modules):
        namespace = vars(module)
        classes = [
            each
            for each in namespace.values()
            if isinstance(each, type) and each.__module__ == module.__name__
        ]
        namespaces += [namespace, *map(vars, classes)]
    recorded = [(namespace, _replaceable(namespace)) for namespace in namespaces]
    missing = object()

    def intact() -> bool:
        return all(
            namespace.get(key, missing) is value for namespace, items in recorded for key, value in items
        )

    return intact


def _replaceable(namespace: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in namespace.items() if isinstance(value, _REPLACEABLE)]


def refuse_introspection() -> None:
    """Refuse events that lead to the verifier's frames to all code but loaded libraries, for the process's lifetime.

    While code of the sample is on the stack, only a few libraries may cause such an event: others, among them pytest's
    own, would pass a frame to any caller.
    """
    trusted = {id(vars(module)) for name, module in sys.modules.items() if name not in _FRAME_EXPOSING}
    sys.addaudithook(_hook(trusted, _formatting()))
    _signal = importlib.import_module("_signal")
    handlers = _handlers(_signal.signal)
    next(handlers)
    install = handlers.send

    def signal(signalnum: Any, handler: Any, /) -> Any:
        result = install((signalnum, handler))
        if isinstance(result, Exception):
            raise result
        return result

    vars(_signal)["signal"] = signal


def _handlers(install: Callable[[Any, Any], Any]) -> Generator[Any, tuple[Any, Any], None]:
    """Install signal handlers that do not get the frame which the signal interrupts.

    This is a generator because the sample cannot reach its local variables.
    """
    result: Any = None
    while True:
        number, handler = yield result
        try:
            result = install(number, _frameless(handler) if callable(handler) else handler)
        except Exception as error:
            result = error


def _frameless(handler: Callable[[int, None], Any]) -> Callable[[int, object], Any]:
    return lambda number, frame: handler(number, None)


def _formatting() -> Callable[[types.FrameType], bool]:
    """Return a function that checks that a frame of `traceback` formats a traceback and exposes no frame."""
    summary: Any = traceback.StackSummary
    code = getattr(summary, "_extract_from_extended_frame_gen", summary.extract).__func__.__code__
    recorded = [(space, _replaceable(space)) for space in (vars(traceback), vars(traceback.StackSummary))]

    def formats(frame: types.FrameType) -> bool:
        consumer = frame.f_back
        return (
            consumer is not None
            and consumer.f_code is code
            and all(space.get(key) is value for space, items in recorded for key, value in items)
        )

    return formats


def _hook(
    trusted: set[int], formats: Callable[[types.FrameType], bool]
) -> Callable[[str, tuple[Any, ...]], None]:
    getframe, busy = sys._getframe, False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        if event.startswith("object.__"):
            refused = args[1] in (_FRAMES if event == "object.__getattr__" else _CODE)
        else:
            refused = event.startswith(_REFUSED)
        if not refused:
            return
        busy = True
        try:
            allowed = _is_allowed(event, args, getframe(1), trusted, formats)
        finally:
            busy = False
        if not allowed:
            raise RuntimeError(f"{event} is not available to a sample that shares the tests' process")

    return hook


def _is_allowed(
    event: str,
    args: tuple[Any, ...],
    caller: types.FrameType,
    trusted: set[int],
    formats: Callable[[types.FrameType], bool],
) -> bool:
    if event == "compile" and _is_samples(_text(args[1])):
        return True  # code that does not pose as a library's
    place, name = caller.f_code.co_filename, caller.f_globals.get("__name__")
    if place.startswith("<frozen importlib"):
        return True
    if id(caller.f_globals) not in trusted or place.startswith("<"):
        return False
    if name == "traceback":
        return event == "object.__getattr__" and formats(caller)
    return name in _INTERNAL or not _has_sample(caller)


def _text(name: object) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def _is_samples(filename: str) -> bool:
    """Return True if code with this file name is taken for the sample's."""
    return filename.startswith("<") and not filename.startswith(_FROZEN)


def _has_sample(frame: types.FrameType | None) -> bool:
    """Return True if code of the sample is on the stack."""
    while frame is not None:
        if _is_samples(frame.f_code.co_filename):
            return True
        frame = frame.f_back
    return False
