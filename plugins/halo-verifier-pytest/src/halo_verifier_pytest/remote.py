"""Stand-ins, in the tests' process, for objects of a sample that runs in another process.

Comparisons and arithmetic with a value of the tests are never left to an object of the sample, which could answer what
the test wants, unless the tests made the object by a class that the task asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

_PREDICATES = frozenset(
    {"startswith", "endswith", "issubset", "issuperset", "isdisjoint"}
    | {name for kind in (str, bytes, float, set) for name in dir(kind) if name.startswith("is")}
)
"""Methods of plain data that decide something; the sample must not replace them where a test expects plain data."""


class _Link(Protocol):
    """Connection to the sample, as far as a stand-in needs it."""

    allows_objects: bool
    used_objects: bool

    def do(self, operation: str, *arguments: Any, **keywords: Any) -> Any: ...


class Remote:
    """Stand-in for an object of the sample."""

    __slots__ = ("_halo_label", "_halo_link", "_halo_made", "_halo_makes")

    def __init__(self, link: _Link, label: str) -> None:
        object.__setattr__(self, "_halo_link", link)
        object.__setattr__(self, "_halo_label", label)
        object.__setattr__(self, "_halo_makes", False)  # it is a class that the task asks for
        object.__setattr__(self, "_halo_made", False)  # the tests made it by such a class

    def __getattr__(self, name: str) -> Any:
        link: _Link = self._halo_link
        if name.startswith(("__", "_pytest")) or (name in _PREDICATES and not link.allows_objects):
            raise AttributeError(f"{self._halo_label!r} object has no attribute {name!r}")
        return link.do("getattr", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._halo_link.do("setattr", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._halo_link.do("delattr", self, name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Call the sample's object."""
        result = self._halo_link.do("call", self, *arguments, **keywords)
        return _made(result) if self._halo_makes else result

    def __exit__(self, *_: object) -> Any:
        return self._halo_link.do("exit", self)

    def __eq__(self, other: object) -> Any:
        return self is other or _compare("eq", self, other, False)

    def __ne__(self, other: object) -> Any:
        return self is not other and _compare("ne", self, other, True)

    def __hash__(self) -> int:
        return (
            int(self._halo_link.do("hash", self)) if self._halo_link.allows_objects else object.__hash__(self)
        )

    def __repr__(self) -> str:
        return f"<{self._halo_label} object of the program>"


def _made(value: Any) -> Any:
    if isinstance(value, Remote):
        object.__setattr__(value, "_halo_made", True)
    return value


def _may_use(one: Remote, others: Sequence[object]) -> bool:
    """Return True if the program may decide on an operation with `others`.

    It may with objects of its own, and with others only if the tests made `one` themselves: an object where a test
    expects plain data could be equal to everything.
    """
    link: _Link = one._halo_link
    allowed = link.allows_objects and (one._halo_made or all(isinstance(each, Remote) for each in others))
    link.used_objects = link.used_objects or allowed
    return allowed


def _compare(operation: str, one: Remote, other: object, default: bool) -> Any:
    """Compare objects by the program's rules; objects that must not be compared so are distinct."""
    return one._halo_link.do(operation, one, other) if _may_use(one, [other]) else default


def _forward(name: str, operation: str) -> Any:
    """Return a method that the sample's object performs: it tells what the object contains."""

    def method(self: Remote, *arguments: Any) -> Any:
        return self._halo_link.do(operation, self, *arguments)

    method.__name__ = name
    return method


def _operate(name: str, operation: str, *, swap: bool = False) -> Any:
    """Return a method for an operator, which only objects of a class that the task asks for have."""

    def method(self: Remote, *arguments: Any) -> Any:
        if not _may_use(self, arguments):
            return NotImplemented
        return _made(self._halo_link.do(operation, *((*arguments, self) if swap else (self, *arguments))))

    method.__name__ = name
    return method


for _name in ["len", "iter", "bool", "str", "getitem", "setitem", "delitem", "reversed", "enter"]:
    setattr(Remote, f"__{_name}__", _forward(f"__{_name}__", _name))
for _name in ["lt", "le", "gt", "ge", "neg", "pos", "invert"]:
    setattr(Remote, f"__{_name}__", _operate(f"__{_name}__", _name))
for _name in [
    "add",
    "sub",
    "mul",
    "matmul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "and_",
    "or_",
    "xor",
    "lshift",
    "rshift",
]:
    _bare = _name.rstrip("_")
    setattr(Remote, f"__{_bare}__", _operate(f"__{_bare}__", _name))
    setattr(Remote, f"__r{_bare}__", _operate(f"__r{_bare}__", _name, swap=True))
