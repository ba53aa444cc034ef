"""Defences against a sample that shares its process with the tests.

Anything in one process can be reached in the end, and an object that lies about equality needs to reach nothing. A
verdict from such a process is therefore labelled `shared-process`. Known attacks are still blocked: the verifier's
code is checked for replacement, and neither frames nor the garbage collector lead to it.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from collections.abc import Callable, Mapping
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
_IMPORTER = "<frozen importlib"
_FRAME_EXPOSING = frozenset({"inspect", "logging"})
"""Libraries that return frames to any caller."""


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
    """Refuse events that lead to the verifier's frames to all code but loaded libraries, for the process's lifetime."""
    trusted = {id(vars(module)) for name, module in sys.modules.items() if name not in _FRAME_EXPOSING}
    sys.addaudithook(_hook(trusted))


def _hook(trusted: set[int]) -> Callable[[str, tuple[Any, ...]], None]:
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
        caller = getframe(1)
        busy = False
        place = caller.f_code.co_filename
        library = id(caller.f_globals) in trusted and not place.startswith("<")
        honest = event == "compile" and str(args[1]).startswith(
            ("<", "b'<")
        )  # does not pose as a library file
        if not (library or honest or place.startswith(_IMPORTER)):
            raise RuntimeError(f"{event} is not available to a sample that shares the tests' process")

    return hook
