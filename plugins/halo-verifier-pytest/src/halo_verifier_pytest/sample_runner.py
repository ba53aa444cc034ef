"""Sample runner: parses the sample, executes it, calls its functions by value.

The source of this module is sent to the confined process and executed there; it uses the standard library only.
It contains no expected value and no test. The sample shares its process and can change anything here, but gains
nothing that it could not gain by its return values.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import opcode
import random
import signal
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

if __name__ != "solution":  # in the sample's process all sources share one namespace
    from halo_verifier_pytest.class_names import names_of, text_of

PARSED, INVALID, FLAWED = "parsed", "invalid", "flawed"
NAME = "<solution>"
_SYNTAX_ERRORS = (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError)
_STORE_NAME, _LOAD_NAME, _LOAD_GLOBAL = map(
    opcode.opmap.__getitem__, ("STORE_NAME", "LOAD_NAME", "LOAD_GLOBAL")
)
_GLOBAL_SHIFT = 1 if sys.version_info >= (3, 11) else 0
_BUILTINS = {*dir(builtins), "__file__", "__path__"}

_text = ""
_code: types.CodeType | None = None
_module = type(sys)("solution")


def serve(command: str, *arguments: Any) -> Any:
    """Run one of the commands `parse`, `execute` and `call`, which must come in this order."""
    commands: dict[str, Callable[..., object]] = {"parse": _parse, "execute": _execute, "call": _call}
    return commands[command](*arguments)


def _parse(candidates: Sequence[str], names: Sequence[str], forbidden: Sequence[str]) -> tuple[str, str]:
    """Select a candidate that is valid Python; return the outcome of its checks and the problem.

    The first one that defines `names` counts, unless it uses names that it does not define and a later one, which
    contains it, defines them.
    """
    global _text, _code
    problem = ""
    chosen: tuple[int, str, types.CodeType] | None = None
    for text in candidates:
        try:
            code = compile(text, NAME, "exec", dont_inherit=True)
        except _SYNTAX_ERRORS as error:
            problem = problem or f"{type(error).__name__}: {error}"
            continue
        stored = set(_stored(code))
        missing = [name for name in names if name not in stored]
        if any(f"def {name}(" in text or f"class {name}" in text for name in missing):
            chosen = chosen or (2, text, code)  # its definition is never reached, as after an endless loop
            break
        faults = 2 if missing else int(" import *" not in text and bool(_used(code) - stored - _BUILTINS))
        if chosen is None or (faults < chosen[0] and (chosen[0] == 2 or chosen[1].strip() in text)):
            chosen = faults, text, code
        if not faults:
            break
    if chosen is None:
        return INVALID, problem[:200]
    faults, text, code = chosen
    stored = set(_stored(code))
    missing_names = [name for name in names if name not in stored]
    used = sorted(set(forbidden) & set(_mentioned(ast.parse(text)))) if forbidden else []
    if missing_names or used:
        return (
            FLAWED,
            f"does not define {missing_names[0]}" if missing_names else f"uses {used[0]}, which is forbidden",
        )
    _text, _code = text, _without_undefined_annotations(text, code) if faults else code
    return PARSED, ""


def _without_undefined_annotations(text: str, code: types.CodeType) -> types.CodeType:
    """Return the program's code; annotations are not evaluated if only they use names that it does not define.

    Python 3.14 never evaluates them by itself, and graders for programs that start from a signature, such as
    `def two_sum(self, nums: List[int])`, import what it names.
    """
    undefined = _used(code) - set(_stored(code)) - _BUILTINS
    lazy = compile(text, NAME, "exec", __future__.annotations.compiler_flag, dont_inherit=True)
    return lazy if undefined - _used(lazy) else code


def is_stub(names: Sequence[str]) -> bool:
    """Return True if the requested functions contain only `pass`, `...`, string literals and returns of None."""
    requested = [
        node for node in ast.parse(_text).body if isinstance(node, ast.FunctionDef) and node.name in names
    ]
    return bool(requested) and not any(
        map(_does_something, (part for node in requested for part in node.body))
    )


def _does_something(node: ast.stmt) -> bool:
    """Return True unless a statement is `pass`, a constant or a return of None."""
    value = getattr(node, "value", None)
    constant = isinstance(node, ast.Expr) and isinstance(value, ast.Constant)
    nothing = isinstance(node, ast.Return) and (value is None or getattr(value, "value", 0) is None)
    return not (isinstance(node, ast.Pass) or constant or nothing)


def _stored(code: types.CodeType) -> Iterator[str]:
    """Yield the names that a program binds at module level, read from its bytecode, which is faster than its AST."""
    for operation, index in _operations(code):
        if operation == _STORE_NAME:
            yield code.co_names[index]


def _used(code: types.CodeType) -> set[str]:
    """Return the global names that a program reads, in its functions too."""
    names = set()
    for operation, index in _operations(code):
        if operation == _LOAD_NAME:
            names.add(code.co_names[index])
        elif operation == _LOAD_GLOBAL:
            names.add(code.co_names[index >> _GLOBAL_SHIFT])
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            names |= _used(constant)
    return names


def _operations(code: types.CodeType) -> Iterator[tuple[int, int]]:
    """Yield each operation of the bytecode and its argument."""
    high = 0
    for operation, argument in zip(code.co_code[::2], code.co_code[1::2], strict=True):
        index = argument | high
        high = index << 8 if operation == opcode.EXTENDED_ARG else 0
        yield operation, index


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
        raise ImportError("no program has been parsed")
    random.seed(0)  # the same program gets the same verdict
    _limit_cpu(seconds)
    sys.modules["solution"] = _module
    exec(_code, _module.__dict__)


def _call(
    name: str, arguments: Sequence[Any], keywords: Mapping[str, Any], seconds: float
) -> tuple[object, ...]:
    """Call a function, or a method of a new instance.

    Return `value` and the result, or `raised`, the names of the exception's class and its bases, and its text.
    """
    _limit_cpu(seconds)
    try:
        owner, _, method = name.partition(".")
        function = getattr(_module, owner)
        if method:
            function = getattr(function(), method)
        return "value", function(*arguments, **keywords)
    except BaseException as error:
        return "raised", names_of(type(error)), text_of(error)


def _limit_cpu(seconds: float) -> None:
    """Make the kernel end this process, even during C code, after this much more CPU time; 0 sets no limit."""
    signal.setitimer(signal.ITIMER_PROF, seconds)
