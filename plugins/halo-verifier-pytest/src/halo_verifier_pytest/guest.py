"""What runs in the sample's process: reads the program, executes it, calls its functions by value.

The text of this module is sent into the confined process and executed there; it uses nothing but the standard
library. It holds no expected value and no test. The sample shares its process and may change anything here, which
gains it nothing that its answers would not.
"""

from __future__ import annotations

import ast
import opcode
import random
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

PARSED, INVALID, FLAWED = "parsed", "invalid", "flawed"
NAME = "<solution>"
_UNREADABLE = (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError)
_ITEMS = 100_000

_text = ""
_code: types.CodeType | None = None
_module = type(sys)("solution")


def serve(what: str, *rest: Any) -> Any:
    """Do one of the three things that are asked, in this order: parse, execute, call."""
    functions: dict[str, Callable[..., object]] = {"parse": _parse, "execute": _execute, "call": _call}
    return functions[what](*rest)


def _parse(readings: Sequence[str], names: Sequence[str], forbidden: Sequence[str]) -> tuple[str, str]:
    """Settle on the first reading that is Python; say how far it is well-formed."""
    global _text, _code
    problem = ""
    for text in readings:
        try:
            code = compile(text, NAME, "exec", dont_inherit=True)
        except _UNREADABLE as error:
            problem = problem or f"{type(error).__name__}: {error}"
            continue
        missing = [name for name in names if name not in set(_stored(code))]
        used = sorted(set(forbidden) & set(_mentioned(ast.parse(text)))) if forbidden else []
        if missing or used:
            return (
                FLAWED,
                f"does not define {missing[0]}" if missing else f"uses {used[0]}, which is forbidden",
            )
        _text, _code = text, code
        return PARSED, ""
    return INVALID, problem[:200]


def is_stub(names: Sequence[str]) -> bool:
    """Whether the functions that were asked for have nothing in them but `pass`, `...` and texts."""
    asked = [
        node for node in ast.parse(_text).body if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    return bool(asked) and not any(map(_does_something, (part for node in asked for part in node.body)))


def _does_something(node: ast.stmt) -> bool:
    """Whether a statement is anything but `pass`, a text, and returning None."""
    value = getattr(node, "value", None)
    text = isinstance(node, ast.Expr) and isinstance(value, ast.Constant)
    nothing = isinstance(node, ast.Return) and (value is None or getattr(value, "value", 0) is None)
    return not (isinstance(node, ast.Pass) or text or nothing)


def _stored(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a program binds at its left margin, read off its bytecode: that is quicker than a tree."""
    high = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        index = argument | high
        high = index << 8 if operation == opcode.EXTENDED_ARG else 0
        if operation == opcode.opmap["STORE_NAME"]:
            yield code.co_names[index]


def _mentioned(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.Import):
            yield from (part for alias in node.names for part in alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "").split(".")
            yield from (alias.name for alias in node.names)


def _execute(seconds: float) -> None:
    """Execute the program as a module named `solution`."""
    if _code is None:
        raise ImportError("there is nothing to execute")
    random.seed(0)  # the same program gets the same verdict
    _allow(seconds)
    sys.modules["solution"] = _module
    exec(_code, _module.__dict__)


def _call(
    name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], seconds: float, loose: bool
) -> object:
    """Call a function, or a method of a new instance. With `loose` return (kind, value), see `_loosen`."""
    _allow(seconds)
    owner, _, method = name.partition(".")
    function = getattr(_module, owner)
    if method:
        function = getattr(function(), method)
    result = function(*arguments, **keywords)
    return _loosen(result) if loose else result


def _allow(seconds: float) -> None:
    """Have the kernel end this process, in the middle of C code too, once it has used this much more CPU time."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def _loosen(value: Any) -> tuple[str, object]:
    """Return a value as plain data for a test that compares it by `==` itself, and what kind of thing it was.

    A `Counter` is equal to a dictionary and a named tuple to a tuple, so they may stand for them. What can be gone
    through only once is sent as a list of its items.
    """
    if hasattr(value, "__next__"):
        return "iterator", [_plain(item) for item, _ in zip(value, range(_ITEMS), strict=False)]
    return "value", _plain(value)


def _plain(value: Any) -> object:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int) and type(value) is not bool:
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    for collection in (list, tuple, set, frozenset):
        if isinstance(value, collection):
            return collection(map(_plain, value))
    return value
