"""Values that cross between the tests and a sample in another process, as if both shared one process.

Each side holds a `Crossing`. Plain data crosses by value, but lists, dictionaries and other mutable containers keep
their identity: each has a number that both sides know, and every message has the contents of the containers that
changed since the last one. So a function that sorts its argument, or a result whose rows are one and the same list,
is what it would be in one process. Values of the standard library (a range, a Decimal, a deque) are rebuilt; its
functions and types cross by name; functions, iterators, coroutines and other objects cross as a reference to their
owner.

The source of this module is also executed in the sample's process; it uses the standard library only. Nothing that
the other side sends is executed or trusted: bytes that a sample forges can only build the values listed here.
"""

from __future__ import annotations

import collections
import operator
import sys
import types

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Message = tuple[Any, list[Any], list[int]]

if __name__ != "solution":  # in the sample's process all sources share one namespace
    from halo_verifier_pytest.class_names import look_up, named, names_of
    from halo_verifier_pytest.containers import (
        ATOMS,
        BASES,
        DESCRIPTORS,
        FUNCTIONS,
        KINDS,
        MUTABLE,
        PLAIN,
        RICH,
        RICH_KINDS,
        SINGLE,
        VIEWS,
        ForgedError,
        check_collisions,
        items_of,
        kind_of,
        make_view,
    )

_MAX_DEPTH = 40


class NotByValueError(BaseException):
    """A value cannot cross. Not an `Exception`, so that tests do not handle it as one."""


class Crossing:
    """One side's half: packs values into messages of plain data, and unpacks messages.

    `sign` is 1 in the tests' process and -1 in the sample's. `stand_in` returns the local stand-in for an object of
    the other side, from its sort, its number and its label. The tests' side packs only what crosses exactly; the
    sample's side packs instances of subclasses as their base type, and any other object by reference.
    """

    def __init__(
        self, sign: int, stand_in: Callable[[str, int, Any], Any], *, write_back: bool = True
    ) -> None:
        self._sign, self._stand_in, self._write_back = sign, stand_in, write_back
        self._exact = sign > 0
        self._count = 0
        self._shared: dict[int, Any] = {}
        """Containers that both sides know, by number."""
        self._numbers: dict[int, int] = {}
        """Numbers of these containers, by id."""
        self._known: dict[int, list[Any]] = {}
        """Items of these containers when they last crossed."""
        self._mine: dict[int, Any] = {}
        """Objects that the other side refers to, by number."""
        self._theirs: dict[int, Any] = {}
        """Stand-ins for objects of the other side, by number."""
        self._by_id: dict[int, tuple[str, Any]] = {}
        """Packed form of the objects in `_mine` and `_theirs` and of named stand-ins, by id."""
        self._named: list[object] = []
        self._queue: list[int] = []

    def name(self, stand_in: object, name: str) -> None:
        """Pack `stand_in` as the other side's object called `name`."""
        self._by_id[id(stand_in)] = "entry", name
        self._named.append(stand_in)

    def their(self, number: int) -> Any:
        """Return the stand-in for the other side's object with this number."""
        return self._theirs[number]

    def pack(self, value: object) -> Message:
        """Return the message for `value`; raise `NotByValueError` if it cannot cross."""
        self._queue = [number for number in self._shared if self._has_changed(number)]
        tree = self._tree(value, 0)
        heap: list[Any] = []
        sent: set[int] = set()
        while self._queue:
            number = self._queue.pop()
            if number not in sent:
                sent.add(number)
                heap.append(self._contents(number))
        forgotten = [number for number in list(self._shared) if self._is_unused(number)]
        for number in forgotten:
            self._forget(number)
        return tree, heap, forgotten

    def unpack(self, message: Any) -> Any:
        """Return the value of a message; raise `ForgedError` if it is malformed."""
        try:
            tree, heap, forgotten = message
            for number, kind, extra, _ in heap:
                if number not in self._shared:
                    self._add(number, self._empty(kind, extra))
            for number, kind, _, items in heap:
                self._fill(self._shared[number], kind, items)
                self._known[number] = items_of(self._shared[number])
            value = self._value(tree)
            for number in forgotten:
                self._forget(number)
            return value
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError) as error:
            raise ForgedError(str(error)) from None

    def _is_unused(self, number: int) -> bool:
        return sys.getrefcount(self._shared[number]) <= 2

    def _forget(self, number: int) -> None:
        value = self._shared.pop(number, None)
        if value is not None:
            self._numbers.pop(id(value), None)
            self._known.pop(number, None)

    def _add(self, number: int, value: Any) -> None:
        self._shared[number] = value
        self._numbers[id(value)] = number
        self._known[number] = []

    def _has_changed(self, number: int) -> bool:
        known, now = self._known[number], items_of(self._shared[number])
        return len(known) != len(now) or not all(map(operator.is_, known, now))

    # Values to trees

    def _tree(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in ATOMS:
            return value
        if depth > _MAX_DEPTH:
            raise NotByValueError("nested too deeply")
        if kind is tuple or kind is frozenset:
            return kind.__name__, [self._tree(item, depth + 1) for item in value]
        if kind in KINDS:
            return "shared", self._number(value)
        if kind in RICH_KINDS:
            name = RICH_KINDS[kind]
            return "rich", name, [self._tree(item, depth + 1) for item in RICH[name][1](value)]
        if kind in VIEWS:
            return "view", VIEWS[kind], [self._tree(item, depth + 1) for item in value]
        if (packed := self._by_id.get(id(value))) is not None:
            return packed
        for name, single in SINGLE.items():
            if value is single:
                return "single", name
        if isinstance(value, type | types.BuiltinFunctionType | types.FunctionType | DESCRIPTORS) and (
            known := named(value)
        ):
            return "name", *known
        return self._reference(value, depth)

    def _reference(self, value: Any, depth: int) -> Any:
        """Return the tree of an object that is neither data nor known by name."""
        if not self._exact:
            for base in (str, int, float, complex, bytes):
                if isinstance(value, base) and type(value) is not bool:
                    return PLAIN[base](value)
            for collection in (tuple, frozenset):
                if isinstance(value, collection):
                    return self._tree(collection(value), depth)
            if any(isinstance(value, MUTABLE[name]) for name in BASES):
                return "shared", self._number(value)
        if isinstance(value, FUNCTIONS) or (self._exact and isinstance(value, type)):
            return self._export(value, "function", getattr(value, "__name__", "function"))
        if hasattr(type(value), "__next__") and not (self._exact and hasattr(value, "read")):
            return self._export(value, "iterator", "")
        if self._exact:
            raise NotByValueError(f"a {type(value).__name__} is not plain data")
        if hasattr(type(value), "__await__"):
            return self._export(value, "coroutine", "")
        if isinstance(value, type) and issubclass(value, BaseException):
            return self._export(value, "exception", [value.__qualname__, names_of(value)])
        return self._export(value, "object", type(value).__name__)

    def _export(self, value: Any, sort: str, label: Any) -> Any:
        self._count += 1
        self._mine[self._count] = value
        self._by_id[id(value)] = "theirs", (self._count, sort, label)
        return self._by_id[id(value)]

    def _number(self, value: Any) -> int:
        number = self._numbers.get(id(value))
        if number is None:
            self._count += 1
            number = self._sign * self._count
            self._add(number, value)
            self._queue.append(number)
        return number

    def _contents(self, number: int) -> Any:
        value = self._shared[number]
        kind = kind_of(value)
        extra: Any = None
        if kind == "deque":
            extra = value.maxlen
        elif kind == "defaultdict":
            extra = self._tree(value.default_factory, 1)
        self._known[number] = items = items_of(value)
        if kind == "bytearray":
            return number, kind, extra, items
        return number, kind, extra, [self._tree(item, 1) for item in items]

    # Trees to values

    def _value(self, tree: Any) -> Any:
        if type(tree) is not tuple:
            if type(tree) in ATOMS:
                return tree
            raise ForgedError
        tag, *rest = tree
        if tag == "tuple":
            return tuple(map(self._value, rest[0]))
        if tag == "frozenset":
            items = list(map(self._value, rest[0]))
            check_collisions(items)
            return frozenset(items)
        if tag == "shared":
            return self._shared[rest[0]]
        if tag == "rich":
            return RICH[rest[0]][0](*map(self._value, rest[1]))
        if tag == "view":
            return make_view(rest[0], list(map(self._value, rest[1])))
        if tag == "single":
            return SINGLE[rest[0]]
        if tag == "name":
            return self._resolve(*rest)
        if tag == "yours":
            return self._mine[rest[0]]
        if tag == "entry":
            return self._stand_in("entry", 0, rest[0])
        if tag == "theirs":
            number, sort, label = rest[0]
            if number not in self._theirs:
                made = self._stand_in(sort, number, label)
                self._theirs[number] = made
                self._by_id[id(made)] = "yours", number
            return self._theirs[number]
        raise ForgedError

    def _resolve(self, module: str, name: str) -> Any:
        """Return a function or type of the standard library. The tests' side imports nothing for the sample."""
        if (
            self._exact is False
            and module not in sys.modules
            and module.partition(".")[0] in sys.stdlib_module_names
        ):
            __import__(module)
        value = look_up(module, name)
        if not isinstance(value, type | types.BuiltinFunctionType | types.FunctionType | DESCRIPTORS):
            raise ForgedError
        return value

    def _empty(self, kind: str, extra: Any) -> Any:
        if kind == "deque":
            return collections.deque(maxlen=extra)
        if kind == "defaultdict":
            return collections.defaultdict(self._value(extra))
        return MUTABLE[kind]()

    def _fill(self, value: Any, kind: str, items: list[Any]) -> None:
        if kind_of(value) != kind:
            raise ForgedError
        if kind == "bytearray":
            value[:] = items[0]
            return
        new = list(map(self._value, items))
        if kind in ("list", "deque"):
            base = MUTABLE[kind]
            base.clear(value)  # type: ignore[attr-defined]
            base.extend(value, new)  # type: ignore[attr-defined]
        elif kind == "set":
            check_collisions(new)
            set.clear(value)
            set.update(value, new)
        else:
            keys, base = new[::2], MUTABLE[kind]
            check_collisions(keys)
            base.clear(value)  # type: ignore[attr-defined]
            for key, item in zip(keys, new[1::2], strict=True):
                base.__setitem__(value, key, item)  # type: ignore[index]
