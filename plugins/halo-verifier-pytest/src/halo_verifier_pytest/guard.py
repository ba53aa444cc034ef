"""What can be done against a sample that shares its process with the tests.

Everything in one process can be reached in the end, and an object that lies about equality needs to reach nothing. So
a verdict from such a process says `shared-process`. But the ways that are known to work are closed: what judges is
watched for replacement, and neither frames nor the garbage collector lead to it.
"""

from __future__ import annotations

import builtins
import importlib
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

_WATCHED = {
    "_pytest": "fixtures main nodes outcomes python raises reports runner skipping unittest",
    "pluggy": "_callers _hooks _manager _result",
    "halo_core.sandbox": "guest serving values",
    "halo_verifier_pytest": "guard guest running warm",
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
"""Events of which a sample has no honest need and which lead to who judges, or let code pass for a library's."""
_IMPORTER = "<frozen importlib"
_WALKERS = frozenset({"inspect", "logging"})
"""Libraries that hand frames on to whoever asks."""


def watch() -> Callable[[], bool]:
    """Return a function that tells whether everything that judges is still what it is now."""
    spaces: list[Mapping[str, Any]] = [vars(builtins)]
    for name in [f"{package}.{part}" for package, parts in _WATCHED.items() for part in parts.split()]:
        space = vars(importlib.import_module(name))
        kinds = [each for each in space.values() if isinstance(each, type) and each.__module__ == name]
        spaces += [space, *map(vars, kinds)]
    held = [(space, _replaceable(space)) for space in spaces]
    missing = object()

    def intact() -> bool:
        return all(space.get(key, missing) is value for space, items in held for key, value in items)

    return intact


def _replaceable(space: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, value) for key, value in space.items() if isinstance(value, _REPLACEABLE)]


def close_ways() -> None:
    """From now on refuse to whoever is not a library what leads to the frames of those who judge. For good."""
    trusted = {id(vars(module)) for name, module in sys.modules.items() if name not in _WALKERS}
    sys.addaudithook(_hook(trusted))


def _hook(trusted: set[int]) -> Callable[[str, tuple[Any, ...]], None]:
    getframe, busy = sys._getframe, False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        if event.startswith("object.__"):
            wanted = args[1] in (_FRAMES if event == "object.__getattr__" else _CODE)
        else:
            wanted = event.startswith(_REFUSED)
        if not wanted:
            return
        busy = True
        caller = getframe(1)
        busy = False
        place = caller.f_code.co_filename
        library = id(caller.f_globals) in trusted and not place.startswith("<")
        honest = event == "compile" and str(args[1]).startswith(("<", "b'<"))  # claims to be nobody else's
        if not (library or honest or place.startswith(_IMPORTER)):
            raise RuntimeError(f"{event} is not to be had beside the tests")

    return hook
