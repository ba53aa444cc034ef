"""What a prompt's reference asks for, in one of three forms.

values   `entry_point` and `tests`, each a call and what it should give: compared by exact type
asserts  `entry_point` and `test` as HumanEval has them, or `test_list` as MBPP has it: executed unchanged
files    `files`, the text of pytest files by name, that import the module `solution`

`solution` (or `canonical_solution`, or `code`) is a program known to be right.
"""

from __future__ import annotations

import ast
import builtins
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from halo_core.errors import DataError, did_you_mean
from halo_core.sandbox import NotPlainError, values
from halo_core.types import Prompt
from halo_verifier_pytest.source import context_of

Kind = Literal["values", "asserts", "files"]

HINT = 'expected {"entry_point": "add", "tests": [{"args": [3, 4], "expected": 7}, ...]}; see the README'
_SHARED = frozenset({"entry_point", "prompt", "solution", "canonical_solution", "code", "task_id"})
_KEYS: dict[Kind, frozenset[str]] = {
    "values": frozenset({"tests", "rtol", "atol"}),
    "asserts": frozenset({"test", "test_list", "test_setup_code", "test_imports", "challenge_test_list"}),
    "files": frozenset({"files", "module"}),
}
_TEST_KEYS = frozenset({"args", "kwargs", "call", "expected", "returns", "raises"})


@dataclass(frozen=True, slots=True)
class Case:
    """One call and what it should give."""

    name: str
    """Of the function, or `Class.method`."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    expected: object
    raises: str
    """Name of the exception that it should raise instead; empty when it should return."""


@dataclass(frozen=True, slots=True)
class Task:
    """A reference, read and checked."""

    kind: Kind
    entries: tuple[str, ...]
    """What the program must define: functions, or `Class.method`."""
    context: str
    """Code that an answer may go on with."""
    solution: str
    """A program known to be right; empty if the reference has none."""
    cases: tuple[Case, ...] = ()
    rtol: float = 0.0
    atol: float = 0.0
    setup: str = ""
    """Executed before the asserts."""
    asserts: tuple[str, ...] = ()
    check: bool = False
    """Whether the one assert defines `check(candidate)`."""
    files: tuple[tuple[str, str], ...] = ()
    """Names and texts."""
    module: str = "solution"

    @property
    def names(self) -> tuple[str, ...]:
        """What the program must define at its left margin."""
        return tuple(dict.fromkeys(entry.partition(".")[0] for entry in self.entries))


def read(prompt: Prompt) -> Task:
    """Return the task that `prompt` poses; raise a `DataError` that says what is wrong with it."""
    try:
        return _read(prompt)
    except (SyntaxError, ValueError, TypeError, NotPlainError) as error:
        raise DataError(f"prompt {prompt.id!r}: {error}", hint=HINT) from None


def _read(prompt: Prompt) -> Task:
    reference = prompt.reference
    forms = [kind for kind, keys in _KEYS.items() if keys & {*reference} - {"rtol", "atol", "module"}]
    if len(forms) != 1:
        raise ValueError(
            f"its reference holds {' and '.join(forms) or 'no tests'}: one form of tests is needed"
        )
    allowed = _SHARED | _KEYS[forms[0]]
    for key in reference.keys() - allowed:
        raise ValueError(f"unknown key {key!r} in reference; {did_you_mean(str(key), sorted(allowed))}")
    for key in ("entry_point", "prompt", "solution", "canonical_solution", "code", "test", "test_setup_code"):
        if not isinstance(reference.get(key, ""), str):
            raise TypeError(f"{key} must be text")
    make: Callable[[Mapping[str, Any]], dict[str, Any]]
    make = {"values": _values, "asserts": _asserts, "files": _files}[forms[0]]
    parts = make(reference)
    entries = parts.pop("entries")
    names = [entry.partition(".")[0] for entry in entries]
    shown = (
        reference.get("prompt") or prompt.text or (prompt.messages[-1]["content"] if prompt.messages else "")
    )
    context = context_of(shown, names) if names else ""
    solution = reference.get("solution") or reference.get("code") or ""
    if not solution and reference.get("canonical_solution"):
        solution = context + reference["canonical_solution"]
    return Task(kind=forms[0], entries=tuple(entries), context=context, solution=solution, **parts)


def as_files(task: Task) -> Task:
    """Return a task with asserts as one with a test file that executes each of them, unchanged."""
    if task.kind == "files":
        return task
    tests = [
        f"def test_{number + 1}():\n    exec({text!r}, globals())\n"
        for number, text in enumerate(task.asserts)
    ]
    if task.check:
        tests = [f"{task.asserts[0]}\n\ndef test_check():\n    check({task.entries[0]})\n"]
    imported = f"from {task.module} import {', '.join(task.entries)}"
    text = "\n\n".join([_if_whole(task.context), imported, task.setup, *tests])
    return replace(task, kind="files", files=(("test_asserts.py", text),))


def _if_whole(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError:
        return ""
    return code


def _values(reference: Mapping[str, Any]) -> dict[str, Any]:
    entry = reference.get("entry_point", "")
    tests = reference["tests"]
    if not isinstance(tests, list | tuple) or not tests:
        raise ValueError("tests must be a list with at least one test")
    cases = tuple(_case(test, entry, number) for number, test in enumerate(tests, 1))
    tolerance = {key: float(reference.get(key, 0.0)) for key in ("rtol", "atol")}
    if not all(0.0 <= value < math.inf for value in tolerance.values()):
        raise ValueError("rtol and atol must be numbers from 0")
    return {"cases": cases, "entries": list(dict.fromkeys(case.name for case in cases)), **tolerance}


def _case(test: object, entry: str, number: int) -> Case:
    if not isinstance(test, Mapping):
        raise TypeError(f"test {number} must be a mapping, not {type(test).__name__}")
    for key in test.keys() - _TEST_KEYS:
        raise ValueError(f"test {number}: unknown key {key!r}; {did_you_mean(str(key), sorted(_TEST_KEYS))}")
    if len(test.keys() & {"expected", "returns", "raises"}) != 1:
        raise ValueError(f"test {number}: needs one of expected, returns and raises")
    if "call" in test:
        name, args, kwargs = _call(str(test["call"]), number)
    else:
        name, args, kwargs = entry, test.get("args", []), test.get("kwargs", {})
    if not name:
        raise ValueError("no entry_point: which function is to be tested?")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        raise TypeError(f"test {number}: args must be a list and kwargs a mapping")
    expected = _literal(test["returns"], number) if "returns" in test else test.get("expected")
    if _holds_nan(expected):
        raise ValueError(f"test {number}: expects NaN, which no value is equal to")
    values.encode((tuple(args), dict(kwargs), expected))
    return Case(name, tuple(args), dict(kwargs), expected, str(test.get("raises", "")))


def _call(text: str, number: int) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Read a call such as `f((1, 2), key={3})`: all arguments literals."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        node = None
    if not isinstance(node, ast.Call) or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(f"test {number}: {text!r} is not a call")
    args = tuple(ast.literal_eval(argument) for argument in node.args)
    return ast.unparse(node.func), args, {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}


def _literal(text: object, number: int) -> object:
    try:
        return ast.literal_eval(str(text))
    except (ValueError, SyntaxError):
        raise ValueError(f"test {number}: {text!r} is not a Python literal") from None


def _holds_nan(value: object) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_nan(item) for pair in value.items() for item in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_holds_nan, value))
    return isinstance(value, float) and math.isnan(value)


def _asserts(reference: Mapping[str, Any]) -> dict[str, Any]:
    listed = reference.get("test_list")
    if (listed is None) == (reference.get("test") is None):
        raise ValueError("give either test or test_list")
    texts = (
        [reference["test"]] if listed is None else [*listed, *(reference.get("challenge_test_list") or ())]
    )
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ValueError("tests must be texts, at least one, and none of them empty")
    setup = "\n".join([*(reference.get("test_imports") or ()), reference.get("test_setup_code") or ""])
    trees = [ast.parse(text) for text in (*texts, setup)]
    check = listed is None and any(name == "check" for name in _bound(trees[0]))
    named = reference.get("entry_point", "")
    if check and not named:
        raise ValueError("no entry_point: which function is check to be given?")
    entries = [named] if named else _called(trees)
    if not entries:
        raise ValueError("no entry_point, and none of the asserts calls a function that it does not define")
    return {"setup": setup, "asserts": tuple(texts), "check": check, "entries": entries}


def _called(trees: list[ast.Module]) -> list[str]:
    """Return the functions that the asserts call and nobody but the program can define."""
    known = {*vars(builtins), *(name for tree in trees for name in _bound(tree))}
    calls = (node.func for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call))
    return list(dict.fromkeys(f.id for f in calls if isinstance(f, ast.Name) and f.id not in known))


def _bound(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _files(reference: Mapping[str, Any]) -> dict[str, Any]:
    files, module = reference["files"], reference.get("module", "solution")
    if not isinstance(files, Mapping) or not files or not all(isinstance(v, str) for v in files.values()):
        raise TypeError('files must be a mapping such as {"test_add.py": "def test_...": ...}')
    if not isinstance(module, str) or not module.isidentifier():
        raise ValueError(f"module must be a name, not {module!r}")
    for name, text in files.items():
        if not name.endswith(".py") or not name[:-3].isidentifier() or name == f"{module}.py":
            raise ValueError(
                f"{name!r} is not the name of a test file: names end in .py, without a directory"
            )
        ast.parse(text, name)
    tests = {
        name: text for name, text in files.items() if name.startswith("test_") or name.endswith("_test.py")
    }
    if not tests:
        raise ValueError("none of files is named test_*.py")
    entries = [reference["entry_point"]] if reference.get("entry_point") else _imported(files, module)
    return {"files": tuple(sorted(files.items())), "module": module, "entries": entries}


def _imported(files: Mapping[str, str], module: str) -> list[str]:
    """Return what the test files take from the module under test."""
    found: dict[str, None] = {}
    for text in files.values():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module == module:
                found |= {alias.name: None for alias in node.names if alias.name != "*"}
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name)
                and node.value.id == module
            ):
                found[node.attr] = None
    return list(found)
