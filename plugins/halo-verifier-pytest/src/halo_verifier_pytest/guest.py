"""What runs in the sample's process: reads the program, executes it, calls its functions by value.

The text of this module is sent into the confined process and executed there; it uses nothing but the standard
library. It holds no expected value and no test. The sample shares its process and may change anything here, which
gains it nothing that its answers would not.
"""

from __future__ import annotations

import ast
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

_tree: ast.Module | None = None
_code: types.CodeType | None = None
_module = type(sys)("solution")


def serve(what: str, *rest: Any) -> Any:
    """Do one of the three things that are asked, in this order: parse, execute, call."""
    functions: dict[str, Callable[..., object]] = {"parse": _parse, "execute": _execute, "call": _call}
    return functions[what](*rest)


def _parse(readings: Sequence[str], names: Sequence[str], forbidden: Sequence[str]) -> tuple[str, str]:
    """Settle on the first reading that is Python and defines the names; say how far it is well-formed."""
    global _tree, _code
    problem, best = "no program in it", None
    for text in readings:
        try:
            tree = ast.parse(text, NAME)
            code = compile(tree, NAME, "exec")
        except _UNREADABLE as error:
            problem = problem if "line" in problem else f"{type(error).__name__}: {error}"
            continue
        missing = [name for name in names if name not in set(_defined(tree.body))]
        if not missing:
            _tree, _code = tree, code
            used = sorted(set(forbidden) & set(_mentioned(tree))) if forbidden else []
            return (FLAWED, f"uses {used[0]}, which is forbidden") if used else (PARSED, "")
        best = best or f"does not define {missing[0]}"
    return (FLAWED, best) if best else (INVALID, problem[:200])


def is_stub(names: Sequence[str]) -> bool:
    """Whether the functions that were asked for have nothing in them but `pass`, `...` and texts."""
    assert _tree is not None
    asked = [node for node in _tree.body if isinstance(node, ast.FunctionDef) and node.name in names]
    return bool(asked) and not any(map(_does_something, (part for node in asked for part in node.body)))


def _does_something(node: ast.stmt) -> bool:
    """Whether a statement is anything but `pass`, a text, and returning None."""
    value = getattr(node, "value", None)
    text = isinstance(node, ast.Expr) and isinstance(value, ast.Constant)
    nothing = isinstance(node, ast.Return) and (value is None or getattr(value, "value", 0) is None)
    return not (isinstance(node, ast.Pass) or text or nothing)


def _defined(body: Sequence[ast.stmt]) -> Iterator[str]:
    """Yield the names that statements at the left margin bind."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name))
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _defined([child for child in ast.walk(node) if isinstance(child, ast.stmt)][1:])


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
    assert _code is not None
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
