"""Tasks: a prompt's reference, with tests in one of three forms.

values   `entry_point` and `tests`, each a call and its expected result, compared by exact type
asserts  `entry_point` and `test` as in HumanEval, or `test_list` as in MBPP, executed unchanged
files    `files`, the texts of pytest files by name, which import the module `solution`

`solution` (or `canonical_solution`, or `code`) is a program known to be correct.
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
from halo_verifier_pytest.extraction import context_of

Kind = Literal["values", "asserts", "files"]

HINT = 'expected {"entry_point": "add", "tests": [{"args": [3, 4], "expected": 7}, ...]}; see the README'
_COMMON_KEYS = frozenset({"entry_point", "prompt", "solution", "canonical_solution", "code", "task_id"})
_KEYS: dict[Kind, frozenset[str]] = {
    "values": frozenset({"tests", "rtol", "atol"}),
    "asserts": frozenset({"test", "test_list", "test_setup_code", "test_imports", "challenge_test_list"}),
    "files": frozenset({"files", "module"}),
}
_TEST_KEYS = frozenset({"args", "kwargs", "call", "expected", "returns", "raises"})


@dataclass(frozen=True, slots=True)
class Case:
    """One call and its expected result."""

    name: str
    """Name of the function, or `Class.method`."""
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    expected: object
    raises: str
    """Name of the expected exception; empty if the call should return."""


@dataclass(frozen=True, slots=True)
class Task:
    """Validated reference of a prompt."""

    kind: Kind
    entries: tuple[str, ...]
    """Functions that the program must define, or `Class.method`."""
    context: str
    """Code that an answer may continue."""
    solution: str
    """Program known to be correct; empty if the reference has none."""
    cases: tuple[Case, ...] = ()
    rtol: float = 0.0
    atol: float = 0.0
    setup: str = ""
    """Code executed before the asserts."""
    asserts: tuple[str, ...] = ()
    check: bool = False
    """True if `asserts` is a single text that defines `check(candidate)`."""
    files: tuple[tuple[str, str], ...] = ()
    """Names and texts of the test files."""
    module: str = "solution"

    @property
    def names(self) -> tuple[str, ...]:
        """Names that the program must define at module level."""
        return tuple(dict.fromkeys(entry.partition(".")[0] for entry in self.entries))


def read(prompt: Prompt) -> Task:
    """Return the task of `prompt`; raise a `DataError` that describes the problem if its reference is invalid."""
    try:
        return _read(prompt)
    except (SyntaxError, ValueError, TypeError, NotPlainError) as error:
        raise DataError(f"prompt {prompt.id!r}: {error}", hint=HINT) from None


def _read(prompt: Prompt) -> Task:
    reference = prompt.reference
    forms = [kind for kind, keys in _KEYS.items() if keys & {*reference} - {"rtol", "atol", "module"}]
    if len(forms) != 1:
        raise ValueError(
            f"the reference has {' and '.join(forms) or 'no tests'}; exactly one form of tests is required"
        )
    allowed = _COMMON_KEYS | _KEYS[forms[0]]
    for key in reference.keys() - allowed:
        raise ValueError(f"unknown key {key!r} in reference; {did_you_mean(str(key), sorted(allowed))}")
    for key in ("entry_point", "prompt", "solution", "canonical_solution", "code", "test", "test_setup_code"):
        if not isinstance(reference.get(key, ""), str):
            raise TypeError(f"{key} must be a string")
    make: Callable[[Mapping[str, Any]], dict[str, Any]]
    make = {"values": _values, "asserts": _asserts, "files": _files}[forms[0]]
    parts = make(reference)
    entries = parts.pop("entries")
    names = [entry.partition(".")[0] for entry in entries]
    prompt_text = (
        reference.get("prompt") or prompt.text or (prompt.messages[-1]["content"] if prompt.messages else "")
    )
    context = context_of(prompt_text, names) if names else ""
    solution = reference.get("solution") or reference.get("code") or ""
    if not solution and reference.get("canonical_solution"):
        solution = context + reference["canonical_solution"]
    return Task(kind=forms[0], entries=tuple(entries), context=context, solution=solution, **parts)


def as_files(task: Task) -> Task:
    """Return a task with asserts as a task with one test file that executes each assert unchanged."""
    if task.kind == "files":
        return task
    tests = [
        f"def test_{number + 1}():\n    exec({text!r}, globals())\n"
        for number, text in enumerate(task.asserts)
    ]
    if task.check:
        tests = [f"{task.asserts[0]}\n\ndef test_check():\n    check({task.entries[0]})\n"]
    imported = f"from {task.module} import {', '.join(task.entries)}"
    text = "\n\n".join([_if_valid(task.context), imported, task.setup, *tests])
    return replace(task, kind="files", files=(("test_asserts.py", text),))


def _if_valid(code: str) -> str:
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
        raise ValueError("rtol and atol must be finite numbers of at least 0")
    return {"cases": cases, "entries": list(dict.fromkeys(case.name for case in cases)), **tolerance}


def _case(test: object, entry: str, number: int) -> Case:
    if not isinstance(test, Mapping):
        raise TypeError(f"test {number} must be a mapping, not {type(test).__name__}")
    for key in test.keys() - _TEST_KEYS:
        raise ValueError(f"test {number}: unknown key {key!r}; {did_you_mean(str(key), sorted(_TEST_KEYS))}")
    if len(test.keys() & {"expected", "returns", "raises"}) != 1:
        raise ValueError(f"test {number}: requires exactly one of expected, returns and raises")
    if "call" in test:
        name, args, kwargs = _call(str(test["call"]), number)
    else:
        name, args, kwargs = entry, test.get("args", []), test.get("kwargs", {})
    if not name:
        raise ValueError("entry_point is missing: name the function under test")
    if not isinstance(args, list | tuple) or not isinstance(kwargs, Mapping):
        raise TypeError(f"test {number}: args must be a list and kwargs a mapping")
    expected = _literal(test["returns"], number) if "returns" in test else test.get("expected")
    if _holds_nan(expected):
        raise ValueError(f"test {number}: expects NaN, which equals no value")
    values.encode((tuple(args), dict(kwargs), expected))
    return Case(name, tuple(args), dict(kwargs), expected, str(test.get("raises", "")))


def _call(text: str, number: int) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Return name and arguments of a call such as `f((1, 2), key={3})`, whose arguments are literals."""
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
        raise ValueError("tests must be non-empty strings, at least one")
    setup = "\n".join([*(reference.get("test_imports") or ()), reference.get("test_setup_code") or ""])
    trees = [ast.parse(text) for text in (*texts, setup)]
    check = listed is None and any(name == "check" for name in _bound(trees[0]))
    named = reference.get("entry_point", "")
    if check and not named:
        raise ValueError("entry_point is missing: name the function to pass to check")
    entries = [named] if named else _called(trees)
    if not entries:
        raise ValueError(
            "entry_point is missing, and no assert calls a function that only the program can define"
        )
    return {"setup": setup, "asserts": tuple(texts), "check": check, "entries": entries}


def _called(trees: list[ast.Module]) -> list[str]:
    """Return the functions that the asserts call and only the program can define."""
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
        raise ValueError(f"module must be an identifier, not {module!r}")
    for name, text in files.items():
        if not name.endswith(".py") or not name[:-3].isidentifier() or name == f"{module}.py":
            raise ValueError(
                f"{name!r} is not a valid test file: use an identifier ending in .py, without a directory"
            )
        ast.parse(text, name)
    tests = {
        name: text for name, text in files.items() if name.startswith("test_") or name.endswith("_test.py")
    }
    if not tests:
        raise ValueError("no file is named test_*.py or *_test.py")
    entries = [reference["entry_point"]] if reference.get("entry_point") else _imported(files, module)
    return {"files": tuple(sorted(files.items())), "module": module, "entries": entries}


def _imported(files: Mapping[str, str], module: str) -> list[str]:
    """Return the names that the test files use from the module under test."""
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
