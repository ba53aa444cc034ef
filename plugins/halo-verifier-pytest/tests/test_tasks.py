"""Valid references, and the error messages for invalid ones."""

from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Prompt
from halo_verifier_pytest import Pytest, tasks

CASE = {"args": [1], "expected": 1}
FILE = "from solution import f\ndef test_f():\n    assert f(1) == 1\n"


def read(reference: dict[str, Any], text: str = "t") -> tasks.Task:
    return tasks.read(Prompt("p7", text, reference=reference))


@pytest.mark.parametrize(
    ("reference", "word"),
    [
        ({}, "no tests"),
        ({"solution": "x"}, "no tests"),
        ({"entry_point": "f", "tests": []}, "at least one"),
        ({"entry_point": "f", "tests": "f(1)"}, "list"),
        ({"entry_point": "f", "tests": ["f(1)"]}, "mapping"),
        ({"tests": [CASE]}, "entry_point"),
        ({"entry_point": 3, "tests": [CASE]}, "string"),
        ({"entry_point": "f", "tests": [{"args": [1]}]}, "expected"),
        ({"entry_point": "f", "tests": [{**CASE, "raises": "ValueError"}]}, "one of"),
        ({"entry_point": "f", "tests": [{**CASE, "arg": 1}]}, "args"),
        ({"entry_point": "f", "tests": [{"args": 1, "expected": 1}]}, "list"),
        ({"entry_point": "f", "tests": [{"call": "f(x)", "expected": 1}]}, "malformed"),
        ({"entry_point": "f", "tests": [{"call": "f(", "expected": 1}]}, "not a call"),
        ({"entry_point": "f", "tests": [{"args": [1], "returns": "f(1)"}]}, "literal"),
        ({"entry_point": "f", "tests": [{"args": [1], "expected": float("nan")}]}, "NaN"),
        ({"entry_point": "f", "tests": [{"args": [1], "returns": "..."}]}, "plain"),
        ({"entry_point": "f", "tests": [CASE], "rtol": -1}, "rtol"),
        ({"entry_point": "f", "tests": [CASE], "rtol": "much"}, "much"),
        ({"entry_point": "f", "tests": [CASE], "test_list": ["assert f(1) == 1"]}, "values and asserts"),
        ({"entry_point": "f", "testz": [CASE], "tests": [CASE]}, "testz"),
        ({"test_list": []}, "at least one"),
        ({"test_list": [""]}, "empty"),
        ({"test_list": ["assert 1"]}, "entry_point"),
        ({"test_list": ["assert f("]}, "never closed"),
        ({"test": "def check(candidate): pass"}, "entry_point"),
        ({"test": "x", "test_list": ["assert f(1)"]}, "either"),
        ({"files": {}}, "files"),
        ({"files": {"it.py": FILE}}, "test_"),
        ({"files": {"../test_it.py": FILE}}, "directory"),
        ({"files": {"test_it.txt": FILE}}, "test file"),
        ({"files": {"solution.py": FILE}}, "test file"),
        ({"files": {"test_it.py": "def test_("}}, "never closed"),
        ({"files": {"test_it.py": FILE}, "module": "a.b"}, "module"),
    ],
)
def test_invalid_references_raise(reference: dict[str, Any], word: str) -> None:
    with pytest.raises(DataError, match="p7") as caught:
        Pytest().check_prompt(Prompt("p7", "t", reference=reference))
    assert word in str(caught.value)
    assert caught.value.hint


def test_calls_in_python_syntax() -> None:
    task = read(
        {
            "tests": [
                {"call": "g((1, 2), key={3})", "returns": "{'a': (1,)}"},
                {"call": "f()", "expected": None},
            ]
        }
    )
    assert task.cases[0].args == ((1, 2),)
    assert task.cases[0].kwargs == {"key": {3}}
    assert task.cases[0].expected == {"a": (1,)}
    assert task.names == ("g", "f")


def test_field_names_of_benchmarks() -> None:
    humaneval = {
        "task_id": "H/0", "prompt": 'def f(x):\n    """F."""\n', "entry_point": "f",
        "canonical_solution": "    return x\n", "test": "def check(candidate):\n    assert candidate(1) == 1\n",
    }  # fmt: skip
    task = read(humaneval, "Complete the function.")
    assert task.check
    assert task.solution == 'def f(x):\n    """F."""\n    return x\n'
    mbpp = {"code": "def g(x): return x", "test_list": ["assert set(g([1])) == set([1])"], "test_setup_code": "",
            "test_imports": ["import math"], "challenge_test_list": ["assert math.isclose(g(2), 2)"]}  # fmt: skip
    task = read(mbpp)
    assert task.entries == ("g",)
    assert len(task.asserts) == 2
    assert task.solution == "def g(x): return x"


def test_context_is_taken_from_the_prompt() -> None:
    assert read({"entry_point": "f", "tests": [CASE]}, "Do:\n\ndef f(x):\n").context == "def f(x):\n"
    chat = Prompt(
        "p",
        messages=({"role": "user", "content": "def f(x):\n"},),
        reference={"tests": [CASE], "entry_point": "f"},
    )
    assert tasks.read(chat).context == "def f(x):\n"


def test_entries_are_inferred_from_imports_of_the_files() -> None:
    task = read(
        {
            "files": {
                "test_a.py": "import solution\nfrom solution import f, g\ndef test_(): solution.h(f, g)\n"
            }
        }
    )
    assert set(task.entries) == {"f", "g", "h"}
