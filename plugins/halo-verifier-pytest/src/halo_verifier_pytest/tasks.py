"""Tasks: a prompt's reference, with tests in one of three forms.

values   `entry_point` and `tests`, each a call and its expected result, compared by exact type
asserts  `entry_point` and `test` as in HumanEval, or `test_list` as in MBPP, executed unchanged
files    `files`, the texts of pytest files by name, which import the module `solution`

`solution` (or `canonical_solution`, or `code`) is a program known to be correct.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from halo_core.errors import DataError, did_you_mean
from halo_core.sandbox import NotPlainError, values
from halo_core.types import Prompt
from halo_verifier_pytest.extraction import context_of
from halo_verifier_pytest.names import Names, analyse, bound, imported, parse_entry

Kind = Literal["values", "asserts", "files"]

HINT = 'expected {"entry_point": "add", "tests": [{"args": [3, 4], "expected": 7}, ...]}; see the README'
_COMMON_KEYS = frozenset({"entry_point", "prompt", "solution", "canonical_solution", "code", "task_id"})
_KEYS: dict[Kind, frozenset[str]] = {
    "values": frozenset({"tests", "rtol", "atol", "signed_zero"}),
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
    signed_zero: bool = False
    """True if 0.0 and -0.0 differ."""
    setup: str = ""
    """Code executed before the asserts."""
    imports: str = ""
    """Imports of the standard library that the tests rely on without making them."""
    fetched: tuple[str, ...] = ()
    """Names that the tests use of the program if it defines them."""
    classes: tuple[str, ...] = ()
    """Entries that are classes, so that the tests work with their instances."""
    constants: tuple[str, ...] = ()
    """Entries that are neither classes nor functions."""
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
    forms = [
        kind
        for kind, keys in _KEYS.items()
        if keys & {*reference} - {"rtol", "atol", "signed_zero", "module"}
    ]
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
    entry = parse_entry(reference.get("entry_point", ""))
    text = (
        reference.get("prompt") or prompt.text or (prompt.messages[-1]["content"] if prompt.messages else "")
    )
    context = context_of(text, [entry.partition(".")[0]]) if entry else ""
    solution = reference.get("solution") or reference.get("code") or ""
    if not solution and reference.get("canonical_solution"):
        solution = context + reference["canonical_solution"]
    make: Callable[[Mapping[str, Any], str, str, str], dict[str, Any]]
    make = {"values": _values, "asserts": _asserts, "files": _files}[forms[0]]
    parts = make(reference, entry, solution, text)
    if parts["entries"] and not context:
        context = context_of(text, [each.partition(".")[0] for each in parts["entries"]])
    return Task(kind=forms[0], context=context, solution=solution, **parts)


def as_files(task: Task) -> Task:
    """Return a task with asserts as a task with one test file that executes each assert unchanged."""
    if task.kind == "files":
        return task
    tests = [
        f"def test_{number + 1}():\n    __execute__({text!r}, globals())\n"
        for number, text in enumerate(task.asserts)
    ]
    if task.check:
        candidate = (
            "{}().{}".format(*task.entries[0].split(".")) if "." in task.entries[0] else task.entries[0]
        )
        tests = [f"{task.asserts[0]}\n\ndef test_check():\n    check({candidate})\n"]
    imported = f"import {task.module}\nfrom {task.module} import {', '.join(task.names)}"
    fetched = f"globals().update({{n: v for n, v in vars({task.module}).items() if n in {task.fetched!r}}})"
    text = "\n\n".join([_if_valid(task.context), task.imports, imported, fetched, task.setup, *tests])
    return replace(task, kind="files", files=(("test_asserts.py", text),))


def _if_valid(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError:
        return ""
    return code


def _values(reference: Mapping[str, Any], entry: str, _solution: str, _prompt: str) -> dict[str, Any]:
    tests = reference["tests"]
    if not isinstance(tests, list | tuple) or not tests:
        raise ValueError("tests must be a list with at least one test")
    cases = tuple(_case(test, entry, number) for number, test in enumerate(tests, 1))
    tolerance: dict[str, Any] = {key: float(reference.get(key, 0.0)) for key in ("rtol", "atol")}
    if not all(0.0 <= value < math.inf for value in tolerance.values()):
        raise ValueError("rtol and atol must be finite numbers of at least 0")
    if not isinstance(reference.get("signed_zero", False), bool):
        raise TypeError("signed_zero must be true or false")
    tolerance["signed_zero"] = reference.get("signed_zero", False)
    return {"cases": cases, "entries": tuple(dict.fromkeys(case.name for case in cases)), **tolerance}


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
    return (
        parse_entry(ast.unparse(node.func)),
        args,
        {str(k.arg): ast.literal_eval(k.value) for k in node.keywords},
    )


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


def _asserts(reference: Mapping[str, Any], named: str, solution: str, prompt: str) -> dict[str, Any]:
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
    check = listed is None and any(name == "check" for name in bound(trees[0]))
    if check and not named:
        raise ValueError("entry_point is missing: name the function to pass to check")
    names = analyse(
        trees, [named] if named else [], solution, context_of(prompt, [named]) if named else "", prompt
    )
    return {"setup": setup, "asserts": tuple(texts), "check": check, **_parts(names)}


def _parts(names: Names) -> dict[str, Any]:
    return {
        "entries": names.entries,
        "fetched": names.fetched,
        "imports": names.imports,
        "classes": names.classes,
        "constants": names.values,
    }


def _files(reference: Mapping[str, Any], named: str, solution: str, prompt: str) -> dict[str, Any]:
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
    names = imported(files, module, solution, prompt)
    parts = _parts(names)
    if named:
        others = [each for each in names.entries if each != named]
        parts |= {"entries": (named,), "fetched": (*names.fetched, *others)}
    return {"files": tuple(sorted(files.items())), "module": module, **parts}
