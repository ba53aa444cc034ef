"""Unchanged asserts of HumanEval and MBPP against a sample in another process."""

from typing import Any

import pytest
from busy import decided

from halo_core.types import Stage, Status

RIGHT = "def add(a, b):\n    return a + b\n"
STUB = 'from typing import List\n\ndef twice(x):\n    return x + x\n\ndef add(a, b):\n    """Add."""\n'
CHECK = """
METADATA = {"author": "x"}

def check(candidate):
    assert candidate(3, 4) == 7
    assert candidate([1], [2]) == [1, 2], "lists"
    for n in range(20):
        assert candidate(n, b=n) == twice(n)
    assert True, "This prints if this assert fails"
"""
HUMANEVAL = {"entry_point": "add", "test": CHECK, "prompt": STUB}
MBPP = {"test_list": ["assert add(3, 4) == 7", "assert list(add((1,), (2,))) == [1, 2]"]}


@pytest.mark.parametrize(
    "text", [RIGHT, "    return a + b\n", f"```python\n{RIGHT}```", "import math\n" + RIGHT]
)
def test_humaneval(check: Any, text: str) -> None:
    verdict = check(text, HUMANEVAL)
    assert (verdict.status, verdict.stage, verdict.score) == (Status.PASS, Stage.CORRECT, 1.0), verdict.detail
    assert verdict.integrity == "split"


def test_mbpp_score_is_the_share_of_passed_asserts(check: Any) -> None:
    assert check(RIGHT, MBPP).status is Status.PASS
    verdict = check("def add(a, b):\n    return 7\n", MBPP)
    assert (verdict.status, verdict.stage, verdict.score) == (Status.FAIL, Stage.WRONG, 0.5)
    assert "test 1: ok" in verdict.detail
    assert "test 2: the test raised TypeError" in verdict.detail


@pytest.mark.parametrize(
    ("text", "stage", "reason"),
    [
        ("def add(a, b):\n    return a - b if b == 9 else b - -a\n", Stage.CRASHED, "TypeError"),
        ("def add(a, b):\n    return b + a\n", Stage.WRONG, "lists"),
        ("def add(a, b):\n    pass\n", Stage.FLAWED, "assertion failed"),
        ("def add(a, b):\n    raise AssertionError\n", Stage.CRASHED, "AssertionError"),
        ("import sys\ndef add(a, b):\n    sys.exit(0)\n", Stage.CRASHED, "SystemExit"),
        ("import os\ndef add(a, b):\n    os._exit(0)\n", Stage.CRASHED, "exit code 0"),
        ("import os\nos._exit(0)\n" + RIGHT, Stage.CRASHED, "exit code 0"),
        ("def add(a, b:\n", Stage.INVALID, "SyntaxError"),
    ],
)
def test_failure_stages(check: Any, text: str, stage: Stage, reason: str) -> None:
    verdict = check(text, HUMANEVAL)
    assert (verdict.status, verdict.stage) == (Status.FAIL, stage)
    assert reason in verdict.detail


@pytest.mark.parametrize(
    "program",
    [
        "from collections import Counter\ndef f(s): return Counter(s)",
        "from collections import defaultdict\nd = defaultdict(int)\ndef f(s):\n    for c in s: d[c] += 1\n    return d",
        "from collections import OrderedDict\ndef f(s): return OrderedDict((c, s.count(c)) for c in s)",
        "from enum import IntEnum\nN = IntEnum('N', 'ONE TWO')\ndef f(s): return {'a': N.TWO, 'b': N.ONE}",
    ],
)
def test_values_equal_to_the_expected_answer_pass(check: Any, program: str) -> None:
    verdict = check(program, {"test_list": ["assert f('aab') == {'a': 2, 'b': 1}"]})
    assert verdict.status is Status.PASS, verdict.detail


def test_iterators_and_named_tuples_are_sent_by_value(check: Any) -> None:
    program = (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(n):\n    return P(n, n)\n"
    )
    assert check(program, {"test_list": ["assert f(1) == (1, 1)"]}).status is Status.PASS
    program = "def f(n):\n    yield from range(n)\n"
    assert check(program, {"test_list": ["assert list(f(3)) == [0, 1, 2]"]}).status is Status.PASS
    assert check(program, {"test_list": ["assert f(3) == [0, 1, 2]"]}).status is Status.FAIL


def test_exceptions_propagate_to_the_test(check: Any) -> None:
    listed = {"entry_point": "f", "test_list": [
        "try:\n    f(0)\n    assert False\nexcept ZeroDivisionError:\n    pass",
        "try:\n    f('x')\n    assert False\nexcept TypeError as error:\n    assert 'unsupported' in str(error)",
    ]}  # fmt: skip
    assert check("def f(n):\n    return 1 / n\n", listed).status is Status.PASS
    assert check("def f(n):\n    return 1\n", listed).status is Status.FAIL


def test_no_test_survives_the_exit_of_the_sample(check: Any) -> None:
    listed = {"entry_point": "f", "test_list": ["try:\n    f(0)\nexcept Exception:\n    pass", "assert True"]}
    verdict = check("import os\ndef f(n):\n    os._exit(0)\n", listed)
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.CRASHED)


def test_setup_code_and_several_functions(check: Any) -> None:
    reference = {
        "test_setup_code": "words = ['ab', 'c']",
        "test_imports": ["import math"],
        "test_list": ["assert decode(encode(words)) == words", "assert math.isclose(size(words), 3)"],
    }
    program = "def encode(w): return ','.join(w)\ndef decode(s): return s.split(',')\n"
    program += "def size(w): return float(sum(map(len, w)))\n"
    assert check(program, reference).status is Status.PASS
    assert check(program.replace("size", "length"), reference).stage is Stage.FLAWED


def test_unusable_tests_are_errors(check: Any) -> None:
    for reference, word in (
        ({"entry_point": "f", "test_list": ["assert 1 == 1"]}, "never call"),
        ({"test_setup_code": "import nothing_like_it", "test_list": ["assert f(1) == 1"]}, "nothing_like_it"),
    ):
        verdict = check("def f(x):\n    return 1\n", reference)
        assert verdict.status is Status.ERROR
        assert word in verdict.detail


def test_setup_failures_caused_by_the_sample_fail_it(check: Any) -> None:
    reference = {
        "entry_point": "f",
        "test_setup_code": "tree = f(1)\nleft = tree[0]",
        "test_list": ["assert left == 1"],
    }
    assert check("def f(x):\n    return [x]\n", reference).status is Status.PASS
    assert check("def f(x):\n    return []\n", reference).stage is Stage.WRONG
    assert check("def f(x):\n    return g(x)\n", reference).stage is Stage.CRASHED


def test_cpu_limit(check: Any) -> None:
    text = "def add(a, b):\n    while isinstance(a, tuple): pass\n    return a + b\n"
    verdict = decided(lambda: check(text, MBPP, cpu_seconds=0.2))
    assert (verdict.stage, verdict.score) == (Stage.CRASHED, 0.5)
    assert "test 2: exceeded 0.2 s" in verdict.detail


def test_answers_that_make_the_tests_slow_fail_the_sample(check: Any) -> None:
    reference = {"entry_point": "f", "test_list": ["assert f(1) ** f(1) ** f(1) == 1", "assert f(1) == 1"]}
    verdict = decided(lambda: check("def f(x):\n    return 10 ** 7\n", reference, total_cpu_seconds=0.5))
    assert (verdict.status, verdict.stage) == (Status.FAIL, Stage.CRASHED)
    assert "limit" in verdict.detail


PAIRS = {
    "test_list": ["assert widest([Pair(1, 5), Pair(2, 3)]) == 4", "assert widest([Pair(0, 1)]) == 1"],
    "code": "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
    "def widest(pairs):\n    return max(p.b - p.a for p in pairs)\n",
}


@pytest.mark.parametrize("mode", ["auto", "functions", "pytest"])
def test_asserts_use_instances_of_the_samples_classes(check: Any, mode: str) -> None:
    verdict = check(PAIRS["code"], PAIRS, mode=mode)
    assert (verdict.status, verdict.integrity) == (Status.PASS, "split"), verdict.detail
    wrong = check(str(PAIRS["code"]).replace("max", "min"), PAIRS, mode=mode)
    assert (wrong.stage, wrong.score) == (Stage.WRONG, 0.5)


SHARES = {
    "test_setup_code": "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n",
    "test_list": ["assert widest([Pair(1, 5), Pair(2, 3)]) == 4", "assert widest([Pair(0, 1)]) == 1"],
}
WIDEST = "def widest(pairs):\n    return max(p.b - p.a for p in pairs)\n"


@pytest.mark.parametrize("mode", ["auto", "pytest"])
@pytest.mark.parametrize("more", [{}, {"code": WIDEST}])
def test_asserts_that_pass_their_own_objects_share_the_process(
    check: Any, mode: str, more: dict[str, str]
) -> None:
    assert check(WIDEST, SHARES | more, mode="functions").status is Status.ERROR
    for _ in range(2):
        verdict = check(WIDEST, SHARES | more, mode=mode)
        assert (verdict.status, verdict.integrity) == (Status.PASS, "shared-process"), verdict.detail
        assert verdict.detail.splitlines()[1] == "test_asserts.py::test_1: ok"
    wrong = check(WIDEST.replace("max", "min"), SHARES | more, mode=mode)
    assert (wrong.stage, wrong.score) == (Stage.WRONG, 0.5)


def test_check_in_mode_pytest(check: Any) -> None:
    for text, status in (("    return a + b\n", Status.PASS), ("    return a - b\n", Status.FAIL)):
        assert check(text, HUMANEVAL, mode="pytest").status is status
    assert check("    return a + b\n", {**HUMANEVAL, "solution": RIGHT}, mode="pytest").integrity == "split"


def test_modes_accept_only_their_forms_of_tests(check: Any) -> None:
    values = {"entry_point": "add", "tests": [{"args": [1, 2], "expected": 3}]}
    files = {
        "files": {"test_add.py": "from solution import add\ndef test_add():\n    assert add(1, 2) == 3\n"}
    }
    assert check(RIGHT, values, mode="functions").status is Status.PASS
    assert check(RIGHT, MBPP, mode="functions").status is Status.PASS
    assert check(RIGHT, files, mode="functions").status is Status.ERROR
    assert check(RIGHT, files, mode="pytest").status is Status.PASS
    assert check(RIGHT, values, mode="pytest").status is Status.ERROR
