"""The sample's half of tests in another process: operations that the tests perform on the sample's objects.

The sources of `class_names`, `containers`, `crossing`, `sample_runner` and this module are executed in one namespace
in the sample's process. No other module imports this one.
"""

from __future__ import annotations

import operator
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from typing import Any

    from halo_verifier_pytest.class_names import names_of, text_of
    from halo_verifier_pytest.containers import draw
    from halo_verifier_pytest.crossing import Crossing, NotByValueError
    from halo_verifier_pytest.sample_runner import _limit_cpu, serve

_guest: Any = sys.modules.get("halo_core.sandbox.guest")
_depth = 0


def serve_remote(command: str, *arguments: Any) -> Any:
    """Run `do`, an operation for the tests, or one of the commands of `serve`."""
    return _do(*arguments) if command == "do" else serve(command, *arguments)


def _do(seconds: float, operation: str, *message: Any) -> tuple[Any, ...]:
    """Perform an operation and return its result, or the exception that it raised, packed."""
    global _depth
    if not _depth:
        _limit_cpu(seconds)
    _depth += 1
    try:
        arguments, keywords = _crossing.unpack(message)
        result = _OPERATIONS[operation](*arguments, **keywords)
        del arguments, keywords, message
        return "value", *_crossing.pack(result)
    except NotByValueError as error:
        return "raised", ["NotPlainError"], str(error), *_crossing.pack(None)
    except BaseException as error:
        return _raised(error)
    finally:
        _depth -= 1


def _raised(error: BaseException) -> tuple[Any, ...]:
    names, text = names_of(type(error)), text_of(error)
    try:
        return "raised", names, text, *_crossing.pack(tuple(error.args))
    except BaseException:
        return "raised", names, text, *_crossing.pack(None)


def _find(name: str) -> Any:
    """Return an entry: an object of the module, or a method of a new instance of a class."""
    module = sys.modules["solution"]
    owner, _, method = name.partition(".")
    found = getattr(module, owner)
    return getattr(found(), method) if method else found


def _next(values: Iterator[Any], count: int) -> tuple[Any, ...]:
    """Return up to `count` items, True if more may follow, and the exception that ended the iterator early."""
    items, end = draw(values, count)
    if end is None or isinstance(end, StopIteration):
        return items, end is None, None
    return items, False, (names_of(type(end)), text_of(end))


def _await(value: Awaitable[Any]) -> Any:
    """Return the result of a coroutine of the program, which runs to its end in an event loop of its own."""
    import asyncio

    async def result() -> Any:
        return await value

    return asyncio.run(result())


def _ask(operation: str, *arguments: Any, **keywords: Any) -> Any:
    """Perform an operation on an object of the tests; serve the operations that the tests perform meanwhile."""
    _guest.send(_guest.values.encode((None, ("back", operation, *_crossing.pack((arguments, keywords))))))
    while True:
        received = _guest.receive()
        if received is None:
            os._exit(1)
        command, *rest = received
        if command == "do":
            _guest.send(_guest.values.encode((None, _do(*rest))))
        elif rest[0] == "value":
            return _crossing.unpack(rest[1:])
        else:
            _, names, text, *message = rest
            raise _rebuilt(names, text, _crossing.unpack(message))


def _rebuilt(names: list[str], text: str, arguments: Any) -> BaseException:
    import builtins

    kinds = (getattr(builtins, name.removeprefix("builtins."), None) for name in names)
    kind = next(each for each in kinds if isinstance(each, type) and issubclass(each, BaseException))
    error = kind.__new__(kind)
    error.args = arguments if isinstance(arguments, tuple) else (text,)
    return error


def _stand_in(sort: str, number: int, label: Any) -> Any:
    """Return the stand-in for a function or an iterator of the tests, or the entry called `label`."""
    if sort == "entry":
        return _find(label)
    if sort == "iterator":
        return _iterate(number)

    def call(*arguments: Any, **keywords: Any) -> Any:
        return _ask("call", call, *arguments, **keywords)

    call.__name__ = call.__qualname__ = label
    call.__module__ = "tests"
    return call


def _iterate(number: int) -> Iterator[Any]:
    while True:
        items, more, _ = _ask("next", _crossing.their(number), 1)
        yield from items
        if not more:
            return


_OPERATORS = (
    "getitem setitem delitem contains eq ne lt le gt ge add sub mul matmul truediv floordiv mod pow and_ or_ xor "
    "lshift rshift neg pos invert"
)
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "entry": lambda name, *arguments, **keywords: _find(name)(*arguments, **keywords),
    "find": _find,
    "next": _next,
    "await": _await,
    "call": lambda function, *arguments, **keywords: function(*arguments, **keywords),
    "getattr": getattr, "setattr": setattr, "delattr": delattr,
    "len": len, "iter": iter, "bool": bool, "str": str, "repr": repr, "hash": hash, "reversed": reversed,
    "abs": abs, "int": int, "float": float, "round": round,
    "enter": lambda value: value.__enter__(), "exit": lambda value: value.__exit__(None, None, None),
    **{name: getattr(operator, name) for name in _OPERATORS.split()},
}  # fmt: skip
_crossing = Crossing(-1, _stand_in)
