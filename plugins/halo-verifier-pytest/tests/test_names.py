# ruff: noqa: E501 - one case a line
"""Names in tests that the tests do not define: entries, imports of the program, and names like builtins."""

from typing import Any

import pytest

from halo_core.errors import DataError
from halo_core.types import Prompt, Stage, Status
from halo_verifier_pytest import tasks


def read(reference: dict[str, Any], text: str = "t") -> tasks.Task:
    return tasks.read(Prompt("p7", text, reference=reference))


SUM = "def sum(a):\n    total = 0\n    for x in a:\n        total += x\n    return total\n"


@pytest.mark.parametrize("mode", ["auto", "pytest"])
@pytest.mark.parametrize("more", [{}, {"entry_point": "NAME"}, {"code": "CODE"}])
@pytest.mark.parametrize(
    ("name", "test", "program", "wrong"),
    [
        ("sum", "assert sum([1, 2]) == 3", SUM, SUM.replace("+=", "-=")),
        ("max", "assert max([1, 2]) == 2", "def max(a):\n    return sorted(a)[-1]\n", "def max(a):\n    return a[0]\n"),
        ("sorted", "assert sorted([2, 1]) == [1, 2]", "def sorted(a):\n    return a[::-1]\n", "def sorted(a):\n    return a\n"),
        ("pow", "assert pow(2, 3) == 8", "def pow(a, b):\n    return a ** b\n", "def pow(a, b):\n    return a * b\n"),
        ("reversed", "assert list(reversed([1, 2])) == [2, 1]", "def reversed(a):\n    return a[::-1]\n", "def reversed(a):\n    return a\n"),
        ("filter", "assert filter([1, 2, 3]) == [2]", "def filter(a):\n    return [x for x in a if x % 2 == 0]\n", "def filter(a):\n    return a\n"),
        ("map", "assert map([1, 2]) == [2, 3]", "def map(a):\n    return [x + 1 for x in a]\n", "def map(a):\n    return a\n"),
        ("range", "assert range([1, 5]) == 4", "def range(a):\n    return a[-1] - a[0]\n", "def range(a):\n    return 0\n"),
        ("len", "assert len('abc') == 3", "def len(a):\n    return sum(1 for _ in a)\n", "def len(a):\n    return 0\n"),
        ("bin", "assert bin(5) == '101'", "def bin(n):\n    return format(n, 'b')\n", "def bin(n):\n    return str(n)\n"),
        ("set", "assert set([1, 1]) == [1]", "def set(a):\n    return list(dict.fromkeys(a))\n", "def set(a):\n    return a\n"),
    ],
)  # fmt: skip
def test_entries_named_like_builtins(
    check: Any, name: str, test: str, program: str, wrong: str, more: dict[str, str], mode: str
) -> None:
    values = {"NAME": name, "CODE": program}
    reference = {"test_list": [test], **{key: values[value] for key, value in more.items()}}
    verdict = check(program, reference, mode=mode)
    assert verdict.status is Status.PASS, verdict.detail
    assert check(wrong, reference, mode=mode).status is Status.FAIL
    assert check("def other(a):\n    return a\n", reference, mode=mode).stage is Stage.FLAWED


def test_builtins_are_no_entries_if_the_tests_call_another_function() -> None:
    for test in (
        "assert sorted(f([2, 1])) == [1, 2]",
        "assert max(f(1), 2) == sum([2])",
        "assert list(map(f, [1]))",
    ):
        assert read({"test_list": [test]}).entries == ("f",)
    assert read({"test_list": ["assert max(min([1])) == 1"]}, "Write `min`.").entries == ("min",)


RELIES: dict[str, tuple[str, str]] = {
    "module": ("assert math.isclose(f(2), 4.0)", "import math\ndef f(n):\n    return math.pow(n, 2)\n"),
    "renamed module": ("assert f(2) == m.pow(2, 2)", "import math as m\ndef f(n):\n    return m.pow(n, 2)\n"),
    "Counter": ("assert f('ab') == Counter('ba')", "from collections import Counter\ndef f(s):\n    return Counter(s)\n"),
    "deque": ("assert f(deque([1, 2])) == 3", "from collections import deque\ndef f(d):\n    return sum(d)\n"),
    "Decimal": ("assert f('1.5') == Decimal('3.0')", "from decimal import Decimal\ndef f(s):\n    return 2 * Decimal(s)\n"),
    "isclose": ("assert isclose(f(2), 4)", "from math import isclose\ndef f(n):\n    return n * 2.0\n"),
    "random": ("random.seed(1)\nassert f(3) == 3", "import random\ndef f(n):\n    return n\n"),
    "re": ("assert re.fullmatch('a+', f(3))", "import re\ndef f(n):\n    return 'a' * n\n"),
    "date": ("assert f(2024) == date(2024, 1, 1)", "from datetime import date\ndef f(y):\n    return date(y, 1, 1)\n"),
    "itertools": ("assert f(2) == list(itertools.repeat(1, 2))", "import itertools\ndef f(n):\n    return [1] * n\n"),
    "helper": ("assert f(g(1)) == 3", "def g(n):\n    return n + 1\ndef f(n):\n    return n + 1\n"),
    "constant": ("assert f() == LIMIT", "LIMIT = 7\ndef f():\n    return LIMIT\n"),
    "tree": ("assert f(root) == 2", "root = [1, [2, []]]\ndef f(t):\n    return 0 if not t else 1 + f(t[1])\n"),
    "function passed": ("assert f(g) == 2", "def g(n):\n    return n + 1\ndef f(h):\n    return h(1)\n"),
    "typing": ("values: List[int] = [1]\nassert f(values) == 1", "from typing import List\ndef f(a):\n    return a[0]\n"),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["auto", "pytest"])
@pytest.mark.parametrize("name", RELIES)
def test_tests_rely_on_what_the_program_imports_or_defines(check: Any, name: str, mode: str) -> None:
    test, program = RELIES[name]
    for more in ({}, {"code": program}):
        if not more and name == "renamed module":
            continue
        verdict = check(program, {"test_list": [test], **more}, mode=mode)
        assert verdict.status is Status.PASS, verdict.detail
        if "import" in program and name != "renamed module":
            lines = program.split("\n")
            bare = "\n".join(["import decimal, datetime, collections, math", *lines[1:]])
            for short, long in (
                ("Counter(", "collections.Counter("),
                ("date(", "datetime.date("),
                (" Decimal(", " decimal.Decimal("),
            ):
                bare = bare.replace(short, long)
            verdict = check(bare, {"test_list": [test], **more}, mode=mode)
            assert verdict.status is Status.PASS, verdict.detail


def test_names_of_the_library_are_entries_if_the_prompt_asks_for_them(check: Any) -> None:
    program = "def sqrt(n):\n    return int(n ** 0.5)\ndef ceil(n):\n    return n\n"
    reference = {"test_list": ["assert ceil(sqrt(9)) == 3"]}
    assert check(program, reference, prompt="Write sqrt(n) and ceil(n).").status is Status.PASS
    assert (
        check("def sqrt(n):\n    return 3\n", reference, prompt="Write sqrt(n) and `ceil`.").stage
        is Stage.FLAWED
    )
    assert check(program, reference).status is Status.PASS
    assert read({"test_list": ["assert sqrt(f(9)) == 3"]}, "Write sqrt(n).").entries == ("sqrt", "f")


def test_star_imports(check: Any) -> None:
    file = (
        "from solution import *\ndef test_it():\n    assert math.isclose(area(2), 4)\n    assert LIMIT == 1\n"
    )
    program = "import math\nLIMIT = 1\ndef area(n):\n    return n * n\n"
    for more in ({}, {"solution": program}):
        assert check(program, {"files": {"test_it.py": file}, **more}).status is Status.PASS
        wrong = program.replace("n * n", "n + 1")
        assert check(wrong, {"files": {"test_it.py": file}, **more}).status is Status.FAIL


@pytest.mark.parametrize("entry", ["a.b.c", "f(1)", "Solution(1).f", "f g", "1f", "a..b"])
def test_invalid_entry_points_are_refused(entry: str) -> None:
    with pytest.raises(DataError, match="entry_point must be"):
        read({"entry_point": entry, "tests": [{"args": [1], "expected": 1}]})


@pytest.mark.parametrize("entry", ["Solution().two", "Solution.two", " Solution().two "])
def test_methods_as_entry_points(entry: str) -> None:
    task = read({"entry_point": entry, "test": "def check(candidate):\n    assert candidate(1)\n"})
    assert task.entries == ("Solution.two",)
    assert task.names == ("Solution",)


@pytest.mark.parametrize(
    ("expected", "raised", "right"),
    [
        ("ValueError", "ValueError()", True),
        ("ValueError", "type('Own', (ValueError,), {})()", True),
        ("ValueError", "UnicodeError()", True),
        ("ValueError", "json.JSONDecodeError('x', 'y', 0)", True),
        ("json.JSONDecodeError", "json.JSONDecodeError('x', 'y', 0)", True),
        ("OSError", "FileNotFoundError()", True),
        ("IOError", "OSError()", True),
        ("decimal.InvalidOperation", "decimal.InvalidOperation()", True),
        ("ArithmeticError", "decimal.InvalidOperation()", True),
        ("Own", "type('Own', (Exception,), {})()", True),
        ("Own", "type('Sub', (type('Own', (Exception,), {}),), {})()", True),
        ("Exception", "type('Own', (Exception,), {})()", True),
        ("ValueError", "type('ValueError', (Exception,), {})()", False),
        ("ValueError", "type('ValueError', (Exception,), {'__module__': 'builtins'})()", False),
        ("ValueError", "type('ValueError', (TypeError,), {})()", False),
        ("ValueError", "type('Sub', (type('ValueError', (Exception,), {}),), {})()", False),
        ("KeyError", "type('KeyError', (LookupError,), {})()", False),
        ("TypeError", "ValueError()", False),
        ("json.JSONDecodeError", "ValueError()", False),
        ("json.JSONDecodeError", "type('JSONDecodeError', (ValueError,), {})()", False),
        ("ZeroDivisionError", "ArithmeticError()", False),
        ("Own", "ValueError('Own')", False),
        ("Exception", "type('Exception', (BaseException,), {})()", False),
        ("ValueError", "type('ValueError', (BaseException,), {'__str__': lambda s: 1 / 0})()", False),
    ],
)
def test_raises_means_the_class_and_not_its_name(check: Any, expected: str, raised: str, right: bool) -> None:
    program = f"import json, decimal\ndef f():\n    raise {raised}\n"
    verdict = check(program, {"entry_point": "f", "tests": [{"args": [], "raises": expected}]})
    assert (verdict.status is Status.PASS) is right, verdict.detail
    if "." not in expected and expected != "Own":
        test = f"try:\n    f()\nexcept {expected}:\n    pass\nelse:\n    assert False"
        assert (check(program, {"test_list": [test]}).status is Status.PASS) is right


@pytest.mark.parametrize(
    "expected", ["-0.0", "[0.0, -0.0]", "{'a': -0.0}", "(-0.0,)", "{-0.0}", "complex(0.0, -0.0)"]
)
def test_signed_zero_is_a_choice_of_the_task(check: Any, expected: str) -> None:
    if "complex" in expected:
        expected = "-0j"
    test = {"call": "f()", "returns": expected}
    same, other = (f"def f():\n    return {text}\n" for text in (expected, expected.replace("-0", "0")))
    for choice in ({}, {"signed_zero": False}, {"signed_zero": True}):
        assert check(same, {"tests": [test], **choice}).status is Status.PASS
        verdict = check(other, {"tests": [test], **choice})
        assert (verdict.status is Status.PASS) is not choice.get("signed_zero", False)
    with pytest.raises(DataError, match="signed_zero"):
        read({"tests": [test], "signed_zero": "yes"})


def test_slow_solutions_meet_the_default_limit(check: Any) -> None:
    program = "import time\ndef f(n):\n    end = time.process_time() + 1.2\n    while time.process_time() < end:\n        pass\n    return n\n"
    for reference in (
        {"entry_point": "f", "tests": [{"args": [1], "expected": 1}]},
        {"test_list": ["assert f(1) == 1"]},
        {"files": {"test_f.py": "from solution import f\ndef test_f():\n    assert f(1) == 1\n"}},
    ):
        assert check(program, reference).status in (Status.PASS, Status.INCONCLUSIVE)
