"""The verifier's attacks: wrong answers from `attacks.md`, each tried with every form of test that it applies to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from halo_core.drivers import Attack
from halo_core.types import Prompt, Stage

_CASE = re.compile(
    r"^### (?P<name>[^\n([]+?)(?: \((?P<stage>\w+)\))?(?: \[(?P<only>[\w ]+)\])?\n"
    r"(?P<fence>`{3,4})\w+\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_TASK = "Write add(a, b), which returns the sum of its arguments."
SOLUTION = "def add(a, b):\n    return a + b\n"
"""The correct answer to all prompts in this module."""
_CHECK = """def check(candidate):
    assert candidate(3, 4) == 7
    assert candidate(10, -2) == 8
    assert candidate("a", "b") == "ab"
"""
_FILE = """import pytest
from solution import add

@pytest.mark.parametrize(("a", "b", "total"), [(3, 4, 7), (10, -2, 8), ("a", "b", "ab")])
def test_add(a, b, total):
    assert add(a, b) == total

def test_types_that_do_not_fit():
    with pytest.raises(TypeError):
        add(1, "b")
"""
_TESTS = [
    {"args": [3, 4], "expected": 7},
    {"args": [10, -2], "expected": 8},
    {"args": ["a", "b"], "expected": "ab"},
]
VALUES = Prompt("values", _TASK, reference={"entry_point": "add", "tests": _TESTS, "solution": SOLUTION})
ASSERTS = Prompt("asserts", _TASK, reference={"entry_point": "add", "test": _CHECK, "solution": SOLUTION})
FILES = Prompt("files", _TASK, reference={"files": {"test_add.py": _FILE}, "solution": SOLUTION})
SHARED = Prompt("shared", _TASK, reference={"files": {"test_add.py": _FILE.partition("def test_types")[0]}})
"""Prompt without a solution: the tests import the program itself."""
_MAPPED_CHECK = """def check(candidate):
    assert all(map(lambda a: candidate(a, 4) == a + 4, [3, 5]))
    assert all(map(int.__eq__, map(candidate, [3, 5], [4, 4]), [7, 9]))
"""
_MAPPED_FILE = """from solution import add

def test_add():
    assert all(map(lambda a: add(a, 4) == a + 4, [3, 5]))
    assert all(map(int.__eq__, map(add, [3, 5], [4, 4]), [7, 9]))
"""
MAPPED = Prompt(
    "mapped", _TASK, reference={"entry_point": "add", "test": _MAPPED_CHECK, "solution": SOLUTION}
)
MAPPED_SHARED = Prompt("mapped shared", _TASK, reference={"files": {"test_add.py": _MAPPED_FILE}})
PROMPTS = (VALUES, ASSERTS, FILES, SHARED, MAPPED, MAPPED_SHARED)

FORGED = frozenset(
    {
        "equal to everything",
        "comparison that returns a truthy list",
        "unittest.mock.ANY",
        "a class whose metaclass is equal to everything",
        "int subclass that is equal to everything",
        "str subclass that is equal to everything",
        "list subclass that is equal to everything",
        "dict subclass that has every key",
        "a class that claims to be int",
        "a type renamed to int",
    }
)
"""Attacks that succeed whenever tests share a process with the sample; no defence is possible."""

_FORMS = {
    "": ("values", "asserts", "files", "shared"),
    "split only": ("values", "asserts", "files"),
    "values and shared": ("values", "shared"),
    "values only": ("values",),
    "with map": tuple(prompt.id for prompt in PROMPTS),
}


@dataclass(frozen=True, slots=True)
class Case:
    """One wrong answer of `attacks.md`."""

    name: str
    text: str
    stage: Stage
    only: str
    """Forms of test that the answer must fail, a key of `_FORMS`."""


@cache
def cases() -> tuple[Case, ...]:
    """Return all cases, in the order of the file."""
    text = Path(__file__).with_name("attacks.md").read_text(encoding="utf-8")
    return tuple(
        Case(found["name"], found["text"], Stage(found["stage"] or "wrong"), found["only"] or "")
        for found in _CASE.finditer(text)
    )


def attacks() -> Iterator[Attack]:
    """Yield every attack, once for each form of test that it applies to."""
    for case in cases():
        for prompt in PROMPTS:
            if prompt.id in _FORMS[case.only] and not (prompt is SHARED and case.name in FORGED):
                yield Attack(f"{case.name} [{prompt.id}]", prompt, case.text, case.stage)
