"""Names of Python's own classes and functions, which exceptions and values cross by.

The source of this module is also executed in the sample's process; it uses the standard library only.
"""

from __future__ import annotations

import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MAX_TEXT = 2000
_TYPES = {
    each.__qualname__: each
    for each in vars(types).values()
    if isinstance(each, type) and each.__module__ == "builtins"
}
"""Python's own types that `builtins` does not have."""


def look_up(module: str, name: str) -> Any:
    """Return an attribute of a loaded module of the standard library; raise `LookupError` if there is none."""
    found: Any = sys.modules.get(module)
    if found is None or module.partition(".")[0] not in sys.stdlib_module_names:
        raise LookupError(module)
    if module == "builtins" and name in _TYPES:
        return _TYPES[name]
    for part in name.split("."):
        if not isinstance(found, types.ModuleType | type):
            raise LookupError(name)
        found = getattr(found, part)
    return found


def named(value: Any) -> tuple[str, str] | None:
    """Return module and name of a function or type of the standard library; None for any other."""
    owner = getattr(value, "__objclass__", value)
    module, name = getattr(owner, "__module__", None), getattr(value, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        return None
    try:
        return (module, name) if look_up(module, name) is value else None
    except (LookupError, AttributeError):
        return None


def names_of(kind: type) -> list[str]:
    """Return the names of an exception's class and its bases, as `.name` unless the class is Python's own."""
    found = []
    for each in type.mro(kind)[:30]:
        known = named(each)
        found.append(".".join(known) if known else f".{each.__qualname__}")
    return found


def text_of(error: BaseException) -> str:
    """Return the beginning of an exception's text, or "" if its `__str__` fails."""
    try:
        return str.__str__(str(error))[:_MAX_TEXT]
    except BaseException:
        return ""
