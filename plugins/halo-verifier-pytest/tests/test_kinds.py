"""For kinds of tasks, right programs that pass and wrong ones that do not, each tried under the same reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from halo_core.types import Status

EVEN = {
    "entry_point": "is_even",
    "test": "def check(candidate):\n    assert all(map(candidate, [2, 4]))\n"
    "    assert not any(map(candidate, [1, 3]))\n    assert list(filter(candidate, [1, 2, 3, 4])) == [2, 4]\n",
}
POSITIVE = {
    "test_list": [
        "assert all(x > 0 for x in pos([1, 2]))",
        "assert [*pos([1, -2])] == [1]",
        "assert len(pos([3])) == 1",
    ],
    "code": "def pos(a):\n    return [x for x in a if x > 0]\n",
}
RAISES = {"entry_point": "f", "tests": [{"args": [-1], "raises": "ValueError"}, {"args": [4], "expected": 2}]}
FLOATS = {"entry_point": "f", "tests": [{"args": [0.0], "expected": 0.0}, {"args": [1.0], "expected": 1.0}]}
GRID = {"test_list": ["g = grid(2)\ng[0][0] = 1\nassert g == [[1, 0], [0, 0]]"]}
GROUPS = {"test_list": ["d = groups(['a'])\nd['a'].append(1)\nassert d == {'a': [1], 'b': []}"]}
RANKED = {"files": {"test_a.py": "from solution import ranked\n\ndef test_a():\n    x = [3, 1, 2]\n"
                    "    assert ranked(x) == [1, 2, 3]\n    assert x == [3, 1, 2]\n"}}  # fmt: skip
IN_PLACE = {
    "entry_point": "s",
    "test": "def check(candidate):\n    a = [3, 1, 2]\n    r = candidate(a)\n"
    "    assert a == [1, 2, 3]\n    assert r is None\n",
}
CALLBACKS = {
    "test_list": ["assert ap(lambda x: x + 1, 2) == 3", "assert ap(str, 2) == '2'", "assert ap(abs, -2) == 2"]
}
DECIMALS = {
    "test_list": [
        "from decimal import Decimal\nassert tot([Decimal('1.1'), Decimal('2.2')]) == Decimal('3.3')"
    ]
}
VIEWS = {"test_list": ["assert list(r(3)) == [0, 1, 2]", "assert set(k({'a': 1})) == {'a'}"]}
SUM = {"test_list": ["assert sum([1, 2]) == 3", "assert sum([]) == 0"], "entry_point": "sum"}

CASES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "iteration that ends early": (
        EVEN,
        ["def is_even(n):\n    return n % 2 == 0\n"],
        [
            f"def is_even(n):\n    {body}\n"
            for body in (
                "raise StopIteration", "raise GeneratorExit", "raise StopAsyncIteration", "raise SystemExit(0)",
                "import sys; sys.exit(0)", "raise KeyboardInterrupt", "import os; os._exit(0)", "raise BaseException",
                "yield True", "return NotImplemented", "raise AssertionError", "exit()", "quit()",
                'raise type("S", (StopIteration,), {})', "import unittest; raise unittest.SkipTest",
                'import pytest; pytest.skip("x")', 'import pytest; pytest.xfail("x")',
            )
        ],
    ),
    "results that are iterated over": (
        POSITIVE,
        [str(POSITIVE["code"]), "pos = lambda a: list(filter(lambda x: x > 0, a))\n"],
        [
            f"def pos(a):\n    {body}\n"
            for body in (
                "return []", "return iter(())", "return a", "return (x for x in a if x > 0)", "raise StopIteration",
                "class L(list):\n        def __eq__(s, o): return True\n"
                "        def __len__(s): return 1\n    return L()",
            )
        ],
    ),
    "exceptions by class": (
        RAISES,
        [
            'def f(x):\n    if x < 0: raise ValueError("no")\n    return int(x ** .5)',
            "import math\ndef f(x):\n    return math.isqrt(x)",
            "def f(x):\n    if x < 0: raise UnicodeError\n    return int(x ** .5)",
            "class N(ValueError): pass\ndef f(x):\n    if x < 0: raise N()\n    return int(x ** .5)",
        ],
        [
            "class ValueError(Exception): pass\ndef f(x):\n    if x < 0: raise ValueError\n    return 2",
            "def f(x):\n    if x < 0: raise Exception\n    return 2",
            'def f(x):\n    if x < 0: raise type("ValueError", (Exception,), {})\n    return 2',
            "def f(x):\n    if x < 0: raise BaseException\n    return 2",
            "def f(x):\n    return 2",
        ],
    ),
    "floats": (
        FLOATS,
        ["def f(x): return x", "def f(x): return -0.0 if x == 0 else x"],
        ["def f(x): return int(x)", "def f(x): return bool(x)", "def f(x): return str(x)"],
    ),
    "signed zeros": (
        {**FLOATS, "signed_zero": True},
        ["def f(x): return x"],
        ["def f(x): return -0.0 if x == 0 else x"],
    ),
    "rows that are one list": (
        GRID,
        ["def grid(n):\n    return [[0] * n for _ in range(n)]\n"],
        ["def grid(n):\n    return [[0] * n] * n", "def grid(n):\n    r = [0] * n\n    return [r for _ in range(n)]"],
    ),
    "values that are one list": (
        GROUPS,
        ['def groups(k):\n    return {"a": [], "b": []}'],
        ['def groups(k):\n    return dict.fromkeys("ab", [])', 'def groups(k, d=[]):\n    return {"a": d, "b": d}'],
    ),
    "arguments that must not change": (
        RANKED,
        ["def ranked(a):\n    return sorted(a)", "def ranked(a):\n    a = a[:]\n    a.sort()\n    return a"],
        ["def ranked(a):\n    a.sort()\n    return a", "def ranked(a):\n    a[:] = sorted(a)\n    return list(a)"],
    ),
    "tasks done in place": (
        IN_PLACE,
        ["def s(a):\n    a.sort()", "def s(a):\n    a[:] = sorted(a)"],
        ["def s(a):\n    return sorted(a)", "def s(a):\n    a = sorted(a)", "def s(a):\n    a.sort()\n    return a"],
    ),
    "functions as arguments": (
        CALLBACKS,
        ["def ap(f, x):\n    return f(x)", "ap = lambda f, x: f(x)"],
        ["def ap(f, x):\n    return 3", "def ap(f, x):\n    return f", "def ap(f, x):\n    return f(f(x))"],
    ),
    "decimals": (
        DECIMALS,
        ["def tot(a):\n    return sum(a)"],
        ["def tot(a):\n    return 3.3", "def tot(a):\n    return '3.3'", "def tot(a):\n    return float(sum(a))"],
    ),
    "ranges and views": (
        VIEWS,
        [
            "def r(n): return range(n)\ndef k(d): return d.keys()",
            "import collections\ndef r(n): return collections.deque(range(n))\ndef k(d): return frozenset(d)",
        ],
        [
            "def r(n): return range(n + 1)\ndef k(d): return d.keys()",
            "def r(n): return range(n)\ndef k(d): return d.values()",
        ],
    ),
    "a function named like a builtin": (
        SUM,
        ["def sum(a):\n    t = 0\n    for x in a: t += x\n    return t"],
        ["def sum(a):\n    return 3", "def total(a):\n    return 3"],
    ),
}  # fmt: skip


MORE = json.loads(Path(__file__).with_name("kinds.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", MORE, ids=[case["kind"] for case in MORE])
def test_right_texts_pass_and_wrong_ones_fail(check: Any, case: dict[str, Any]) -> None:
    for expected, texts in ((Status.PASS, case["right"]), (Status.FAIL, case["wrong"])):
        for text in texts:
            verdict = check(text, case["reference"], **case.get("options", {}))
            assert verdict.status is expected, (text, verdict.detail)


@pytest.mark.parametrize("kind", CASES)
def test_right_programs_pass(check: Any, kind: str) -> None:
    reference, right, _ = CASES[kind]
    for program in right:
        verdict = check(program, reference)
        assert verdict.status is Status.PASS, (program, verdict.detail)


@pytest.mark.parametrize("kind", CASES)
def test_wrong_programs_fail(check: Any, kind: str) -> None:
    reference, _, wrong = CASES[kind]
    for program in wrong:
        verdict = check(program, reference)
        assert verdict.status is Status.FAIL, (program, verdict.detail)
