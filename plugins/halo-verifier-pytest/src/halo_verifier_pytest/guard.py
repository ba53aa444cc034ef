"""What can be done against a sample that shares its process with the tests.

Everything in one process can be reached in the end, and an object that lies about equality needs to reach nothing. So
a verdict from such a process says `shared-process`. But the ways that are known to work are closed: what judges is
watched for replacement, and neither frames nor the garbage collector lead to it.
"""

from __future__ import annotations

import builtins
import gc
import sys
import types
from collections.abc import Callable, Mapping
from typing import Any

_WATCHED = (
    "_pytest",
    "pluggy",
    "pytest",
    "unittest.case",
    "halo_core.sandbox",
    "halo_verifier_pytest",
    "hmac",
)
_LEADS_TO_FRAMES = frozenset(
    {"tb_frame", "gi_frame", "cr_frame", "ag_frame", "__code__", "gi_code", "cr_code", "ag_code"}
)
_REFUSED = (
    "gc.",
    "ctypes.",
    "sys._current_",
    "sys.settrace",
    "sys.setprofile",
    "sys.addaudithook",
    "code.__new__",
)
_IMPORTER = "<frozen importlib"
_WALKERS = frozenset({"inspect", "logging"})


def watch() -> Callable[[], bool]:
    """Return a function that tells whether everything that judges is still what it is now."""
    spaces: list[Mapping[str, Any]] = [vars(builtins)]
    for name, module in list(sys.modules.items()):
        if module is not None and name.startswith(_WATCHED):
            spaces.append(vars(module))
            spaces += [vars(kind) for kind in vars(module).values() if isinstance(kind, type)]
    kinds = (
        types.FunctionType,
        types.BuiltinFunctionType,
        types.MethodType,
        type,
        staticmethod,
        classmethod,
        property,
    )
    held = [(space, [(k, v) for k, v in space.items() if isinstance(v, kinds)]) for space in spaces]
    missing = object()

    def intact() -> bool:
        for space, items in held:
            for key, value in items:
                if space.get(key, missing) is not value:
                    return False
        return True

    return intact


def close_ways() -> None:
    """From now on refuse to whoever is not a library what leads to the frames of those who judge. For good."""
    trusted = {id(vars(module)) for name, module in sys.modules.items() if name not in _WALKERS}
    gc.collect()
    sys.addaudithook(_hook(trusted))


def _hook(trusted: set[int]) -> Callable[[str, tuple[Any, ...]], None]:
    getframe, busy = sys._getframe, False

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal busy
        if busy:
            return
        frames = event == "sys._getframe" or (event.startswith("object.__") and args[1] in _LEADS_TO_FRAMES)
        disguise = event in ("compile", "marshal.loads")
        if not (frames or disguise or event.startswith(_REFUSED)):
            return
        busy = True
        caller = getframe(1)
        busy = False
        place = caller.f_code.co_filename
        library = id(caller.f_globals) in trusted and not place.startswith("<")
        if event == "compile" and str(args[1]).startswith(("<", "b'<")):  # claims to be nobody else's
            return
        refused = not library and not (disguise and place.startswith(_IMPORTER))
        if refused:
            raise RuntimeError(f"{event} is not to be had beside the tests")

    return hook
