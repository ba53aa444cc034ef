"""The kinds of values that cross between the tests and a sample, and what is done with each.

The source of this module is also executed in the sample's process; it uses the standard library only.
"""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import fractions
import functools
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_MAX_COLLISIONS = 64
"""Maximum number of keys with one hash. More are an attack: each lookup would compare with all of them."""
ATOMS = frozenset({type(None), bool, int, float, complex, str, bytes})
MUTABLE: dict[str, type] = {
    "list": list, "dict": dict, "set": set, "bytearray": bytearray, "deque": collections.deque,
    "Counter": collections.Counter, "OrderedDict": collections.OrderedDict, "defaultdict": collections.defaultdict,
}  # fmt: skip
KINDS = {kind: name for name, kind in MUTABLE.items()}
BASES = ("list", "dict", "set", "deque")
RICH: dict[str, tuple[type, Callable[[Any], tuple[Any, ...]]]] = {
    "Decimal": (decimal.Decimal, lambda value: (str(value),)),
    "Fraction": (fractions.Fraction, lambda value: (value.numerator, value.denominator)),
    "range": (range, lambda value: (value.start, value.stop, value.step)),
    "slice": (slice, lambda value: (value.start, value.stop, value.step)),
    "timedelta": (datetime.timedelta, lambda value: (value.days, value.seconds, value.microseconds)),
    "timezone": (datetime.timezone, lambda value: (value.utcoffset(None),)),
    "date": (datetime.date, lambda value: (value.year, value.month, value.day)),
    "time": (
        datetime.time,
        lambda value: (value.hour, value.minute, value.second, value.microsecond, value.tzinfo),
    ),
    "datetime": (
        datetime.datetime,
        lambda value: (
            *(value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond),
            value.tzinfo,
        ),
    ),
}
RICH_KINDS = {kind: name for name, (kind, _) in RICH.items()}
VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
SINGLE = {"...": Ellipsis, "NotImplemented": NotImplemented}
FUNCTIONS = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
DESCRIPTORS = type(str.upper) | type(int.__add__)
PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: lambda value: int.__add__(value, 0),
    float: float.__float__,
    complex: lambda value: complex(value.real, value.imag),
    bytes: lambda value: bytes.__add__(value, b""),
}


class ForgedError(BaseException):
    """A message from the other side is malformed."""


def kind_of(value: Any) -> str:
    """Return the name of a container's type, or of its base if its type is a sample's own."""
    name = KINDS.get(type(value))
    return name or next(base for base in BASES if isinstance(value, MUTABLE[base]))


def items_of(value: Any) -> list[Any]:
    """Return the items of a container; keys and values alternate."""
    if isinstance(value, dict):
        pairs = value.items() if type(value) in KINDS else dict.items(value)
        return [part for pair in pairs for part in pair]
    if isinstance(value, list):
        return list.copy(value) if type(value) is list else list(list.__iter__(value))
    if isinstance(value, bytearray):
        return [bytes(value)]
    return list(type(value).__iter__(value))


def make_view(kind: str, items: list[Any]) -> Any:
    """Return a view of a dictionary with these keys, values or items."""
    if kind == "values":
        return dict(enumerate(items)).values()
    check_collisions(items if kind == "keys" else [key for key, _ in items])
    return dict.fromkeys(items).keys() if kind == "keys" else dict(items).items()


def check_collisions(keys: Iterable[object]) -> None:
    """Raise a `ForgedError` if too many keys have one hash."""
    hashes = sorted(map(hash, keys))
    if any(a == b for a, b in zip(hashes, hashes[_MAX_COLLISIONS:], strict=False)):
        raise ForgedError("too many keys with the same hash")


def copied(value: Any, copies: dict[int, Any] | None = None) -> Any:
    """Return a copy of a value and of all containers in it, as if it had crossed without an identity."""
    copies = {} if copies is None else copies
    kind = type(value)
    if kind is tuple:
        return tuple(copied(item, copies) for item in value)
    if kind not in KINDS:
        return value
    if id(value) not in copies:
        copies[id(value)] = new = copy.copy(value)
        if isinstance(value, list | collections.deque):
            new.clear()
            new.extend(copied(item, copies) for item in value)
        elif isinstance(value, dict):
            new.update({key: copied(item, copies) for key, item in value.items()})
    return copies[id(value)]


def draw(values: Iterator[Any], count: int) -> tuple[list[Any], BaseException | None]:
    """Return up to `count` items of an iterator, and what ended it."""
    items: list[Any] = []
    try:
        while len(items) < count:
            items.append(next(values))
    except BaseException as error:
        return items, error
    return items, None
